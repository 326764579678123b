"""Learners with members, and learners that generate: toys that satisfy the conformance suite, and broken ones."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor

from innerloop.audit import Check, audit
from innerloop.core import random, tree
from innerloop.core.encoder_learner import nearness
from innerloop.core.errors import InputError
from innerloop.core.learner import EpisodicClassifier, Generative
from innerloop.core.model import Model, Module
from innerloop.core.objectives import membership
from innerloop.core.predictive import Predictive, check_predictive, mean_logits, mean_outputs
from innerloop.core.prototypes import Centroids, centroids, ways
from innerloop.core.types import Batch, Episode, Params
from innerloop.core.wrapper import Wrapper
from innerloop.learners.metric.protonet import ProtoNet
from tests.conformance import Conformance
from tests.problems import NeedlesInNoise, encoder, inputs


class Prototypes(NamedTuple):
    """Of one member."""

    centroids: Centroids
    encoder: Params


@dataclass(frozen=True, kw_only=True)
class Committee(EpisodicClassifier[tuple[Prototypes, ...]]):
    """An ensemble of prototypical networks."""

    probabilistic: ClassVar[bool] = True

    encoder: Model = Module(encoder)  # noqa: RUF009
    members: int = 3

    def init(self, seed: int) -> Params:
        return tree.join(**{f"m{i}": self.encoder.init(100 * seed + i) for i in range(self.members)})

    def adapt(self, params: Params, support: Batch) -> tuple[Prototypes, ...]:
        adapted = []
        for i in range(self.members):
            own = self.encoder.with_statistics(tree.part(params, f"m{i}"), support.x, support.mask)
            adapted.append(Prototypes(centroids(self.encoder.apply(own, support.x, support.mask), support), own))
        return tuple(adapted)

    def predictive(self, params, adapted, x) -> Predictive:
        return Predictive(torch.stack([nearness(self.encoder.apply(m.encoder, x), m.centroids) for m in adapted]))

    def predict(self, params, adapted, x) -> Tensor:
        return mean_logits(self.predictive(params, adapted, x).outputs)


class Experts(Committee):
    """Takes the mean of logits, which is no mixture."""

    def predict(self, params, adapted, x):
        return self.predictive(params, adapted, x).outputs.mean(0)


class Flat(Committee):
    """Forgets the axis of the members."""

    def predictive(self, params, adapted, x):
        return Predictive(super().predictive(params, adapted, x).outputs[0])

    def predict(self, params, adapted, x):
        return self.predictive(params, adapted, x).outputs


class Short(Committee):
    """Leaves out a query."""

    def predictive(self, params, adapted, x):
        return Predictive(super().predictive(params, adapted, x).outputs[:, 1:])

    def predict(self, params, adapted, x):
        return mean_logits(super().predictive(params, adapted, x).outputs)


class WithoutReference(Conformance):
    """Of a learner of these tests alone."""

    def test_golden_reference(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


class TestCommittee(WithoutReference):
    learner = Committee()


@dataclass(frozen=True, kw_only=True)
class Gaussians(ProtoNet):
    """Prototypes to classify by, and in the space of the inputs a normal distribution of every class to draw from."""

    def adapt(self, params: Params, support: Batch) -> Any:
        found = super().adapt(params, support)
        return found, moments(support)

    def predict(self, params: Params, adapted: Any, x: Tensor | dict[str, Tensor]) -> Tensor:
        return super().predict(params, adapted[0], x)

    def generate(self, params, adapted, key: Tensor, count: int) -> Tensor:
        mean, std = adapted[1]
        noise = random.normal(key, (len(mean), count, mean.shape[1]), mean.dtype)
        return mean[:, None] + std[:, None] * noise


def moments(support: Batch) -> tuple[Tensor, Tensor]:
    x = inputs(support)
    member = membership(support.y, ways(support), support.mask, x.dtype)
    counts = member.sum(0).clamp_min(1)[:, None]
    mean = member.T @ x / counts
    return mean, (member.T @ x.square() / counts - mean.square()).clamp_min(1e-6).sqrt()


class Frozen(Gaussians):
    """Draws the same whatever the key."""

    def generate(self, params, adapted, key, count):
        return super().generate(params, adapted, torch.zeros_like(key), count)


class Repeated(Gaussians):
    """One example, many times."""

    def generate(self, params, adapted, key, count):
        return super().generate(params, adapted, key, 1).expand(-1, count, -1)


class Global(Gaussians):
    """Draws from torch's generator."""

    def generate(self, params, adapted, key, count):
        drawn = super().generate(params, adapted, key, count)
        return drawn + torch.randn_like(drawn)


class Infinite(Gaussians):
    def generate(self, params, adapted, key, count):
        return super().generate(params, adapted, key, count) / 0


class Bare(Gaussians):
    """Forgets the axis of the classes."""

    def generate(self, params, adapted, key, count):
        return super().generate(params, adapted, key, count)[0]


