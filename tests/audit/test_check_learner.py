"""Checks of a learner by themselves, and the audit as words and JSON."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from innerloop.audit import Audit, Check, audit
from innerloop.audit.check_behaviour import loss_of_queries, updates
from innerloop.audit.check_learner import (
    INDEPENDENCE_TOLERANCE,
    label_permutation,
    meta_gradient_check,
    predictive_mean,
    query_independence,
)
from innerloop.audit.check_plans import distance, double, plan_checks, reason
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression, sampled_softmax
from innerloop.core.predictive import Predictive
from innerloop.core.scores import SCORES
from innerloop.core.types import Batch, Episode, Params
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.imaml import IMAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler
from tests.evaluate import tiny
from tests.evaluate.test_predictive import BayesianLine, Lines

ACCURACY, MSE = SCORES["accuracy"], SCORES["mse"]


def small() -> ProtoNet:
    return ProtoNet(encoder=MLP(inputs=tiny.SIZE**2, hidden=(), outputs=4))


@dataclass(frozen=True, kw_only=True)
class Constant(NearestCentroid):
    """Gives every query the same logits."""

    value: Any = 0.0

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return torch.full_like(super().predict(params, adapted, x), self.value)


@dataclass(frozen=True, kw_only=True)
class Mixing(ProtoNet):
    """Adds a part of the mean prediction of the batch."""

    share: Any = 0.0

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        outputs = super().predict(params, adapted, x)
        return outputs + self.share * outputs.mean(0)


@pytest.mark.parametrize(("share", "passed"), [(0.0, True), (1e-9, True), (1e-4, False), (math.nan, False)])
def test_what_other_queries_move_is_measured_in_spreads(share, passed):
    learner = Mixing(encoder=small().encoder, share=share)
    result = query_independence(learner, learner.init(0), tiny.sampler().episodes(0, 2))
    assert result.passed is passed and result.figure is not None
    assert (result.figure <= INDEPENDENCE_TOLERANCE) is passed
    assert ("declare transductive=True" in result.explanation) is not passed


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_outputs_of_one_query_are_no_difference(value):
    tasks = tiny.sampler().episodes(0, 2)
    one = tasks._replace(query=tree.map(lambda leaf: leaf[:, :1] if leaf.dim() > 1 else leaf, tasks.query))
    one = one._replace(query=one.query._replace(classes=tasks.query.classes))
    result = query_independence(Constant(value=value), {}, one)
    assert result.passed and result.figure == 0


def test_queries_without_a_label_are_not_looked_at():
    tasks = tiny.sampler().episodes(0, 2)
    bare = tasks._replace(query=tasks.query._replace(y=torch.full_like(tasks.query.y, -1)))
    assert query_independence(NearestCentroid(), {}, bare).passed


@dataclass(frozen=True, kw_only=True)
class Biased(NearestCentroid):
    """Adds to the logits of label 0."""

    bias: float = 0.0

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        outputs = super().predict(params, adapted, x)
        return outputs + self.bias * (torch.arange(outputs.shape[-1]) == 0)


def test_a_bias_for_a_label_that_holds_the_same_class_always_fails():
    """Class 0 has label 0 in all episodes, and the bias helps it; under another label it does not."""
    tasks = tiny.sampler().episodes(0, 24)
    query = tasks.query
    first = query._replace(mask=query.y == 0)
    tied = tasks._replace(query=first)
    result = label_permutation(Biased(bias=1e6), {}, tied, ACCURACY, seed=0)
    assert result.passed is False and "tied classes to labels" in result.explanation and "points" in result.explanation
    honest = label_permutation(Biased(), {}, tied, ACCURACY, seed=0)
    assert honest.passed and honest.figure == 0 and "over 24 episodes" in honest.explanation


def test_predictions_that_are_not_finite_know_nothing():
    result = label_permutation(Constant(value=math.nan), {}, tiny.sampler().episodes(0, 4), ACCURACY, seed=0)
    assert result.passed is False and "nan" in result.explanation


def test_what_is_not_of_classes_has_no_labels():
    result = label_permutation(BayesianLine(), {}, Lines().episodes(0, 2), MSE, seed=0)
    assert result.passed is None and result.explanation == "mean squared error is not of classes"


class Shifted(BayesianLine):
    """Predicts beside the mean of its members."""

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return super().predict(params, adapted, x) + 0.1


class Flat(BayesianLine):
    """Forgets the axis of the targets."""

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return super().predict(params, adapted, x)[:, 0]


class Lost(BayesianLine):
    """Has a member without a value."""

    def predictive(self, params: Params, adapted: Any, x: Any) -> Predictive:
        outputs, std = super().predictive(params, adapted, x)
        return Predictive(torch.cat([outputs[1:], outputs[:1] * torch.nan]), std)

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return (x @ adapted).mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("learner", "passed", "text"),
    [
        (BayesianLine(members=7), True, "predict and the mean of 7 members differ by"),
        (Shifted(), False, "return mean_logits (classes) or mean_outputs (targets)"),
        (Flat(), False, "its members have [10, 1] outputs, and predict returns [10]"),
        (Lost(), False, "differ by inf"),
    ],
)
def test_the_mean_of_a_predictive_of_targets(learner, passed, text):
    result = predictive_mean(learner, {}, Lines().episodes(0, 3), MSE)
    assert result.passed is passed and text in result.explanation


@dataclass(frozen=True, kw_only=True)
class Refusing(ProtoNet):
    """Cannot be run."""

    def adapt(self, params: Params, support: Batch) -> Any:
        raise RuntimeError("the first line\nand many more")


def test_a_learner_that_raises_fails_with_its_first_line():
    learner, tasks = Refusing(encoder=small().encoder), tiny.sampler().episodes(0, 2)
    params = learner.init(0)
    result = meta_gradient_check(learner, params, tasks, seed=0)
    assert result == Check("meta-gradient", False, None, "the first line")
    rows = list(plan_checks(learner, params, tasks, tasks))
    assert rows == [Check("plan loop", False, None, "cannot run this learner: the first line")]


def test_without_parameters_there_is_nothing_to_differentiate_or_to_plan():
    tasks = tiny.sampler().episodes(0, 2)
    assert meta_gradient_check(NearestCentroid(), {}, tasks, seed=0).passed is None
    assert list(plan_checks(NearestCentroid(), {}, tasks, tasks)) == []


@dataclass(frozen=True, kw_only=True)
class Scaled(ProtoNet):
    """Its loss has the value of the parent's, and a gradient that is `factor` times as long."""

    factor: float = 1.0

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = super().loss(params, episode)
        return loss.detach() + self.factor * (loss - loss.detach()), metrics


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.001, False), (-1.0, False)])
def test_the_length_and_the_sign_of_a_gradient_are_seen(factor, passed):
    learner = Scaled(encoder=small().encoder, factor=factor)
    result = meta_gradient_check(learner, learner.init(0), tiny.sampler().episodes(0, 2), seed=0)
    assert result.passed is passed and result.figure is not None
    assert 0.1 * abs(factor - 1) <= result.figure <= abs(factor - 1) + 1e-6
    assert ("Look for detach" in result.explanation) is not passed


