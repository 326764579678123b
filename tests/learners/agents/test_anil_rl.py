"""ANIL for agents, which is MAML whose body stands still."""

import torch

from innerloop.core import tree
from innerloop.learners.agents.anil_rl import ANILRL
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.navigation import Navigation
from tests.agents import AgentConformance, tasks

LEARNER = ANILRL(
    env=Navigation(horizon=3),
    encoder=MLP(inputs=2, hidden=(5,), outputs=4, activation="tanh"),
    head=Gaussian(inputs=4, hidden=()),
    trajectories=4,
)


class TestANILRL(AgentConformance):
    learner = LEARNER


def test_the_head_adapts_and_the_encoder_does_not():
    params = {k: v.double() for k, v in LEARNER.init(0).items()}
    weights = LEARNER.adapt(params, tree.slice(tasks(LEARNER.env, 1), 0).support).weights
    moved = {k for k in params if not torch.equal(params[k], weights[k])}
    assert moved and moved == {k for k in params if k.startswith("head.")}


def test_the_heads_step_is_that_of_maml_on_the_encoders_features():
    """A policy whose only weights are the head's, on observations that are the features, takes the same step."""
    learner = ANILRL(
        env=LEARNER.env, encoder=MLP(inputs=2, hidden=(), outputs=2), head=Gaussian(inputs=2, hidden=()), trajectories=4
    )
    whole = MAMLRL(env=LEARNER.env, model=Gaussian(inputs=2, hidden=()), trajectories=4)
    head = {k: v.double() for k, v in whole.init(3).items()}
    same = {"1.weight": torch.eye(2).double(), "1.bias": torch.zeros(2).double()}
    support = tree.slice(tasks(LEARNER.env, 1), 0).support
    found = tree.part(learner.adapt(tree.join(encoder=same, head=head), support).weights, "head")
    expected = whole.adapt(head, support).weights
    assert all(torch.allclose(found[k], expected[k], rtol=1e-12, atol=1e-12) for k in expected)
