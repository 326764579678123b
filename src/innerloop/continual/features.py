"""A pool of features: what a frozen encoder, or the encoder of a run, makes of the examples of another pool."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from innerloop import problems
from innerloop.core import random, tree
from innerloop.core.context import Context
from innerloop.core.encoder_learner import EncoderLearner
from innerloop.core.errors import InputError
from innerloop.core.types import Params
from innerloop.engine.checkpoint import read_config
from innerloop.fewshot import rows, sources
from innerloop.fewshot.source_names import SHIPPED
from innerloop.fewshot.sources import Source
from innerloop.tasks.pool import Pool

_ROWS, _AT_ONCE = 1000, 256
_PART = "encoder"


@torch.no_grad()
def featured(pool: Pool, name: str, context: Context = Context()) -> Pool:
    """The same classes, with a row of features in the place of each example.

    Every example is encoded by itself. Batch norms of a run's encoder use the statistics of 1,000 rows of what the run
    was meta-trained on: nothing of the stream is looked at before it arrives.

    Args:
        pool: Of examples.
        name: A run folder, a shipped run or a frozen encoder, as `fewshot.sources` knows it.
        context: Where data sets lie, and what may be named.

    Raises:
        InputError: There is no such source, it has no encoder, or takes other examples.
    """
    source = sources.source(name, context.allow)
    if source.encoder is not None:
        encoded = [rows.read(part, source)[0] for part in _parts(pool.data.flatten(0, 1))]
    elif not isinstance(source.learner, EncoderLearner):
        raise InputError(
            f"{name} is a run of {type(source.learner).__name__}, which has no encoder whose features could be learned "
            "from: name a run of protonet or r2d2, or a frozen encoder"
        )
    elif source.shape is not None and source.shape != pool.shape:
        raise InputError(
            f"{name} was trained on examples of shape {list(source.shape)}, and those of {pool.dataset} have "
            f"{list(pool.shape)}: choose data of the same shape, or another encoder"
        )
    else:
        encoder, params = source.learner.encoder, _with_statistics(source, name, context)
        encoded = [encoder.apply(params, pool.as_float(part)).flatten(1) for part in _parts(pool.data.flatten(0, 1))]
    features = torch.cat(encoded).float()
    data = features.view(*pool.data.shape[:2], -1)
    real = torch.arange(data.shape[1]) < pool.counts[:, None]
    return replace(pool, data=data * real[..., None], preprocessing=None)


def _parts(examples: Tensor) -> Iterator[Tensor]:
    return iter(examples.split(_AT_ONCE))


def _with_statistics(source: Source, name: str, context: Context) -> Params:
    learner = source.learner
    assert isinstance(learner, EncoderLearner)
    params = tree.part(source.params, _PART) or source.params
    if not learner.encoder.norm_weights():
        return params
    folder = SHIPPED / name if (SHIPPED / name).is_dir() and "/" not in name else Path(name)
    task = (read_config(folder).get("record") or {}).get("task")
    problem = None if task is None else problems.of_record(task)
    splits = None if problem is None else problem.splits(problem.load(context))
    if splits is None:
        raise InputError(
            f"the batch norms of {name} need the statistics of what it was trained on, and it does not say what that "
            "was: take a run of `innerloop train`, or an encoder"
        )
    return learner.encoder.with_statistics(params, _sample(splits.train))


def _sample(pool: Pool) -> Tensor:
    """Rows of all classes, always the same."""
    real = (torch.arange(pool.data.shape[1]) < pool.counts[:, None]).flatten().nonzero().squeeze(1)
    return pool.rows(real[random.permutation(random.mix(0, 0), len(real))[:_ROWS]])
