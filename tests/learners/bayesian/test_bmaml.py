from dataclasses import replace

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.stopped import held
from innerloop.core.types import joined
from innerloop.engine import TrainConfig, meta_gradient
from innerloop.learners.bayesian.bmaml import BMAML
from innerloop.learners.gradient.maml import MAML
from tests.compared import distance, gap
from tests.conformance import TransductiveConformance
from tests.problems import NeedlesInNoise, RaggedPlanes, classifier

SMALL = BMAML(model=Module(classifier), particles=3, inner_lr=0.5, inner_steps=2)


class TestBMAML(TransductiveConformance):
    learner = SMALL
    train = TrainConfig(steps=80, meta_batch_size=8, meta_lr=2e-2, plan="vmap")


def needles(count=3):
    return NeedlesInNoise().episodes(0, count)


def double(params):
    return {k: v.double() for k, v in params.items()}


def test_without_a_kernel_it_is_an_ensemble_of_independent_mamls():
    """EMAML: each member has the initialisation, adaptation and gradient of a MAML with a seed of its own."""
    learner = replace(SMALL, kernel="none", meta_loss="plain")
    maml = MAML(model=SMALL.model, inner_lr=SMALL.inner_lr, inner_steps=SMALL.inner_steps)
    params, episodes = double(learner.init(4)), needles()
    gradient, metrics = meta_gradient(learner, params, episodes, "loop")
    assert learner.exact_gradient and not any(v.any() for v in tree.part(gradient, "log_precision").values())
    losses = []
    for i in range(learner.particles):
        alone = double(maml.init(4 * learner.particles + i))
        expected, own = meta_gradient(maml, alone, episodes, "loop")
        losses.append(own["loss"])
        member = {k: v[i] for k, v in tree.part(gradient, "model").items()}
        assert distance({k: learner.particles * v for k, v in member.items()}, expected) < 1e-10
    assert torch.allclose(metrics["loss"], torch.stack(losses).mean())


def test_one_particle_climbs_the_posterior():
    """Gradient ascent on the Gaussian log likelihood and the log prior, written out, over the support's rows."""
    learner = replace(SMALL, particles=1, inner_steps=1, prior_precision=0.3, objective=regression, transductive=True)
    params = double(learner.init(0))
    params["log_precision.likelihood"] += 0.7
    support = tree.slice(RaggedPlanes().episodes(0, 1), 0).support
    assert support.mask is not None
    weights = {k: v[0].clone().requires_grad_() for k, v in tree.part(params, "model").items()}
    errors = (learner.model.apply(weights, support.x, support.mask) - support.y)[support.mask]
    precision = torch.tensor(0.7, dtype=torch.float64).exp()
    log_posterior = -0.5 * precision * errors.square().sum()
    log_posterior = log_posterior - 0.5 * 0.3 * sum(w.square().sum() for w in weights.values())
    slopes = dict(zip(weights, torch.autograd.grad(log_posterior, [*weights.values()]), strict=True))
    adapted = learner.adapt(params, support)
    for name, weight in weights.items():
        expected = weight + learner.inner_lr * slopes[name] / errors.numel()
        assert torch.allclose(adapted.weights[name][0], expected, atol=1e-10), name
    assert adapted.std is not None and torch.allclose(adapted.std, precision.rsqrt())


def test_the_chaser_follows_a_leader_that_is_held():
    """Its gradient is that of the distance to a leader computed beforehand, and another where it is not held."""
    learner = replace(SMALL, leader_steps=2)
    params, episode = double(learner.init(0)), tree.slice(needles(1), 0)
    both = joined(*episode)
    with torch.no_grad():
        leaders = learner.unroll(params, episode.support)
        for _ in range(learner.leader_steps):
            leaders, _ = learner.advance(params, leaders, both)

    def chase(weights, fixed=True):
        followers = leader = learner.unroll(params | weights, episode.support)
        if not fixed:
            for _ in range(learner.leader_steps):
                leader, _ = learner.advance(params | weights, leader, both)
        ahead = leaders if fixed else leader
        return torch.stack([(followers[k] - ahead[k]).square().sum() for k in followers]).sum()

    gradient, _ = meta_gradient(learner, params, tree.stack([episode]), "loop")
    weights = {k: v for k, v in params.items() if k.startswith("model.")}
    own = {k: gradient[k] for k in weights}
    # The kernel's bandwidth is a constant of every step, so it is held as well.
    assert gap(own, weights, [held(chase, weights)]) < 1e-6
    assert gap(own, weights, [held(lambda w: chase(w, fixed=False), weights)]) > 1e-2


def test_precisions_learn_from_the_query_and_not_from_distances():
    """Where steps are of length 0, only the likelihood of the query knows a precision: that of its mean error."""
    learner = replace(SMALL, inner_lr=0.0, objective=regression, transductive=True)
    params, episode = double(learner.init(0)), tree.slice(RaggedPlanes().episodes(0, 1), 0)
    gradient, _ = meta_gradient(learner, params, tree.stack([episode]), "loop")
    assert not any(v.any() for v in tree.part(gradient, "model").values()), "follower and leader stay where they were"
    weights = tree.part(params, "model")
    for i in range(learner.particles):
        member = {k: v[i] for k, v in weights.items()}
        error = regression(learner.model.apply(member, episode.query.x), episode.query.y, episode.query.mask)
        expected = (0.5 * error - 0.5) / learner.particles
        assert torch.allclose(gradient["log_precision.likelihood"][i], expected)


def test_members_differ_and_their_noise_is_that_of_their_precision():
    learner = replace(SMALL, objective=regression)
    params, (support, query) = double(learner.init(0)), tree.slice(RaggedPlanes().episodes(0, 1), 0)
    params["log_precision.likelihood"] += torch.tensor([0.0, 1.0, 2.0])
    with torch.no_grad():
        predictive = learner.predictive(params, learner.adapt(params, support), query.x)
        mean = learner.predict(params, learner.adapt(params, support), query.x)
    assert predictive.outputs.shape == (3, *query.y.shape) and torch.allclose(mean, predictive.outputs.mean(0))
    assert predictive.std is not None
    assert torch.allclose(predictive.std[:, 0, 0], torch.tensor([0.0, -0.5, -1.0], dtype=torch.float64).exp())
    assert predictive.outputs.std(0).min() > 1e-3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"particles": 0}, "particles must be a whole number of at least 1, got 0"),
        ({"leader_steps": 0}, "leader_steps must be at least 1 for the chaser"),
        ({"kernel": "rbff"}, "there is no kernel 'rbff': use rbf, none"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        replace(SMALL, **wrong)
    assert replace(SMALL, leader_steps=0, meta_loss="plain").leader_steps == 0, "plain has no leader"
