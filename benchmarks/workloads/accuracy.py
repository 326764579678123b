"""Time until 90% of meta-validation queries are right, and what bfloat16 costs in accuracy; on real Omniglot."""

import os
from typing import Any

import torch

from benchmarks.child import Work
from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender
from benchmarks.ours import chosen
from benchmarks.problems import META_LR, OMNIGLOT, PROBLEMS
from innerloop.core.learner import Learner
from innerloop.core.scores import Accuracy
from innerloop.core.types import Episode, Params
from innerloop.engine import meta_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.step import validation_scores
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.omniglot import omniglot

TASKS, STEPS = 16, 10
"""Of a meta-batch, and meta-steps between validations, which are not timed."""
TARGET = 0.9
_VALIDATION = 100


class _Race:
    """Meta-batches in the same order for everyone, and the same validation episodes."""

    def __init__(self, **task: int):
        if "INNERLOOP_DATA" not in os.environ:
            raise FileNotFoundError("INNERLOOP_DATA does not say where Omniglot is")
        splits = omniglot()
        self.training = EpisodeSampler(pool=splits.train, seed=1, **task)
        self.validation = EpisodeSampler(pool=splits.validation, seed=2, **task).episodes(0, _VALIDATION)
        self.step = 0

    def batch(self, tasks: int) -> Episode:
        self.step += 1
        return self.training.episodes((self.step - 1) * tasks, tasks)

    def score(self, learner: Learner, params: Params) -> float:
        return float(validation_scores(learner, params, self.validation, Accuracy()).mean())


def _learner() -> MAML:
    return MAML(model=OMNIGLOT.model, inner_lr=OMNIGLOT.inner_lr, transductive=True)


def ours() -> Work:
    """As `meta_train`: the plan is chosen on the first meta-batch, which is not timed."""
    race, learner = _Race(ways=5, shots=1, queries=15), _learner()
    params: Params = {k: v.requires_grad_() for k, v in learner.init(0).items()}
    optimizer = torch.optim.Adam(params.values(), lr=META_LR)
    plan, said = chosen(learner, learner.init(0), race.training.episodes(0, TASKS), None)

    def run() -> None:
        for _ in range(STEPS):
            gradient, _ = meta_gradient(learner, params, race.batch(TASKS), plan)
            for name, leaf in params.items():
                leaf.grad = gradient[name]
            optimizer.step()

    return Work(run=run, said=said, single=True, score=lambda: race.score(learner, params))


def theirs() -> Work:
    from benchmarks.one_by_one import Steps
    from benchmarks.peers.learn2learn import MAML as wrapper

    race, step = _Race(ways=5, shots=1, queries=15), Steps(wrapper, "omniglot", 1)

    def run() -> None:
        for _ in range(STEPS):
            (x, y, *_), (query, answers, *_) = race.batch(TASKS)
            assert isinstance(x, torch.Tensor) and isinstance(query, torch.Tensor)
            step([((x[i], y[i]), (query[i], answers[i])) for i in range(TASKS)])

    def score() -> float:
        params = {k.removeprefix("module."): v.detach() for k, v in step.maml.named_parameters()}
        return race.score(_learner(), params)

    return Work(run=run, single=True, score=score)


def prototypes(precision: str, steps: int) -> Work:
    """A whole short training; its scores on meta-validation episodes are what is asked for."""
    race = _Race(ways=20, shots=5, queries=5)
    learner = ProtoNet(encoder=PROBLEMS["20 ways, 5 shots"].model)
    params: Params = {k: v.requires_grad_() for k, v in learner.init(0).items()}
    optimizer = torch.optim.Adam(params.values(), lr=META_LR)
    plan = Plan("loop", layout="channels_last", precision="bfloat16" if precision == "bfloat16" else "float32")

    def run() -> None:
        for _ in range(steps):
            gradient, _ = meta_gradient(learner, params, race.batch(1), plan)
            for name, leaf in params.items():
                leaf.grad = gradient[name]
            optimizer.step()

    def extras() -> dict[str, Any]:
        return {"scores": validation_scores(learner, params, race.validation, Accuracy())[:, 0].tolist()}

    return Work(run=run, steps=steps, single=True, extras=extras)


_MAKE = "benchmarks.workloads.accuracy:"
_RACERS = (
    Contender(name="auto, raised thresholds", make=f"{_MAKE}ours", allocator="raised", plan="auto"),
    Contender(name="learn2learn, 1 thread", make=f"{_MAKE}theirs", threads=1),
    Contender(name="learn2learn, 2 threads", make=f"{_MAKE}theirs", threads=2),
)
_PRECISIONS = tuple(
    Contender(
        name=precision, make=f"{_MAKE}prototypes", options={"precision": precision, "steps": 50}, allocator="raised"
    )
    for precision in ("float32", "bfloat16")
)
WORKLOADS = (
    Workload(
        name="accuracy",
        title=f"seconds of training until {TARGET:.0%} on {_VALIDATION} meta-validation episodes, Omniglot 5 ways "
        f"1 shot, MAML, {TASKS} tasks a step",
        contenders=_RACERS,
        claims=(
            Claim(
                said="learn2learn, better of 1 and 2 threads, default allocator",
                ours=_RACERS[0].name,
                others=tuple(c.name for c in _RACERS[1:]),
                least=1.6,
                aim=2.2,
            ),
        ),
        unit="s",
        rounds=60,
        budget=700,
        target=TARGET,
        same=False,
        note=f"The same network, initial parameters, rates and episodes on both sides, sampled by ours. Validated "
        f"every {STEPS} steps, outside of the clock.",
    ),
    Workload(
        name="bf16",
        title="accuracy of ProtoNet (W4) trained in bfloat16 and in float32 on the same episodes, 200 steps",
        contenders=_PRECISIONS,
        claims=(),
        rounds=3,
        budget=60,
        same=False,
        note="Scored in float32 on the same 100 meta-validation episodes, inductive.",
    ),
)
