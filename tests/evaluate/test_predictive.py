"""Scores of predictives: against closed forms, SciPy, scikit-learn and counting by hand."""

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import EpisodicClassifier
from innerloop.core.model import Module
from innerloop.core.predictive import Predictive, mean_outputs
from innerloop.core.types import Batch, Episode, Params
from innerloop.evaluate import predictive as scores
from innerloop.evaluate.calibration import expected_calibration_error
from innerloop.evaluate.predictive import predictive_scores
from innerloop.learners.metric.protonet import ProtoNet
from tests.core.test_predictive import Committee, Short
from tests.problems import NeedlesInNoise, encoder

CLASSES = (scores.nll, scores.brier, scores.ece, scores.entropy, scores.mutual_information)


@pytest.fixture
def classes() -> tuple[Predictive, Tensor]:
    g = torch.Generator().manual_seed(0)
    return Predictive(2 * torch.randn(4, 60, 3, generator=g)), torch.randint(3, (60,), generator=g)


@pytest.fixture
def targets() -> tuple[Predictive, Tensor]:
    g = torch.Generator().manual_seed(0)
    mean, std = torch.randn(3, 40, 2, generator=g).double(), torch.rand(3, 40, 2, generator=g).double() + 0.1
    return Predictive(mean, std), torch.randn(40, 2, generator=g).double()


def test_scores_of_classes_are_scikit_learns_and_scipys(classes):
    predictive, y = classes
    p = predictive.outputs.double().softmax(-1).mean(0).numpy()
    assert scores.nll(predictive, y).item() == pytest.approx(log_loss(y, p), rel=1e-6)
    assert scores.brier(predictive, y).item() == pytest.approx(((p - np.eye(3)[y]) ** 2).sum(1).mean())
    assert scores.entropy(predictive, y).item() == pytest.approx(stats.entropy(p, axis=1).mean())
    each = predictive.outputs.double().softmax(-1).numpy()
    divergence = np.mean([stats.entropy(member, p, axis=1).mean() for member in each])
    assert scores.mutual_information(predictive, y).item() == pytest.approx(divergence)
    right = torch.tensor(p.argmax(1)) == y
    assert scores.ece(predictive, y) == pytest.approx(expected_calibration_error(torch.tensor(p.max(1)), right))


def test_for_two_classes_brier_is_twice_scikit_learns(classes):
    predictive, y = Predictive(classes[0].outputs[..., :2]), classes[1].clamp_max(1)
    p = predictive.outputs.double().softmax(-1).mean(0)[:, 1]
    assert scores.brier(predictive, y).item() == pytest.approx(2 * brier_score_loss(y, p))


@pytest.mark.parametrize("score", CLASSES)
def test_padding_and_the_unlabelled_do_not_count_and_absent_classes_have_no_share(classes, score):
    predictive, y = classes
    expected = float(score(predictive, y))
    nothing = torch.full((4, 2, 3), torch.nan)
    padded = Predictive(torch.cat([predictive.outputs, nothing], 1))
    mask = torch.arange(62) < 61
    assert float(score(padded, torch.cat([y, torch.tensor([-1, 0])]), mask)) == pytest.approx(expected)
    more = Predictive(torch.cat([torch.full((4, 60, 1), 50.0), predictive.outputs], -1))
    present = torch.tensor([False, True, True, True])
    assert float(score(more, y + 1, None, present)) == pytest.approx(expected)
    unlabelled = torch.cat([y + 1, torch.tensor([-1, -1])])
    both = Predictive(torch.cat([more.outputs, torch.zeros(4, 2, 4)], 1))
    assert float(score(both, unlabelled, None, present)) == pytest.approx(expected)


def test_one_member_is_no_mixture(classes, targets):
    predictive, y = Predictive(classes[0].outputs[:1]), classes[1]
    assert scores.mutual_information(predictive, y) == 0
    assert scores.nll(predictive, y).item() == pytest.approx(
        torch.nn.functional.cross_entropy(predictive.outputs[0].double(), y).item()
    )
    mean, std = (part[0] for part in targets[0] if part is not None)
    one = Predictive(mean[None], std[None])
    for level in scores.LEVELS:
        low, high = scores.bounds(one, level)
        expected = stats.norm.interval(level, mean.numpy(), std.numpy())
        assert np.allclose(low, expected[0]) and np.allclose(high, expected[1])
    assert scores.nll(one, targets[1]).item() == pytest.approx(-stats.norm.logpdf(targets[1], mean, std).sum(1).mean())
    point = Predictive(mean[None])
    assert scores.width(point, targets[1]) == 0 and scores.coverage(point, mean) == 1


def test_members_that_agree_have_no_mutual_information_and_those_that_are_sure_of_others_have_all():
    y = torch.zeros(1, dtype=torch.int64)
    assert scores.mutual_information(Predictive(torch.ones(3, 1, 2)), y) == 0
    sure = Predictive(100 * torch.eye(3)[:, None])
    assert scores.mutual_information(sure, y).item() == pytest.approx(math.log(3))
    assert scores.entropy(sure, y).item() == pytest.approx(math.log(3))