@dataclass(frozen=True, kw_only=True)
class Beside(Reptile):
    """Its gradient is `factor` times as long, by a constant that is not declared."""

    factor: float = 1.0

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = super().loss(params, episode)
        return loss.detach() + self.factor * (loss - loss.detach()), metrics


@dataclass(frozen=True, kw_only=True)
class Within(Reptile):
    """Its loss, and so its derivative, is `factor` times the paper's."""

    factor: float = 1.0

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = super().loss(params, episode)
        return self.factor * loss, metrics


@pytest.mark.parametrize("kind", [Beside, Within])
@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.001, False), (-1.0, False)])
def test_a_factor_in_a_learner_with_a_stopped_part_is_seen(kind, factor, passed):
    learner = kind(model=MLP(inputs=tiny.SIZE**2, hidden=(4,), outputs=5), inner_lr=0.05, factor=factor)
    result = meta_gradient_check(learner, learner.init(0), tiny.sampler().episodes(0, 2), seed=0)
    assert result.passed is passed, result
    assert ("reference_gradient" in result.explanation) is (kind is Within and not passed)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_what_stops_a_part_is_proven(optimizer):
    model = MLP(inputs=tiny.SIZE**2, hidden=(4,), outputs=5)
    imaml = IMAML(model=model, inner_steps=3, inner_lr=0.1)
    reptile = Reptile(model=model, inner_lr=0.01, inner_optimizer=optimizer, inner_batch=2)
    for learner in (imaml, reptile):
        result = meta_gradient_check(learner, learner.init(0), tiny.sampler().episodes(0, 2), seed=0)
        assert result.passed, result


@dataclass(frozen=True, kw_only=True)
class Undeclared(ProtoNet):
    """Cuts the support without saying so to `held`."""

    exact_gradient = False

    def adapt(self, params: Params, support: Batch) -> Any:
        return tree.map(Tensor.detach, super().adapt(params, support))


