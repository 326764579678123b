"""Every learner of the catalogue inside another one: the same gradient, predictions, config and checkpoint."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.config import decode, encode
from innerloop.core.model import Module
from innerloop.core.wrapper import Wrapper
from innerloop.engine import checkpoint, load, meta_gradient
from innerloop.learners import catalogue
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.problems.classes import Classes
from innerloop.runs import build, defaults

TRAITS = (
    "targets",
    "exact_gradient",
    "incremental",
    "probabilistic",
    "gives_probabilities",
    "stochastic",
    "ordered",
    "low_precision",
    "transductive",
)


@dataclass(frozen=True, kw_only=True)
class Identity(Wrapper):
    """Changes nothing."""


def run_of(name):
    usual = defaults(name)
    if usual.task.data != "kanji":
        return build(usual)
    assert isinstance(usual.task, Classes)
    task = replace(usual.task, data="digits", ways=3, train_ways=usual.task.train_ways and 3, queries=3)
    return build(replace(usual, task=task, network=replace(usual.network, width=4)))


@pytest.mark.parametrize("name", catalogue())
def test_wrapped_by_the_identity_it_is_itself(name, tmp_path):
    run = run_of(name)
    learner = run.learner
    wrapped = Identity(learner=learner, transductive=learner.transductive)
    params = learner.init(0)
    assert tree.flatten(wrapped.init(0)) == [] or all(torch.equal(v, params[k]) for k, v in wrapped.init(0).items())
    assert all(getattr(wrapped, trait) == getattr(learner, trait) for trait in TRAITS)

    episodes = run.train.episodes(0, 2)
    if params:
        gradients = [meta_gradient(one, params, episodes, "loop")[0] for one in (learner, wrapped)]
        assert all(torch.equal(v, gradients[1][k]) for k, v in gradients[0].items())

    task = tree.slice(run.test().episodes(0, 1), 0)
    with torch.no_grad():
        answers = [one.predict(params, one.adapt(params, task.support), task.query.x) for one in (learner, wrapped)]
    assert torch.equal(*answers)

    assert decode(encode(wrapped), allow=("tests",)) == wrapped
    checkpoint.write_config(tmp_path, wrapped, {}, {})
    checkpoint.save_params(tmp_path, wrapped, params)
    read, again = load(tmp_path, allow=("tests",))
    assert read == wrapped and again.keys() == params.keys()
    assert all(torch.equal(v, again[k]) for k, v in params.items())


class Coded(nn.Module):
    """Has a buffer that is drawn, and so must come from the file."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("code", torch.randn(4))

    def forward(self, x):
        return self.layer(x) + self.code


@dataclass(frozen=True, kw_only=True)
class Several(Wrapper):
    """Holds more learners than one."""

    others: tuple[ProtoNet, ...] = ()


def test_buffers_of_networks_inside_learners_are_kept(tmp_path):
    def learner():
        inner = [ProtoNet(encoder=Module(Coded)) for _ in range(3)]
        return Several(learner=Identity(learner=inner[0]), others=(inner[1], inner[2]))

    trained, fresh = learner(), learner()
    names = ["learner.learner.encoder.code", "others.0.encoder.code", "others.1.encoder.code"]
    kept = checkpoint.buffers(trained)
    assert list(kept) == [f"buffers.{name}" for name in names]
    for i, value in enumerate(kept.values()):
        value.fill_(i)
    checkpoint.restore_buffers(fresh, kept)
    assert [float(v.mean()) for v in checkpoint.buffers(fresh).values()] == [0.0, 1.0, 2.0]