def test_the_density_and_the_quantiles_of_a_mixture(targets):
    (mean, std), y = targets
    assert std is not None
    density = stats.norm.pdf(y, mean, std).prod(-1).mean(0)
    assert scores.nll(targets[0], y).item() == pytest.approx(-np.log(density).mean())
    for level in (0.5, 0.95):
        low, high = scores.bounds(targets[0], level)
        for end, share in ((low, (1 - level) / 2), (high, (1 + level) / 2)):

            def below(value, share=share):
                return stats.norm.cdf(value, mean[:, 7, 1], std[:, 7, 1]).mean() - share

            assert end[7, 1].item() == pytest.approx(optimize.brentq(below, -9, 9), abs=1e-9)
        inside = ((low <= y) & (y <= high)).double().mean().item()
        assert scores.coverage(targets[0], y, None, level).item() == pytest.approx(inside)
        assert scores.width(targets[0], y, None, level).item() == pytest.approx((high - low).mean().item())


def test_intervals_hold_what_they_say():
    g = torch.Generator().manual_seed(1)
    mean, std = torch.randn(2, 4000, 1, generator=g), torch.tensor([0.3, 2.0])[:, None, None].expand(2, 4000, 1)
    member = torch.randint(2, (4000,), generator=g)
    y = (mean + std * torch.randn(2, 4000, 1, generator=g))[member, torch.arange(4000)]
    for level in scores.LEVELS:
        assert scores.coverage(Predictive(mean, std), y, None, level).item() == pytest.approx(level, abs=0.02)
        quantiles = Predictive(mean[0] + torch.randn(400, 1, 1, generator=g))
        assert scores.width(quantiles, y, None, level).item() == pytest.approx(
            2 * stats.norm.ppf(0.5 + level / 2), rel=0.2
        )


def test_padded_targets_do_not_count(targets):
    (mean, std), y = targets
    assert std is not None
    nan = torch.full((3, 2, 2), torch.nan, dtype=torch.float64)
    padded = Predictive(torch.cat([mean, nan], 1), torch.cat([std, nan], 1))
    mask, more = torch.arange(42) < 40, torch.cat([y, torch.zeros(2, 2)])
    for score in (scores.nll, scores.coverage, scores.width):
        assert score(padded, more, mask).item() == pytest.approx(score(targets[0], y).item())


def test_what_cannot_be_scored_is_refused(targets):
    with pytest.raises(InputError, match="needs the std"):
        scores.nll(Predictive(targets[0].outputs), targets[1])
    for level in (0.0, 1.0, 90):
        with pytest.raises(InputError, match="level of an interval"):
            scores.bounds(targets[0], level)


@dataclass(frozen=True, kw_only=True)
class BayesianLine(EpisodicClassifier[Any]):
    """Linear regression with a standard normal prior and known noise: samples of the weights' posterior."""

    probabilistic: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True
    noise: float = 0.3
    members: int = 60
    spread: float = 1.0
    """What the noise is said to be, relative to what it is."""

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> Any:
        x: Any = support.x
        precision = torch.eye(2, dtype=x.dtype) + x.T @ x / self.noise**2
        mean = torch.linalg.solve(precision, x.T @ support.y[:, 0] / self.noise**2)
        draws = random.normal(support.key, (2, self.members), x.dtype)  # pyright: ignore[reportArgumentType]
        factor = torch.linalg.cholesky(precision)
        return mean[:, None] + torch.linalg.solve_triangular(factor.T, draws, upper=True)  # [2, m]

    def predictive(self, params: Params, adapted: Any, x: Any) -> Predictive:
        outputs = (x @ adapted).T[:, :, None]
        return Predictive(outputs, torch.full_like(outputs, self.spread * self.noise))

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return mean_outputs(self.predictive(params, adapted, x).outputs)


@dataclass(frozen=True)
class Lines:
    """Tasks of the prior that `BayesianLine` has."""

    noise: float = 0.3

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(3, torch.arange(first, first + count))
        weights = random.normal(random.fold(keys, 0), (2, 1), torch.float64)

        def batch(n: int, number: int) -> Batch:
            x = random.normal(random.fold(keys, number), (n, 2), torch.float64)
            return Batch(
                x, x @ weights + self.noise * random.normal(random.fold(keys, number + 1), (n, 1), x.dtype), key=keys
            )

        return Episode(batch(3, 1), batch(10, 3))

    def describe(self) -> dict[str, object]:
        return {"kind": "lines", "score": "mse"}


