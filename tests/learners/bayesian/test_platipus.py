from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import draw, key_of
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.learners.bayesian.platipus import PLATIPUS
from innerloop.learners.gradient.maml import MAML
from tests.conformance import TransductiveConformance
from tests.problems import NeedlesInNoise, classifier, inputs, quadratics, vector

NEVER = torch.tensor(-80.0, dtype=torch.float64)
"""Logarithm of a rate, or of a deviation, that moves nothing."""


LEARNER = PLATIPUS(model=Module(classifier), inner_lr=0.3, inner_steps=2, members=3, std=0.05, kl_weight=0.1)


class TestPLATIPUS(TransductiveConformance):
    learner = LEARNER
    train = replace(TransductiveConformance.train, plan="vmap")  # a recording of its steps costs more than it saves


def double(learner):
    return {k: v.double() for k, v in learner.init(0).items()}


def test_without_spread_it_is_maml():
    """Loss, meta-gradient and answers, where nothing moves p or q and their deviations are tiny."""
    learner, maml = (
        replace(LEARNER, kl_weight=0.0),
        MAML(model=Module(classifier), inner_lr=0.3, inner_steps=2),
    )
    params, episodes = double(learner), NeedlesInNoise().episodes(0, 3)
    params = {k: NEVER.expand_as(v) if k.startswith("log_") else v for k, v in params.items()}
    found, expected = (
        meta_gradient(one, p, episodes, "loop") for one, p in ((learner, params), (maml, tree.part(params, "mean")))
    )
    assert torch.allclose(found[1]["loss"], expected[1]["loss"], rtol=1e-12)
    for name, slope in expected[0].items():
        assert torch.allclose(found[0][f"mean.{name}"], slope, rtol=1e-9, atol=1e-12)
    support, query = tree.slice(episodes, 0)
    with torch.no_grad():
        answers = learner.predictive(params, learner.adapt(params, support), query.x).outputs
        plain = maml.predict(tree.part(params, "mean"), maml.adapt(tree.part(params, "mean"), support), query.x)
    assert torch.allclose(answers, plain.expand_as(answers), rtol=1e-9)


def test_the_loss_is_that_of_algorithm_1():
    """Of a linear model, written out with torch's distributions."""
    learner = PLATIPUS(model=Module(vector), inner_lr=0.2, std=0.3, noise=0.7, kl_weight=0.5, objective=regression)
    params = double(learner) | {"log_q_lr": torch.tensor(-0.5).double(), "log_prior_lr": torch.tensor(-2.0).double()}
    params["log_q_std.weight"] = params["log_q_std.weight"] - 0.4
    support, query = tree.slice(quadratics(1), 0)
    support = support._replace(key=random.mix(0, 7))

    def slope(batch: Batch, w: torch.Tensor) -> torch.Tensor:  # of the mean squared error
        return 2 * (inputs(batch) @ w - batch.y[:, 0]) @ inputs(batch) / len(batch.y)

    w = params["mean.weight"][0]
    q = Normal(w - params["log_q_lr"].exp() * slope(query, w), params["log_q_std.weight"][0].exp())
    p = Normal(w - params["log_prior_lr"].exp() * slope(support, w), params["log_std.weight"][0].exp())
    theta = q.mean + q.stddev * random.normal(random.mix(0, 7), (1, 4), torch.float64)[0]
    fast = theta - 0.2 * slope(support, theta)
    likelihood = Normal(inputs(query) @ fast, params["log_noise"].exp()).log_prob(query.y[:, 0]).mean()
    expected = -likelihood + 0.5 * kl_divergence(q, p).sum() / len(query.y)
    assert torch.allclose(learner.loss(params, Episode(support, query))[0], expected, rtol=1e-12)


@torch.no_grad()
def test_what_it_answers_has_not_seen_the_labels_of_queries():
    """Labels of noise are guessed at chance, after a training step on them too; a planted leak guesses better.

    The leak draws initialisations from q, as training does.
    """
    learner = replace(LEARNER, inner_lr=1.0)
    params, right, leaked = double(learner), [], []
    episodes = NeedlesInNoise(queries=20).episodes(0, 20)
    noise = random.bits(random.mix(7, torch.arange(20)), (60,)) % 3
    for i in range(20):
        support, query = tree.slice(episodes._replace(query=episodes.query._replace(y=noise)), i)
        learner.loss(params, Episode(support, query))
        right.append(learner.predict(params, learner.adapt(params, support), query.x).argmax(-1) == query.y)
        q = learner._moved(params, query, "log_q_std", "log_q_lr")
        members = learner.finish(params, draw(q, key_of(support), learner.members), support)
        leaked.append(learner.predict(params, members, query.x).argmax(-1) == query.y)
    chance, four_deviations = 1 / 3, 4 * (2 / 9 / 1200) ** 0.5
    shares = [torch.cat(answers).double().mean().item() for answers in (right, leaked)]
    assert abs(shares[0] - chance) < four_deviations
    assert shares[1] > chance + four_deviations, "the leak must show"


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="inner_lr must be more than 0"):
        PLATIPUS(model=Module(classifier), inner_lr=0.0)
    with pytest.raises(InputError, match="members must be a whole number of at least 1"):
        PLATIPUS(model=Module(classifier), members=0)
    learner = LEARNER
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support._replace(key=None)
    with pytest.raises(InputError, match="the support needs a key"):
        learner.adapt(double(learner), support)
