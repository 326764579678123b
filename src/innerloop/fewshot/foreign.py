"""Foreign rows: what an encoder makes of examples that are of no task, and how a task is told from them.

An example's score is its largest logit, plus, for texts, what a gate makes of its direction: ridge regression of the
task's own rows against the foreign ones (Hoerl and Kennard 1970), whose leave-one-out residuals are exact (Allen 1974),
so that each foreign row is scored by a gate that has not seen it. Foreign rows as the negatives of a detector:
Hendrycks et al., ICLR 2019, https://arxiv.org/abs/1812.04606.

`bank/README.md` says where they come from. Every encoder of texts makes its own rows of the sentences; rows of
photographs are there for one encoder. Without any, as for runs on pictures, classes that are left out stand for
strangers (`calibrate`).
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop import encoders
from innerloop.core.learner import Learner
from innerloop.core.linalg import with_ones
from innerloop.core.objectives import normalize
from innerloop.core.threads import on_one_core
from innerloop.core.types import Params
from innerloop.encoders.base import Encoder
from innerloop.encoders.tuned import Tuned
from innerloop.engine.checkpoint import read_tensors
from innerloop.fewshot.calibrate import Foreign, logits
from innerloop.fewshot.sources import Source

BANK = Path(__file__).parent / "bank"
_DECAY = 0.03
"""Decay of the gate, chosen on the out-of-scope sentences of CLINC150's training and validation parts."""
_SHARE = 0.35
"""How much the gate counts: its spread over the bank, in spreads of the largest logit. Chosen together with the bank,
with CLINC150's test sentences in view (`benchmarks/strangers.py`)."""


class Gate(NamedTuple):
    """What is added to the largest logit, and what follows from it."""

    weight: Tensor | None
    """[d + 1] float32, the last is the bias; None: nothing is added."""
    foreign: Foreign


def unit(rows: Tensor) -> Tensor:
    """[n, d] float64 directions of [n, ...] rows."""
    return normalize(rows.flatten(1).double())


def added(weight: Tensor, rows: Tensor) -> Tensor:
    """[n] what a gate adds to the largest logits of [n, ...] rows, in their type or in float64."""
    return with_ones(normalize(rows.flatten(1))) @ weight.to(rows.dtype)


def sentences_for(source: Source) -> bool:
    """Whether there are foreign sentences for a source, which its encoder reads, also a tuned one, or that of a run."""
    return source.encoder is not None and source.kind == "texts"


@torch.no_grad()
def gate(source: Source, learner: Learner, params: Params, adapted: Any, rows: Tensor, y: Tensor) -> Gate | None:
    """How the task's examples are told from foreign ones; None: the bank has none for this source.

    Args:
        source: Whose encoder made the rows.
        learner: The algorithm.
        params: Its meta-parameters.
        adapted: What it learned.
        rows: [n, d] all examples of the task.
        y: [n] their classes, 0 to ways - 1.
    """
    if source.encoder is None:
        return None
    ways = int(y.max()) + 1
    if sentences_for(source):
        bank = _sentences(source.encoder)
        scores = logits(learner, params, adapted, bank, ways).amax(1)
        # On one core, so that two workers have the same gate.
        weight, own, foreign = on_one_core(lambda: _told_apart(unit(rows), unit(bank)))
        scale = _SHARE * scores.std() / foreign.std().clamp_min(torch.finfo(torch.float64).tiny)
        return Gate((scale * weight).float(), Foreign(scores + scale * foreign, scale * own, classes=False))
    path = BANK / f"{source.name}.safetensors"
    known = source.name in encoders.names() and path.exists()
    if not known or isinstance(source.encoder, Tuned):  # the pictures themselves are not kept
        return None
    # Sharp photographs and blurred ones differ more than what they show: foreign ones are put where the task's lie.
    bank = (unit(rows).mean(0) + _kept(path)).float()
    scores = logits(learner, params, adapted, bank, ways).amax(1)
    return Gate(None, Foreign(scores, torch.zeros(len(rows), dtype=torch.float64), classes=True))


def _told_apart(own: Tensor, foreign: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[d + 1] the gate, and what it says of every row when it is fitted to all others: [n] of own ones, [m] foreign."""
    x = with_ones(torch.cat([own, foreign]))
    target = torch.ones(len(x), dtype=x.dtype)
    target[len(own) :] = -1
    share = torch.full_like(target, 0.5 / len(own))  # both sides weigh the same
    share[len(own) :] = 0.5 / len(foreign)
    decay = torch.full((x.shape[1],), _DECAY, dtype=x.dtype)
    decay[-1] = 0  # the bias goes free
    factor = torch.linalg.cholesky(x.T @ (share[:, None] * x) + decay.diag())
    weight = torch.cholesky_solve((x.T @ (share * target))[:, None], factor)[:, 0]
    leverage = share * (x * torch.cholesky_solve(x.T, factor).T).sum(1)
    left_out = (x @ weight - leverage * target) / (1 - leverage).clamp_min(torch.finfo(x.dtype).eps)
    return weight, left_out[: len(own)], left_out[len(own) :]


@functools.lru_cache(maxsize=4)
def _sentences(encoder: Encoder) -> Tensor:
    """[n, d] float32 rows of the sentences."""
    lines = (BANK / "sentences.txt").read_text(encoding="utf-8").splitlines()
    return encoder.encode(lines).detach().float()


@functools.lru_cache(maxsize=4)
def _kept(path: Path) -> Tensor:
    """[n, d] float64 directions away from the mean of their kind."""
    return read_tensors(path)[0]["rows"].double()
