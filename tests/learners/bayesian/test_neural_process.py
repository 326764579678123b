"""Neural processes, whose oracles are a loop over examples in NumPy and the exact Gaussian process."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import interval
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.evaluate import meta_test
from innerloop.evaluate.predictive import nll, predictive_scores
from innerloop.learners.bayesian.neural_process import NeuralProcess
from innerloop.nn.mlp import MLP
from innerloop.tasks import GPCurves
from tests.compared import answer, close, distance
from tests.conformance import ValuesConformance
from tests.problems import INPUTS, RaggedPlanes, encoder, inputs, real_rows

TARGETS, UNITS = 3, 8
CURVES = GPCurves(shots=2, queries=24, noise=0.1, lengthscale=(0.4, 0.4), scale=(1.0, 1.0))


def process(
    path: str = "deterministic", inputs: int = INPUTS, outputs: int = TARGETS, members: int = 4, **fields: Any
) -> NeuralProcess:
    """Small, and smooth, so that finite differences hold."""

    def mlp(n: int, out: int, *hidden: int) -> MLP:
        return MLP(inputs=n, hidden=hidden, outputs=out, activation="tanh")

    known = UNITS * ((path != "latent") + (path != "deterministic"))
    return NeuralProcess(
        path=path,  # pyright: ignore[reportArgumentType]
        heads=2,
        members=members,
        encoder=mlp(inputs + outputs, UNITS, UNITS),
        keys=mlp(inputs, 6),
        latent=mlp(inputs + outputs, UNITS, UNITS),
        posterior=mlp(UNITS, 2 * UNITS),
        decoder=mlp(inputs + known, 2 * outputs, 2 * UNITS),
        **fields,
    )


SHORT = TrainConfig(steps=80, meta_batch_size=8, meta_lr=1e-2, plan="replay")


class TestNeuralProcess(ValuesConformance):
    learner = process()
    train = SHORT


class TestAttentiveNeuralProcess(ValuesConformance):
    learner = process("both", attention=True)
    train = SHORT


def softplus(v: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(v))


@pytest.mark.parametrize(
    ("path", "attention"), [("deterministic", False), ("deterministic", True), ("latent", False), ("both", True)]
)
def test_the_forward_pass_is_a_loop_over_examples_in_numpy(path, attention):
    learner = process(path, attention=attention)
    params = {k: v.double() for k, v in learner.init(1).items()}
    support, query = map(real_rows, tree.slice(RaggedPlanes().episodes(3, 1), 0))
    x, y, asked = (v.numpy() for v in (inputs(support), support.y, inputs(query)))
    assert support.key is not None
    key = support.key

    def network(name: str, v: np.ndarray) -> np.ndarray:
        own = {k: p.numpy() for k, p in tree.part(params, name).items()}
        last = max(int(k.split(".")[0]) for k in own)
        for i in range(1, last + 1, 2):
            v = own[f"{i}.weight"] @ v + own[f"{i}.bias"]
            v = v if i == last else np.tanh(v)
        return v

    def normal(latent: str, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.mean([network(latent, np.concatenate(pair)) for pair in zip(xs, ys, strict=True)], 0)
        both = network("posterior", mean)
        return both[:UNITS], 0.1 + 0.9 / (1 + np.exp(-both[UNITS:]))

    def known(at: np.ndarray) -> list[np.ndarray]:
        if path == "latent":
            return []
        values = [network("encoder", np.concatenate(pair)) for pair in zip(x, y, strict=True)]
        if not attention:
            return [np.mean(values, 0)]
        parts, mine, theirs = [], network("keys", at), [network("keys", row) for row in x]
        for head in range(2):
            k, v = slice(3 * head, 3 * head + 3), slice(4 * head, 4 * head + 4)
            shares = np.exp([mine[k] @ one[k] / math.sqrt(3) for one in theirs])
            parts.append(sum(s * value[v] for s, value in zip(shares / shares.sum(), values, strict=True)))
        return [np.concatenate(parts)]

    def decoded(at: np.ndarray, sample: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        out = network("decoder", np.concatenate([at, *known(at), *sample]))
        return out[:TARGETS], 0.1 + 0.9 * softplus(out[TARGETS:])

    samples: list[list[np.ndarray]] = [[]]
    if path != "deterministic":
        mean, std = normal("latent", x, y)
        drawn = random.normal(random.fold(key, 1), (4, UNITS), torch.float64).numpy()
        samples = [[mean + std * noise] for noise in drawn]
    found = learner.predictive(params, learner.adapt(params, support), query.x)
    expected = [[decoded(at, sample) for at in asked] for sample in samples]
    assert found.outputs.numpy() == pytest.approx(np.array([[mean for mean, _ in m] for m in expected]), rel=1e-10)
    assert found.std is not None
    assert found.std.numpy() == pytest.approx(np.array([[std for _, std in m] for m in expected]), rel=1e-10)

    every = (np.concatenate([x, asked]), np.concatenate([y, query.y.numpy()]))
    sample, price = [], 0.0
    if path != "deterministic":
        (a, s), (b, t) = normal("latent", *every), normal("latent", x, y)
        noise = random.normal(random.fold(key, 2), (1, UNITS), torch.float64).numpy()[0]
        sample, price = [a + s * noise], np.sum(np.log(t / s) + (s**2 + (a - b) ** 2) / (2 * t**2) - 0.5)
    surprise = 0.0
    for at, truth in zip(*every, strict=True):
        mean, std = decoded(at, sample)
        surprise += np.sum(((truth - mean) / std) ** 2 / 2 + np.log(std * math.sqrt(2 * math.pi)))
    loss = float(learner.loss(params, Episode(support, query))[0])
    assert loss == pytest.approx((surprise + price) / len(every[0]), rel=1e-10)


LEARNERS = [process(), process(attention=True), process("latent"), process("both", attention=True)]


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda one: f"{one.path}-{one.attention}")
def test_contexts_of_one_and_of_none_are_answered(learner):
    """Of none: the prior, whether there are no rows or only padding, and whatever the padding holds."""
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(RaggedPlanes(fewest=None).episodes(0, 1), 0)

    def first(n: int) -> Batch:
        return support._replace(x=inputs(support)[:n], y=support.y[:n])

    nothing = torch.zeros(len(support.y), dtype=torch.bool)
    none = answer(learner, params, first(0), query.x)
    assert none.isfinite().all() and close(answer(learner, params, support._replace(mask=nothing), query.x), none)
    one = answer(learner, params, first(1), query.x)
    assert one.isfinite().all() and not close(one, none, 1e-6)
    for n in (0, 1):
        gradient, metrics = meta_gradient(learner, params, tree.stack([Episode(first(n), query)]), "loop")
        assert metrics["loss"].isfinite() and all(bool(g.isfinite().all()) for g in gradient.values())
    if learner.stochastic:
        latents = replace(learner, members=4000).adapt(params, first(0)).latents
        assert latents is not None and abs(float(latents.mean())) < 0.05 and abs(float(latents.std()) - 1) < 0.05
        after = learner.adapt(params, first(1)).latents
        assert after is not None and not close(after, latents[:4], 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS[::3], ids=lambda one: f"{one.path}-{one.attention}")
def test_the_compiled_gradient_is_the_loops(learner):
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = RaggedPlanes().episodes(0, 4)
    expected, compiled = (meta_gradient(learner, params, episodes, Plan(name))[0] for name in ("loop", "compile"))
    assert distance(compiled, expected) < 1e-8


def test_never_below_the_exact_process_unless_targets_leak():
    """What is planted: a support that holds the query as well, which only the exact floor can catch."""
    unseen, below = replace(CURVES, seed=1), {}
    tasks = [tree.slice(unseen.episodes(0, 40), i) for i in range(40)]
    exact = torch.stack([nll(CURVES.exact(e.support, e.query.x), e.query.y) for e in tasks])
    config = TrainConfig(steps=200, meta_batch_size=16, meta_lr=1e-2, clip=10.0, plan="vmap", validate_every=0)
    for leaks in (False, True):
        train, test = (Told(curves) if leaks else curves for curves in (CURVES, unseen))
        params = meta_train(learner := process(inputs=1, outputs=1, attention=True), train, config)
        below[leaks] = interval(exact - predictive_scores(learner, params, test, 40).scores["nll"])
    assert below[False].mean < 0, "a learner cannot know more than the process"
    assert below[True].mean > below[True].ci95, "a leak that the floor does not show"


class Told:
    """Curves whose support has the targets of the query in it."""

    def __init__(self, curves: GPCurves):
        self.curves = curves

    def episodes(self, first: int, count: int) -> Episode:
        support, query = self.curves.episodes(first, count)
        told = support._replace(x=torch.cat([inputs(support), inputs(query)], 1), y=torch.cat([support.y, query.y], 1))
        return Episode(told, query)

    def describe(self) -> dict[str, object]:
        return self.curves.describe()


def test_a_key_is_needed_by_latents_alone():
    support = real_rows(tree.slice(RaggedPlanes().episodes(0, 1), 0).support)._replace(key=None)
    process().adapt(params := {k: v.double() for k, v in process().init(0).items()}, support)
    learner = process("latent")
    params = {k: v.double() for k, v in learner.init(0).items()}
    with pytest.raises(InputError, match="the support needs a key"):
        learner.adapt(params, support)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: process("latent", attention=True), "attention is over the deterministic path: take path='both'"),
        (lambda: replace(process(), encoder=None), "needs the network encoder"),
        (lambda: replace(process("latent"), posterior=None), "needs the network posterior"),
        (lambda: process(members=0), "members must be a whole number of at least 1"),
        (lambda: process(floor=0.0), "floor must be"),
        (lambda: replace(process(), decoder=Module(encoder)).init(0), "no batch norms, and decoder has"),
    ],
)
def test_what_makes_no_process_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_heads_cut_keys_and_values_into_equal_parts():
    learner = replace(process(attention=True), heads=4)
    with pytest.raises(InputError, match="4 heads cut keys of length 6 and values of length 8"):
        learner.predict(
            params := {k: v.double() for k, v in learner.init(0).items()},
            learner.adapt(params, support := tree.slice(RaggedPlanes().episodes(0, 1), 0).support),
            support.x,
        )


def test_targets_that_are_no_number_are_refused_by_name():
    class Broken:
        def episodes(self, first: int, count: int) -> Episode:
            support, query = CURVES.episodes(first, count)
            y: Tensor = query.y.clone()
            y[torch.arange(first, first + count) == 1, 0] = math.nan
            return Episode(support, query._replace(y=y))

        def describe(self) -> dict[str, object]:
            return CURVES.describe()

    learner, config = process(inputs=1, outputs=1), TrainConfig(steps=2, meta_batch_size=2, validate_every=0)
    with pytest.raises(FailedError, match="NaN in the inputs or targets"):
        meta_train(learner, Broken(), config)
    for test in (predictive_scores, meta_test):
        with pytest.raises(InputError, match="1 of the 24 targets of the query of episode 1 are not finite"):
            test(learner, learner.init(0), Broken(), 2)


def test_the_exact_process_is_scikit_learns():
    curves = replace(CURVES, shots=6, fewest_shots=3, lengthscale=(0.7, 0.7), scale=(1.3, 1.3))
    support, query = tree.slice(curves.episodes(5, 1), 0)
    found, seen = curves.exact(support, query.x), real_rows(support)
    kernel = 1.3**2 * RBF(0.7, "fixed")
    options: Any = {"alpha": 0.1**2, "optimizer": None}
    oracle: Any = GaussianProcessRegressor(kernel, **options).fit(inputs(seen), seen.y[:, 0])
    mean, std = oracle.predict(inputs(query), return_std=True)
    assert found.std is not None and len(seen.y) < 6
    assert found.outputs[0, :, 0].numpy() == pytest.approx(mean, abs=1e-6)
    assert found.std[0, :, 0].square().numpy() == pytest.approx(std**2 + 0.1**2, rel=1e-5)
    with pytest.raises(InputError, match="one lengthscale, one scale and noise"):
        GPCurves(noise=0.1).exact(support, query.x)
