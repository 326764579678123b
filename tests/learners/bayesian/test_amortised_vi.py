import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode
from innerloop.learners.bayesian.amortised_vi import AmortisedVI
from innerloop.nn.mlp import Linear
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder

LEARNER = AmortisedVI(
    encoder=Module(encoder), prior=Linear(FEATURES, 3), inner_lr=0.3, inner_steps=2, samples=4, kl_weight=0.1
)


class TestAmortisedVI(TransductiveConformance):
    learner = LEARNER
    train = replace(TransductiveConformance.train, plan="vmap")  # a recording of its steps costs more than it saves


@torch.no_grad()
def test_it_converges_to_bayesian_linear_regression():
    """The bound's optimum: means of the exact posterior, variances of its conditionals.

    With a divergence for every row, or another noise, both would be others.
    """
    noise, std, n, d = 0.5, 0.8, 12, 3
    learner = AmortisedVI(
        encoder=Module(nn.Flatten),
        prior=Linear(d, 2),
        std=std,
        noise=noise,
        inner_lr=0.1,
        inner_steps=400,
        objective=regression,
    )
    params = {k: v.double() for k, v in learner.init(0).items()}
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (d, 2))
    adapted = learner.adapt(params, Batch(x + 3, y, key=random.mix(0, 0)))

    design = torch.cat([x - x.mean(0), torch.ones(n, 1, dtype=torch.float64)], 1)
    prior = torch.cat([params["prior.weight"], params["prior.bias"][:, None]], 1).T  # [d + 1, 2]
    precision = design.T @ design / noise**2 + torch.eye(d + 1, dtype=torch.float64) / std**2
    mean = torch.linalg.solve(precision, design.T @ y / noise**2 + prior / std**2)
    assert torch.allclose(adapted.head.mean["weight"], mean[:d].T, atol=1e-6)
    assert torch.allclose(adapted.head.mean["bias"], mean[d], atol=1e-6)
    variance = 1 / precision.diagonal()
    assert torch.allclose((2 * adapted.head.log_std["weight"]).exp(), variance[:d].expand(2, d), rtol=0.02)
    assert torch.allclose((2 * adapted.head.log_std["bias"]).exp(), variance[d].expand(2), rtol=0.02)
    members = learner.predictive(params, adapted, x + 3)
    assert torch.allclose(learner.predict(params, adapted, x + 3), design @ mean, atol=1e-5)
    assert members.std is not None and torch.allclose(members.std, torch.tensor(noise).double())


@torch.no_grad()
def test_the_loss_is_the_bound_of_the_query():
    """Of classes, with torch's distributions: the mean over members, and one divergence a task."""
    learner, (support, query) = LEARNER, tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    adapted = learner.adapt(params, support)
    outputs = learner.predictive(params, adapted, query.x).outputs
    chosen = outputs.log_softmax(-1)[:, torch.arange(len(query.y)), query.y]
    q = {k: Normal(adapted.head.mean[k], adapted.head.log_std[k].exp()) for k in ("weight", "bias")}
    p = {k: Normal(torch.zeros(()).double(), params[f"log_std.{k}"].exp()) for k in q}
    divergence = sum(kl_divergence(q[k], p[k]).sum() for k in q)
    expected = -chosen.mean() + 0.1 * divergence / len(query.y)
    assert torch.allclose(learner.loss(params, Episode(support, query))[0], expected)
    assert math.isclose(learner.loss(params, Episode(support, query._replace(y=query.y * 0 - 1)))[0], 0.1 * divergence)


@torch.no_grad()
def test_steps_go_down_on_the_bound_for_any_number_of_classes():
    learner = replace(LEARNER, inner_steps=8)
    params = learner.init(0)
    for ways, shots in ((2, 1), (20, 1), (5, 5)):
        support = tree.slice(NeedlesInNoise(ways=ways, shots=shots, dtype=torch.float32).episodes(0, 1), 0).support
        carry, bounds = learner.start(params, support), []
        for _ in range(8):
            carry, bound = learner.advance(params, carry, support)
            bounds.append(bound.item())
        assert all(after < before for before, after in itertools.pairwise(bounds)), bounds


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="needs prior"):
        AmortisedVI(encoder=Module(encoder), objective=regression)
    with pytest.raises(InputError, match="inner_lr must be more than 0"):
        AmortisedVI(encoder=Module(encoder), inner_lr=0.0)
    learner = AmortisedVI(encoder=Module(encoder))
    with pytest.raises(InputError, match="built for classes"):
        learner.adapt(learner.init(0), Batch(torch.ones(2, 8), torch.ones(2, 1), key=random.mix(0, 0)))
