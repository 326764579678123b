"""The plan whose query is recorded once for all tasks, before a compiler has it: that one is slow, and held to the
same in `test_plans.py`."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_gradient, trace
from innerloop.engine.exactness import distance, double
from innerloop.engine.execute import execute
from innerloop.engine.plan import Plan
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP

SIZE = 8
SMALL = Conv4(width=4, size=SIZE, outputs=3, pool="stride")
ENCODER = dataclasses.replace(SMALL, outputs=None)


class Buffered(nn.Module):
    """Has a buffer, and a batch norm with running statistics of its own."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(1), nn.Linear(SIZE * SIZE, 3)
        self.register_buffer("code", torch.linspace(-1, 1, SIZE))
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.norm(x) + self.code).flatten(1))


def pictures(tasks: int = 5, masked: bool = False) -> Episode:
    """Tasks in float64, with rows that are not there where they are masked."""
    generator = torch.Generator().manual_seed(0)

    def batch(rows: int) -> Batch:
        y = torch.arange(rows).expand(tasks, -1) % 3
        x = torch.randn(tasks, rows, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)
        there = torch.arange(rows) < torch.arange(rows - tasks, rows)[:, None] + 1
        return Batch(x, y, there if masked else None, torch.ones(tasks, 3, dtype=torch.bool))

    return Episode(batch(9), batch(12))


LEARNERS = {
    "MAML": MAML(model=SMALL, inner_steps=2),
    "transductive": MAML(model=SMALL, inner_steps=2, transductive=True),
    "first order": MAML(model=SMALL, inner_steps=2, first_order=True),
    "buffers": MAML(model=Module(Buffered), inner_steps=2),
    "ANIL": ANIL(encoder=ENCODER, head=MLP(inputs=4, hidden=(), outputs=3), inner_steps=2),
    "ProtoNet": ProtoNet(encoder=ENCODER),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_recorded_query_changes_no_gradient(name):
    learner: Learner = LEARNERS[name]
    params = double(learner.init(0))
    for masked, plan in ((False, Plan("compile-query", threads=2)), (True, Plan("compile-query", 3, threads=1))):
        episodes = pictures(masked=masked)
        expected, metrics = execute(learner, params, episodes, Plan("loop"))
        found, found_metrics = execute(learner, params, episodes, plan, compiled=False)
        assert distance(found, expected) < 1e-10
        assert all(torch.allclose(found_metrics[k], metrics[k]) for k in metrics)


def test_one_recording_serves_all_chunks_and_another_shape_has_its_own(monkeypatch):
    recorded, made = trace.Recorded, []
    monkeypatch.setattr(trace, "_RECORDED", type(trace._RECORDED)())
    monkeypatch.setattr(trace, "Recorded", lambda *given: made.append(1) or recorded(*given))
    learner = LEARNERS["MAML"]
    params, episodes = double(learner.init(0)), pictures()
    for chunk in (1, 2, 5):
        execute(learner, params, episodes, Plan("compile-query", chunk, threads=1), compiled=False)
    assert len(made) == 1
    fewer = Episode(*(tree.slice(half, (slice(None), slice(0, 6)))._replace(classes=half.classes) for half in episodes))
    expected = execute(learner, params, fewer, Plan("loop"))[0]
    found = execute(learner, params, fewer, Plan("compile-query", threads=1), compiled=False)[0]
    assert distance(found, expected) < 1e-10 and len(made) == 2


def test_learners_without_a_query_half_are_refused_by_name():
    learner = Reptile(model=SMALL, inner_optimizer="sgd")
    with pytest.raises(InputError, match="loss of Reptile is not that of a query after adaptation"):
        meta_gradient(learner, learner.init(0), pictures(), "compile-query")


def test_the_plan_can_be_asked_for_by_name():
    assert str(Plan("compile-query", 4, threads=2)) == "compile-query, 4 tasks at once, 2 threads"
    assert TrainConfig(plan="compile-query").plan == "compile-query"
    assert Plan("compile-query", threads=2) == Plan("compile-query", 1, 2, "mixed")
    with pytest.raises(InputError, match="has the layout mixed"):
        Plan("compile-query", layout="channels_last")
    with pytest.raises(InputError, match="recompute works task by task"):
        Plan("compile-query", recompute=True)
