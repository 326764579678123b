"""VIML, whose oracles are a loop over examples and the exact evidence of linear models."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import TrainConfig, meta_gradient
from innerloop.engine.plan import Plan
from innerloop.learners.generative.viml import VIML, Begun
from innerloop.nn.decoder import JoinedMLP
from innerloop.nn.mlp import MLP, Linear
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from tests.compared import answer, close, distance
from tests.conformance import Conformance
from tests.problems import INPUTS, NeedlesInNoise, inputs

UNITS, CODE, LATENT = 8, 3, 2


def statistician(warp: bool = False, **fields: Any) -> VIML:
    """Small, and smooth, so that finite differences hold."""
    begun = warp * (UNITS + INPUTS)
    return VIML(
        warp=warp,
        code_channels=CODE,
        latent=LATENT,
        encoder=MLP(INPUTS, (UNITS,), UNITS, "tanh"),
        statistic=MLP(UNITS, (UNITS,), 2 * CODE, "tanh"),
        posterior=JoinedMLP(UNITS * (1 + warp) + CODE, (UNITS,), (2 * LATENT,)),
        decoder=JoinedMLP(CODE + LATENT + begun, (UNITS,), (INPUTS,), "example" if warp else None),
        **fields,
    )


SHORT = TrainConfig(steps=75, meta_batch_size=8, meta_lr=1e-2, plan="replay")


class TestVIML(Conformance):
    learner = statistician()
    train = SHORT


class TestVIMLOfAnother(Conformance):
    learner = statistician(warp=True)
    train = SHORT


def doubles(learner: VIML, seed: int = 0) -> Params:
    return {k: v.double() for k, v in learner.init(seed).items()}


@pytest.fixture
def episode() -> Episode:
    return tree.slice(NeedlesInNoise().episodes(3, 1), 0)


@pytest.mark.parametrize("warp", [False, True])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_loss_is_a_loop_over_examples(episode, warp, likelihood):
    """One divergence of c for a class, one of z for an example, noise of the class, and never itself to begin from."""
    learner = statistician(warp, likelihood=likelihood)
    params = doubles(learner, 1)
    if likelihood == "bernoulli":
        episode = Episode(*(batch._replace(x=torch.sigmoid(batch.x)) for batch in episode))
    support, query = episode
    x, y = torch.cat([inputs(support), inputs(query)]), torch.cat([support.y, query.y])
    key, m = support.key, len(support.y)
    assert key is not None
    at = random.uniform(random.fold(key, 3), (2, 3), torch.float64)
    noise_c = random.normal(random.fold(key, 1), (3, CODE), torch.float64)
    noise_z = random.normal(random.fold(key, 2), (2, 3, LATENT), torch.float64)  # of support and query

    def network(name: str, v: Any) -> Tensor:
        return getattr(learner, name).apply(tree.part(params, name), v)[0]

    def normal(outputs: Tensor) -> Normal:
        mean, log_variance = outputs.chunk(2)
        return Normal(mean, (0.5 * log_variance).exp())

    def against_prior(q: Normal) -> Tensor:
        return kl_divergence(q, Normal(torch.zeros_like(q.mean), 1.0)).sum()

    bound = torch.zeros((), dtype=torch.float64)
    for k in range(3):
        own = [i for i in range(m) if y[i] == k]
        c = normal(network("statistic", torch.stack([network("encoder", x[i][None]) for i in own]).mean(0)[None]))
        bound -= against_prior(c)
        code = c.mean + c.stddev * noise_c[k]
        further, asked = 1 + int(at[0, k] * (len(own) - 1)), int(at[1, k] * len(own))
        for i in range(len(x)):
            if y[i] != k:
                continue
            other = own[(own.index(i) + further) % len(own)] if i < m else own[asked]
            assert other != i
            features = network("encoder", x[i][None])
            begun = {"anchor": network("encoder", x[other][None])[None]} if warp else {}
            z = normal(network("posterior", {"features": features[None], "code": code[None], **begun}))
            drawn = z.mean + z.stddev * noise_z[int(i >= m), k]
            begun = {"example": x[other][None], "features": begun["anchor"]} if warp else {}
            out = network("decoder", {"code": code[None], "latent": drawn[None], **begun})
            p = Normal(out, params["log_noise"].exp())
            fit = p.log_prob(x[i]) if likelihood == "gaussian" else x[i] * out + Bernoulli(logits=out).log_prob(0 * out)
            bound += fit.sum() - against_prior(z)
    assert close(learner.loss(params, episode)[0], -bound / len(x))


def linear(outputs: int, rows: list[list[float]], bias: list[float]) -> tuple[Linear, Params]:
    weight = torch.tensor(rows, dtype=torch.float64)
    return Linear(weight.shape[1], outputs), {"weight": weight, "bias": torch.tensor(bias, dtype=torch.float64)}


def joined(shape: int, rows: list[list[float]], bias: list[float]) -> tuple[JoinedMLP, Params]:
    _, params = linear(shape, rows, bias)
    return JoinedMLP(len(rows[0]), (), (shape,)), tree.join(layers=tree.join(**{"0": params}))


def known(sigma: float, **networks: tuple[Any, Params]) -> tuple[VIML, Params]:
    """A learner of numbers in a plane whose weights are given."""
    eye = linear(2, [[1, 0], [0, 1]], [0, 0])
    networks = {"encoder": eye, **networks}
    learner = VIML(
        warp=False, code_channels=2, latent=1, samples=4000, **{k: model for k, (model, _) in networks.items()}
    )
    params = tree.join(**{k: v for k, (_, v) in networks.items()})
    return learner, params | {"log_noise": torch.tensor(sigma, dtype=torch.float64).log()}


def test_the_bound_is_the_evidence_of_a_linear_model_with_one_level(episode):
    """x = w z + noise with z a standard normal, and the exact q(z | x): the bound is log N(x; 0, w w' + sigma^2)."""
    w, sigma = torch.tensor([1.5, -2.0], dtype=torch.float64), 0.7
    variance = 1 / (1 + w @ w / sigma**2)
    by = variance * w / sigma**2
    learner, params = known(
        sigma,
        statistic=linear(4, [[0, 0]] * 4, [0] * 4),
        posterior=joined(2, [[0, 0, *by.tolist()], [0] * 4], [0, float(variance.log())]),  # the code, the features
        decoder=joined(2, [[0, 0, float(v)] for v in w], [0, 0]),
    )
    support, query = (batch._replace(x=batch.x[:, :2]) for batch in episode)
    found = learner.evidence(params, learner.adapt(params, support), query.x)
    exact = MultivariateNormal(torch.zeros(2).double(), torch.outer(w, w) + sigma**2 * torch.eye(2)).log_prob(query.x)
    assert torch.allclose(found, exact[:, None].expand(-1, 3), rtol=0.01)


def test_the_bound_of_a_class_is_the_evidence_of_its_examples_together(episode):
    """x = c + noise and the exact q(c | x_1, ..., x_n), which one divergence for all of them pays for."""
    sigma, n = 0.7, 4
    shrink = n / (n + sigma**2)
    log_variance = torch.tensor(sigma**2 / (n + sigma**2)).log().item()
    learner, params = known(
        sigma,
        statistic=linear(4, [[shrink, 0], [0, shrink], [0, 0], [0, 0]], [0, 0, log_variance, log_variance]),
        posterior=joined(2, [[0] * 4] * 2, [0, 0]),
        decoder=joined(2, [[1, 0, 0], [0, 1, 0]], [0, 0]),
    )
    support, query = (batch._replace(x=0.5 * batch.x[:, :2]) for batch in episode)
    nobody = query._replace(mask=torch.zeros(len(query.y), dtype=torch.bool))

    def bound(key: Tensor) -> Tensor:
        return -12 * learner.loss(params, Episode(support._replace(key=key), nobody))[0]

    found = torch.vmap(bound)(random.mix(0, torch.arange(2000))).mean()
    together = MultivariateNormal(torch.zeros(n).double(), torch.ones(n, n) + sigma**2 * torch.eye(n))
    exact = sum(together.log_prob(support.x[support.y == k].T).sum() for k in range(3))
    assert abs(found - exact) < 0.01 * abs(exact)


def test_noise_goes_by_class_and_not_by_row(episode):
    learner = statistician()
    params, (support, query) = doubles(learner), episode
    turned = [batch._replace(x=batch.x.flip(0), y=batch.y.flip(0)) for batch in (support, query)]
    expected = learner.loss(params, episode)[0]
    assert close(learner.loss(params, Episode(*turned))[0], expected)
    other = support._replace(key=support.key + 1)
    assert not close(learner.loss(params, Episode(other, query))[0], expected, 1e-6)
    code, again = (learner.adapt(params, batch).code for batch in (support, turned[0]))
    assert close(code.mean, again.mean, 1e-12) and close(code.log_variance, again.log_variance, 1e-12)
    bending = statistician(warp=True)  # which of the support a row begins from goes by the order of the support
    params = doubles(bending)
    assert close(bending.loss(params, Episode(support, turned[1]))[0], bending.loss(params, episode)[0])


def test_an_example_alone_in_its_class_is_drawn_from_a_blank():
    """The decoder adds nothing to what it begins from."""
    learner = statistician(warp=True, noise=1.0)
    params = {k: v if k.startswith("encoder") else 0 * v for k, v in doubles(learner).items()}
    x = torch.arange(3 * INPUTS, dtype=torch.float64).reshape(3, INPUTS) / INPUTS
    support = Batch(x, torch.tensor([0, 1, 1]), classes=torch.ones(3, dtype=torch.bool), key=random.mix(0, 0))
    query = Batch(x[:2] + 1, torch.tensor([0, 2]))
    begun = torch.stack([0 * x[0], x[2], x[1], x[0], 0 * x[0]])  # the last is of a class without examples
    fit = Normal(begun, 1.0).log_prob(torch.cat([x, x[:2] + 1])).sum()
    assert close(learner.loss(params, Episode(support, query))[0], -fit / 5)
    drawn = learner.generate(params, learner.adapt(params, support), random.mix(0, 1), 20)
    assert torch.equal(drawn[0], x[0].expand(20, -1)) and torch.equal(drawn[2], torch.zeros(20, INPUTS))
    assert {tuple(row.tolist()) for row in drawn[1]} == {tuple(x[1].tolist()), tuple(x[2].tolist())}


@pytest.mark.parametrize("warp", [False, True])
def test_a_prediction_does_not_depend_on_how_much_is_decoded_at_once(episode, warp):
    learner = statistician(warp, samples=3)
    params = doubles(learner)
    answers = [answer(replace(learner, most=most), params, episode.support, episode.query.x) for most in (1, 40, 9999)]
    assert close(answers[0], answers[2]) and close(answers[1], answers[2])


def test_a_prediction_by_the_divergence_of_codes(episode):
    learner = statistician(predict_by="kl")
    params, (support, query) = doubles(learner), episode
    assert not learner.stochastic
    adapted = learner.adapt(params, support)
    each = learner.adapt(params, Batch(query.x, torch.arange(15), classes=torch.ones(15).bool(), key=support.key))
    a, b = (Normal(code.mean, (0.5 * code.log_variance).exp()) for code in (adapted.code, each.code))
    for k in range(3):
        expected = kl_divergence(Normal(a.mean[k], a.stddev[k]), b).sum(1)
        assert close(learner.predict(params, adapted, query.x)[:, k], -expected)


def test_what_is_generated_can_be_calmed(episode):
    learner = statistician(temperature=0.0, mean_code=True)
    params = doubles(learner)
    adapted = learner.adapt(params, episode.support)
    drawn = learner.generate(params, adapted, random.mix(0, 0), 3)
    assert close(drawn[:, 0], drawn[:, 1]) and not close(drawn[0], drawn[1], 1e-3)
    for looser in (replace(learner, temperature=1.0), replace(learner, mean_code=False)):
        drawn = looser.generate(params, adapted, random.mix(0, 0), 3)
        assert not close(drawn[:, 0], drawn[:, 1], 1e-3)
    assert bool((statistician(likelihood="bernoulli").generate(params, adapted, random.mix(0, 0), 3) > 0).all())


PICTURE = (1, 18, 18)


@pytest.mark.parametrize(
    "fields", [{}, {"code_map": False}, {"warp": False}, {"warp": False, "code_map": False}], ids=str
)
def test_pictures_of_any_size_by_every_plan(fields):
    """The gradient of a loop in float64 is that of tasks at once."""
    learner = make_learner(VIML, {"likelihood": "bernoulli", **fields}, PICTURE, 2, NetworkOptions(width=4))
    y, keys = torch.tensor([0, 1, 0, 1]).expand(2, -1), random.mix(0, torch.arange(2))
    x = random.uniform(random.fold(keys, 9), (4, *PICTURE), torch.float64)
    support = Batch(x, y, classes=torch.ones(2, 2, dtype=torch.bool), key=keys)
    episodes, params = Episode(support, support._replace(x=1 - x)), doubles(learner)
    params |= {k: v + 0.1 for k, v in params.items() if k.startswith("decoder.field.4")}  # where nothing moves at first
    expected, _ = meta_gradient(learner, params, episodes, "loop")
    assert all(bool((v != 0).any()) for k, v in expected.items() if k != "log_noise")
    assert distance(meta_gradient(learner, params, episodes, Plan("vmap", 2))[0], expected) < 1e-8
    adapted = learner.adapt(params, tree.slice(support, 0))
    drawn = learner.generate(params, adapted, keys[0], 2)
    assert drawn.shape == (2, 2, *PICTURE) and bool(((drawn > 0) & (drawn < 1)).all())


def test_what_it_cannot_take_is_said(episode):
    params, (support, query) = doubles(statistician()), episode
    with pytest.raises(InputError, match=r"numbers from 0 to 1, and these are from .* use likelihood='gaussian'"):
        statistician(likelihood="bernoulli").loss(params, episode)
    with pytest.raises(InputError, match="inputs that are one tensor, got a dict of a"):
        statistician().adapt(params, support._replace(x={"a": query.x}))
    normed = replace(statistician(), encoder=Module(lambda: nn.BatchNorm1d(INPUTS)))
    with pytest.raises(InputError, match="no batch norms, and encoder has"):
        normed.init(0)
    with pytest.raises(InputError, match="resnet12 only reads: use --network auto"):
        make_learner(VIML, {}, (1, 28, 28), 5, NetworkOptions(network="resnet12"))


@pytest.mark.parametrize("warp", [True, False])
def test_a_reconstruction_is_that_of_the_example_that_bounds_it_best(episode, warp):
    which = statistician(warp)
    params, (support, query) = doubles(which), episode
    adapted = which.adapt(params, support)
    found = which.reconstruct(params, adapted, query.x, query.y)
    assert found.shape == query.x.shape
    code = adapted.code.mean
    features = which.encoder.apply(tree.part(params, "encoder"), query.x)
    for i, y in enumerate(query.y):
        tried = []
        for j in (adapted.y == y).nonzero().flatten() if warp else [None]:
            begun = None if j is None else Begun(adapted.x[j][None], adapted.features[j][None])
            z = which._latent(params, features[i][None], code[y][None], begun)
            outputs = which._decoded(params, code[y][None], z.mean, begun)
            bound = which._log_p(params, outputs, query.x[i][None]) - z.divergence()
            tried.append((float(bound), outputs[0]))
        assert torch.allclose(found[i], max(tried, key=lambda pair: pair[0])[1])