def test_a_posterior_covers_what_it_says_and_one_that_is_too_sure_does_not():
    honest = predictive_scores(BayesianLine(), {}, Lines(), episodes=100)
    sure = predictive_scores(BayesianLine(spread=0.3), {}, Lines(), episodes=100)
    assert set(honest.scores) == {
        "nll",
        "deviation",
        *(f"{s}_{round(100 * p)}" for s in ("coverage", "width") for p in scores.LEVELS),
    }
    for level in scores.LEVELS:
        name = f"coverage_{round(100 * level)}"
        mean, ci95 = honest.intervals[name]
        assert abs(mean - level) < ci95 + 0.01 and sure.intervals[name].mean < level - 0.1
    assert honest.intervals["nll"].mean < sure.intervals["nll"].mean
    again = predictive_scores(BayesianLine(), {}, Lines(), episodes=5)
    assert all(torch.equal(again.scores[k], v[:5]) for k, v in honest.scores.items())
    assert honest.scores["nll"].shape == (100,) and honest.members == 60 and honest.ece is None
    assert "coverage_90" in str(honest) and "100 episodes, inductive" in str(honest)
    assert len(honest.to_json()["scores"]["nll"]) == 100


def test_scores_of_an_ensemble_over_episodes():
    learner, tasks = Committee(), NeedlesInNoise(queries=10, dtype=torch.float32)
    found = predictive_scores(learner, learner.init(0), tasks, episodes=20)
    assert set(found.scores) == {"nll", "brier", "entropy", "mutual_information"}
    assert found.ece is not None and 0 < found.ece.mean < 1 and 0 < found.ece.ci95 < 0.2
    assert found.intervals["ece"] == found.ece
    assert predictive_scores(learner, learner.init(0), tasks, episodes=20).ece == found.ece
    alone = predictive_scores(learner, learner.init(0), tasks, episodes=2, first=18)
    assert torch.allclose(alone.scores["nll"], found.scores["nll"][18:])
    one = predictive_scores(Committee(members=1), Committee(members=1).init(0), tasks, episodes=1)
    assert one.scores["mutual_information"] == 0 and one.ece is not None and math.isnan(one.ece.ci95)
    assert one.to_json()["intervals"]["nll"]["ci95"] is None


class Unsure(Committee):
    def predictive(self, params, adapted, x):
        return Predictive(super().predictive(params, adapted, x).outputs * torch.nan)


def test_what_has_no_predictive_is_refused_by_name():
    tasks = NeedlesInNoise(dtype=torch.float32)
    with pytest.raises(InputError, match=r"ProtoNet has no predictive.*probabilistic = True"):
        predictive_scores(ProtoNet(encoder=Module(encoder)), {}, tasks)
    with pytest.raises(InputError, match="at least 1 episode"):
        predictive_scores(Committee(), {}, tasks, episodes=0)
    with pytest.raises(InputError, match="predictive of Short has outputs"):
        predictive_scores(Short(), Short().init(0), tasks, episodes=1)
    with pytest.raises(FailedError, match="nll of Unsure in episode 0 is not finite"):
        predictive_scores(Unsure(), Unsure().init(0), tasks, episodes=1)
    with pytest.raises(InputError, match="no labelled query"):
        predictive_scores(Committee(), Committee().init(0), NeedlesInNoise(queries=0, dtype=torch.float32), episodes=1)


def test_outputs_beyond_the_classes_of_a_task_are_of_none():
    tasks = NeedlesInNoise(ways=3, dtype=torch.float32)
    expected = predictive_scores(Committee(), Committee().init(0), tasks, episodes=4)
    result = predictive_scores(Wide(), Wide().init(0), tasks, episodes=4)
    assert all(torch.allclose(result.scores[k], v) for k, v in expected.scores.items())
    assert result.ece is not None and expected.ece is not None and result.ece.mean == pytest.approx(expected.ece.mean)


class Wide(Committee):
    """Its network has two outputs more than a task has classes, which are larger than all others."""

    def predictive(self, params, adapted, x):
        outputs = super().predictive(params, adapted, x).outputs
        return Predictive(torch.nn.functional.pad(outputs, (0, 2), value=50.0))


class Pointwise(BayesianLine):
    """Says nothing of the noise."""

    def predictive(self, params, adapted, x):
        return Predictive(super().predictive(params, adapted, x).outputs)


def test_members_without_noise_have_intervals_and_no_likelihood():
    result = predictive_scores(Pointwise(), {}, Lines(), episodes=3)
    noisy = predictive_scores(BayesianLine(), {}, Lines(), episodes=3)
    assert set(result.scores) == set(noisy.scores) - {"nll"}
    assert bool((result.scores["width_90"] < noisy.scores["width_90"]).all()), "noise makes an interval wider"
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content["sampler"] == Lines().describe() and content["members"] == 60
    mean = np.mean(content["scores"]["coverage_50"])
    assert content["intervals"]["coverage_50"]["mean"] == pytest.approx(mean)


def test_wider_levels_hold_more(targets):
    predictive, y = targets
    previous = torch.tensor(0.0), torch.tensor(0.0)
    for level in (0.1, 0.5, 0.9, 0.999):
        current = scores.width(predictive, y, None, level), scores.coverage(predictive, y, None, level)
        assert current[0] > previous[0] and current[1] >= previous[1]
        previous = current
    assert previous[1] > 0.9