GENERATIVE: dict[str, Any] = {"encoder": Module(encoder)}


class TestGaussians(WithoutReference):
    learner = Gaussians(**GENERATIVE)


def audited(learner) -> dict[str, Check]:
    found = audit(learner, sampler=NeedlesInNoise(dtype=torch.float32), episodes=4, plans=())
    return {check.name: check for check in found.checks}


def suite(learner) -> tuple[Conformance, Params, Episode]:
    tested = Conformance()
    tested.learner = learner
    return tested, {k: v.double() for k, v in learner.init(0).items()}, NeedlesInNoise().episodes(0, 5)


@pytest.mark.parametrize("broken", [Experts, Flat, Short])
def test_the_suite_and_the_audit_catch_a_broken_predictive(broken):
    tested, params, episodes = suite(broken())
    with pytest.raises((AssertionError, InputError)):
        tested.test_a_prediction_is_the_mean_of_the_predictive(params, episodes)
    check = audited(broken())["predictive mean"]
    assert check.passed is False
    assert ("mean_logits" if broken is Experts else f"predictive of {broken.__name__}") in check.explanation


def test_the_audit_passes_an_honest_predictive():
    check = audited(Committee())["predictive mean"]
    assert check.passed and "3 members" in check.explanation
    assert "predictive mean" not in audited(ProtoNet(**GENERATIVE))


@pytest.mark.parametrize("broken", [Frozen, Repeated, Global, Infinite, Bare])
def test_the_suite_catches_what_does_not_generate(broken):
    tested, params, episodes = suite(broken(**GENERATIVE))
    with pytest.raises(AssertionError):
        tested.test_what_is_generated_is_a_function_of_its_key(params, episodes)


def test_what_is_generated_is_drawn_from_the_classes():
    learner = Gaussians(**GENERATIVE)
    assert isinstance(learner, Generative) and not isinstance(Committee(), Generative)
    support = tree.slice(NeedlesInNoise(shots=30).episodes(0, 1), 0).support
    params = {k: v.double() for k, v in learner.init(0).items()}
    drawn = learner.generate(params, learner.adapt(params, support), random.mix(0, 0), 4000)
    mean, std = moments(support)
    assert torch.allclose(drawn.mean(1), mean, atol=0.2) and torch.allclose(drawn.std(1), std, rtol=0.1)
    axes = (None, 0, 0, None)
    stacked = NeedlesInNoise().episodes(0, 4).support
    assert stacked.key is not None
    adapted = torch.vmap(learner.adapt, (None, tree.axes(stacked)))(params, stacked)
    many = torch.vmap(learner.generate, axes)(params, adapted, stacked.key, 5)
    one = learner.generate(params, learner.adapt(params, tree.slice(stacked, 2)), stacked.key[2], 5)
    assert torch.allclose(many[2], one)


def test_the_mixtures_mean():
    logits = torch.tensor([[[4.0, 0.0, -1e4]], [[-1.0, 1.0, -1e4]]], dtype=torch.float64)
    p = logits.softmax(-1).mean(0)
    assert torch.allclose(mean_logits(logits).softmax(-1), p) and torch.allclose(mean_logits(logits).exp(), p)
    assert not torch.allclose(logits.mean(0).softmax(-1), p, atol=0.1)
    assert mean_logits(logits).isfinite().all(), "also of a class that no member knows"
    assert torch.allclose(mean_logits(logits[:1]), logits[0].log_softmax(-1))
    assert torch.equal(mean_outputs(logits), logits.mean(0))


@pytest.mark.parametrize(
    ("outputs", "std", "message"),
    [
        ((3, 4), None, r"outputs of shape \[3, 4\] for 4 inputs"),
        ((3, 5, 2), None, r"outputs of shape \[3, 5, 2\] for 4"),
        ((0, 4, 2), None, r"\[0, 4, 2\]"),
        ((3, 4, 2), torch.ones(4, 2), r"std of shape \[4, 2\], and outputs of \[3, 4, 2\]"),
        ((3, 4, 2), torch.zeros(3, 4, 2), "not above 0"),
        ((3, 4, 2), torch.full((3, 4, 2), float("nan")), "not above 0"),
    ],
)
def test_other_shapes_are_refused(outputs, std, message):
    with pytest.raises(InputError, match=f"predictive of X .*{message}"):
        check_predictive(Predictive(torch.zeros(outputs), std), 4, "X")


def test_around_a_learner_the_predictive_is_its_own():
    learner, (support, query) = Committee(), tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0)
    wrapped = Wrapper(learner=learner)
    params = learner.init(0)
    expected = learner.predictive(params, learner.adapt(params, support), query.x)
    assert wrapped.probabilistic
    assert torch.equal(wrapped.predictive(params, wrapped.adapt(params, support), query.x).outputs, expected.outputs)
    assert not Wrapper(learner=ProtoNet(**GENERATIVE)).probabilistic
