"""What is trained on the source: ordinarily and by meta-learning, plainly, on cluttered pictures and on coarse ones."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from innerloop.apps.transfer.settings import Settings
from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.baselines.fine_tune import FineTune
from innerloop.learners.baselines.linear_probe import LinearProbe
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks.augment import Augmentation
from innerloop.tasks.cluttered import Clutter
from innerloop.tasks.coarse import Coarse
from innerloop.tasks.distorted import Distorted
from innerloop.tasks.episodes import BatchSampler, EpisodeSampler
from innerloop.tasks.pool import Pool

FROM_SCRATCH, LINEAR_PROBE = "from scratch", "linear probe"
_TRAINED_SHOTS = 5
_BATCH = 50
"""Examples of a step on the target's labels, at most all of them."""

_PICTURES = {"cluttered": Clutter(), "coarse": Coarse()}
"""Other pictures of the same classes that are trained on as well."""


class Entry(NamedTuple):
    """A row of the table before it is measured."""

    name: str
    learner: Learner
    params: Params
    meta: bool = False
    """Whether it was meta-learned on the source."""


def trained(source: Pool, ways: int, settings: Settings, seed: int, context: Context) -> Iterator[Entry]:
    """Entries of one seed, one after another as they are ready.

    Args:
        source: All its classes, of the size and channels that tasks have.
        ways: Of the target's tasks.
        settings: How.
        seed: Of parameters and draws.
        context: Where chosen plans are remembered.
    """
    network = Conv4(
        channels=source.shape[0], size=source.shape[-1], outputs=None, width=settings.width, pool=settings.pool
    )
    whole = replace(network, outputs=ways)
    scratch = Reptile(
        model=whole, inner_lr=settings.adaptation_lr, inner_batch=_BATCH, test_steps=settings.adaptation_steps
    )
    yield Entry(FROM_SCRATCH, scratch, scratch.init(seed))

    def learned(learner: Learner, sampler: Sampler, augmentation: Augmentation | None = None, **how: Any) -> Params:
        config = TrainConfig(
            **{"steps": settings.steps, "seed": seed, "meta_batch_size": 1, "meta_lr": 2e-3, "plan": "loop"} | how
        )
        material = sampler if augmentation is None else Distorted(sampler=sampler, augmentation=augmentation)
        return meta_train(learner, material, config, cache=context.cache)

    batches = BatchSampler(pool=source, batch_size=settings.batch_size, seed=seed)
    tasks = EpisodeSampler(
        pool=source, ways=min(ways, len(source)), shots=_TRAINED_SHOTS, queries=_TRAINED_SHOTS, seed=seed
    )
    probe = LinearProbe(encoder=network, head=Linear(network.features, len(source)), C=1.0)
    before = learned(probe, batches)
    yield Entry(LINEAR_PROBE, probe, before)
    yield Entry("fine-tune head", FineTune(encoder=probe.encoder, head=probe.head), before)
    yield Entry("fine-tune all", scratch, _with_new_head(scratch, before, seed))
    for kind, augmentation in _PICTURES.items():
        yield Entry(f"{LINEAR_PROBE}, {kind}", probe, learned(probe, batches, augmentation))
    prototypes, ridge = ProtoNet(encoder=network), R2D2(encoder=network, decay=20.0)
    yield Entry("protonet", prototypes, learned(prototypes, tasks), meta=True)
    yield Entry("r2d2", ridge, learned(ridge, tasks), meta=True)
    if tasks.ways == ways:  # MAML's outputs are the classes of a task
        steps = MAML(model=whole, inner_lr=0.5, transductive=True)
        weights = learned(steps, tasks)
        yield Entry("maml", replace(steps, transductive=False), weights, meta=True)
    for kind, augmentation in _PICTURES.items():
        yield Entry(f"protonet, {kind}", prototypes, learned(prototypes, tasks, augmentation), meta=True)
        yield Entry(f"r2d2, {kind}", ridge, learned(ridge, tasks, augmentation), meta=True)


def _with_new_head(learner: Reptile, before: Params, seed: int) -> Params:
    """All weights of a pre-trained encoder, and a head of zeros."""
    encoder, new = tree.part(before, "encoder"), learner.init(seed)
    return {k: encoder.get(k, torch.zeros_like(v)) for k, v in new.items()}