def test_a_part_that_is_cut_without_stop_is_not_proven():
    learner = Undeclared(encoder=small().encoder)
    tasks = tiny.sampler().episodes(0, 2)
    result = meta_gradient_check(learner, learner.init(0), tasks, seed=0)
    assert result.passed is False and "core.stopped.stop" in result.explanation


def test_distance_is_relative_to_the_length_of_what_is_expected():
    expected = {"a": torch.tensor([3.0]), "b": torch.tensor([0.0, 4.0])}
    nearby = {"a": torch.tensor([3.0]), "b": torch.tensor([0.5, 4.0])}
    assert distance(nearby, expected) == pytest.approx(0.1) and distance(expected, expected) == 0
    zero = tree.map(torch.zeros_like, expected)
    assert distance(expected, zero) == 5, "of nothing it is the length itself"


def test_double_changes_floats_alone_and_keeps_no_graph():
    leaves = {"w": torch.ones(2, requires_grad=True) * 2, "n": torch.arange(2)}
    copy = double(leaves)
    assert copy["w"].dtype == torch.float64 and not copy["w"].requires_grad and copy["n"].dtype == torch.int64
    assert leaves["w"].dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("  one\ntwo "), "one"),
        (KeyError(), "KeyError"),
        (RuntimeError("vmap: It looks like you're calling .item() on a Tensor."), "item"),
    ],
)
def test_a_reason_is_one_line(error, text):
    assert text in reason(error) and "\n" not in reason(error)


def test_an_audit_in_words_and_json():
    checks = (Check("a", True, 0.5, "good"), Check("b", None, None, "told"), Check("c", False, 2.0, "bad", {"n": 1}))
    one = Audit("X", checks, 1.26)
    assert str(one) == "ok    a: good\nnote  b: told\nFAIL  c: bad\nX: 1 of 3 checks failed in 1.3 s"
    assert not one.passed and json.loads(json.dumps(one.to_json()))["checks"][2] == {
        "name": "c",
        "passed": False,
        "figure": 2.0,
        "explanation": "bad",
        "details": {"n": 1},
    }
    kept = replace(one, checks=checks[:2])
    assert kept.passed and str(kept).endswith("X: passed in 1.3 s"), "what is only reported fails nothing"


@pytest.mark.parametrize("episodes", [0, 1])
def test_too_few_episodes_tell_nothing(episodes):
    with pytest.raises(InputError, match=f"at least 2 episodes, to tell chance from a mistake; got {episodes}"):
        audit(NearestCentroid(), sampler=tiny.sampler(), episodes=episodes)


def test_an_audit_leaves_parameters_and_the_generator_as_they_were():
    learner = small()
    params = learner.init(3)
    before, state = tree.map(Tensor.clone, params), torch.get_rng_state()
    result = audit(learner, params, tiny.sampler(), episodes=4, plans=("threads",))
    assert result.passed and torch.equal(torch.get_rng_state(), state)
    assert all(
        torch.equal(v, before[k]) and v.dtype == torch.float32 and not v.requires_grad for k, v in params.items()
    )
    plans = [check for check in result.checks if check.name.startswith("plan ")]
    assert [check.name for check in plans] == ["plan loop", "plan threads"], "the loop is always among them"
    assert plans[0].explanation.startswith("repeats itself; ") and "the loop (indicative)" in plans[1].explanation


def test_an_update_is_held_to_adapt_and_may_differ_by_batch_norms_alone():
    episodes = EpisodeSampler(pool=tiny.pool(), ways=3, shots=2, queries=3).episodes(0, 2)
    plain = GaussianMemory(encoder=MLP(inputs=tiny.SIZE**2, hidden=(), outputs=4))
    assert updates(plain, plain.init(0), episodes).passed
    normed = GaussianMemory(encoder=Conv4(size=tiny.SIZE, width=4, outputs=None))
    check = updates(normed, normed.init(0), episodes)
    assert check.passed is None and "only batch norms" in check.explanation


def test_an_objective_that_compares_rows_is_no_leak_of_the_query():
    y = (torch.arange(8) % 3 == 0).float().expand(2, 8)[..., None]
    episodes = Episode(*(Batch(torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(s)), y) for s in (0, 1)))
    for objective, passed in ((regression, True), (sampled_softmax, None)):
        learner = ANIL(encoder=MLP(inputs=4, hidden=(), outputs=4), head=MLP(inputs=4, hidden=()), objective=objective)
        check = loss_of_queries(learner, learner.init(0), episodes)
        assert check.passed is passed, check
    assert "compares rows" in str(check)
