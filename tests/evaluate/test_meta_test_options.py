"""Meta-tests of scores with several numbers, of finite streams, at a temperature, and beyond ten steps."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.objectives import regression
from innerloop.core.scores import SCORES
from innerloop.core.types import Episode, Params
from innerloop.evaluate import meta_test
from innerloop.evaluate.calibration import expected_calibration_error
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, Scored, Sinusoid
from tests.evaluate import tiny


def linear(steps: int) -> MAML:
    return MAML(model=MLP(inputs=tiny.SIZE**2, hidden=(), outputs=5), inner_lr=0.01, inner_steps=steps)


def curve_fitter(steps: int) -> MAML:
    return MAML(model=MLP(hidden=(8,)), inner_lr=0.01, inner_steps=steps, objective=regression)


@pytest.mark.exact
@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 3, "threads": 2}, {"threads": 2}])
def test_several_numbers_an_episode_do_not_depend_on_chunks_and_threads(options):
    learner, sampler = curve_fitter(2), Scored(Sinusoid(shots=5, queries=10), "rmse")
    params = learner.init(0)
    expected = meta_test(learner, params, sampler, 7, threads=1)
    result = meta_test(learner, params, sampler, 7, **options)
    assert result.scores.shape == (7, 2) and torch.equal(result.scores, expected.scores)
    assert result.curve == expected.curve and result.reliability is None


def test_the_curve_of_a_ratio_is_of_ratios_of_sums():
    learner, sampler = curve_fitter(3), Scored(Sinusoid(shots=5, queries=10), "rmse")
    params = learner.init(0)
    result = meta_test(learner, params, sampler, 9)
    assert result.curve is not None and result.curve[-1][1:] == (result.mean, result.ci95)
    for step, mean, ci95 in result.curve:
        few = meta_test(replace(learner, inner_steps=step), params, sampler, 9, curve=False)
        assert few.mean == pytest.approx(SCORES["rmse"].total(few.scores)) == pytest.approx(mean)
        assert few.ci95 == pytest.approx(ci95)


@pytest.mark.parametrize(
    ("steps", "told"), [(0, [0]), (10, [*range(11)]), (11, [*range(12)]), (40, [*range(11), 15, 22, 33, 40])]
)
def test_beyond_ten_steps_the_curve_is_told_ever_more_rarely(steps, told):
    learner = linear(steps)
    curve = meta_test(learner, learner.init(0), tiny.sampler(), 2).curve
    assert curve is not None and [point.step for point in curve] == told


@dataclass(frozen=True)
class Finite:
    """The first `length` episodes of a sampler, and a record of what was asked for."""

    sampler: Any
    length: int
    asked: list[tuple[int, int]] = field(default_factory=list)

    def episodes(self, first: int, count: int) -> Episode:
        self.asked.append((first, count))
        if first + count > self.length:
            raise InputError(f"there are {self.length} episodes")
        return self.sampler.episodes(first, count)

    def describe(self) -> dict[str, object]:
        return self.sampler.describe()


def test_a_finite_stream_is_read_to_its_end_and_no_further():
    tasks = Finite(tiny.sampler(), 9)
    result = meta_test(NearestCentroid(), {}, tasks, 7, first=2, chunk=3)
    assert tasks.asked == [(2, 3), (5, 3), (8, 1)]
    assert torch.equal(result.scores, meta_test(NearestCentroid(), {}, tiny.sampler(), 9).scores[2:])
    with pytest.raises(InputError, match="there are 9 episodes"):
        meta_test(NearestCentroid(), {}, tasks, 10)


def answers(sampler: EpisodeSampler, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the classes that each task has, labels and tasks' numbers, of a learner without parameters."""
    learner, logits, labels, widths = NearestCentroid(), [], [], []
    stacked = sampler.episodes(0, count)
    for i in range(count):
        support, query = tree.slice(stacked, i)
        rows = query.y >= 0 if query.mask is None else query.mask & (query.y >= 0)
        ways = int(support.classes.sum())
        outputs = learner.predict({}, learner.adapt({}, support), query.x)[rows].double()[:, :ways]
        logits.append(torch.nn.functional.pad(outputs, (0, 5 - ways), value=-torch.inf))
        labels.append(query.y[rows])
        widths.append(torch.full((len(outputs),), ways))
    return torch.cat(logits), torch.cat(labels), torch.cat(widths)


@pytest.mark.parametrize("ways", [5, (2, 5)])
def test_reliability_is_of_the_probabilities_of_classes_that_are_there(ways):
    sampler = EpisodeSampler(pool=tiny.pool(), ways=ways, shots=1, queries=3)
    logits, y, _ = answers(sampler, 8)
    expected = []
    for temperature in (1.0, 20.0):
        p = torch.softmax(logits / temperature, 1)
        expected.append(expected_calibration_error(p.amax(1), p.argmax(1) == y))
    reliability = meta_test(NearestCentroid(), {}, sampler, 8, temperature=20.0).reliability
    assert reliability is not None and reliability.temperature == 20.0
    assert (reliability.ece, reliability.calibrated) == pytest.approx(expected)


def test_a_temperature_changes_no_score():
    plain, cold = (meta_test(NearestCentroid(), {}, tiny.sampler(), 4, temperature=t) for t in (None, 0.01))
    assert torch.equal(plain.scores, cold.scores) and plain.protocol == cold.protocol
    assert plain.reliability is not None and cold.reliability is not None
    assert plain.reliability.calibrated is None and plain.reliability.ece == cold.reliability.ece


@dataclass(frozen=True, kw_only=True)
class Failing(NearestCentroid):
    """Gives NaN where a query is brighter than a bound, and raises where it is darker than another."""

    brightest: float = math.inf
    darkest: float = -math.inf

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        if x.mean() < self.darkest:
            raise RuntimeError(f"{x.mean().item():.4f} is too dark")
        return super().predict(params, adapted, x) * (math.nan if x.mean() > self.brightest else 1.0)


def test_the_first_episode_that_is_not_finite_is_named_by_its_number():
    means = tiny.sampler().episodes(0, 12).query.x.flatten(1).mean(1)  # pyright: ignore[reportAttributeAccessIssue]
    at = int(means[4:].argmax()) + 4
    bound = (means[4:].sort().values[-2:].sum() / 2).item()
    with pytest.raises(FailedError, match=rf"^Failing gave .* in 1 of 8 episodes \(the first is episode {at}\)"):
        meta_test(Failing(brightest=bound), {}, tiny.sampler(), 8, first=4, chunk=3)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_a_learner_is_that_of_the_first_task(threads):
    first = tiny.sampler().episodes(0, 1).query.x.mean()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RuntimeError, match=f"^{first.item():.4f} is too dark"):
        meta_test(Failing(darkest=1.0), {}, tiny.sampler(), 4, threads=threads)


@dataclass(frozen=True)
class Unlabelled(Finite):
    """Queries of the fifth episode have no label."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        bare = (torch.arange(first, first + count) == 4)[:, None]
        return Episode(support, query._replace(y=torch.where(bare, -1, query.y)))


def test_an_episode_without_a_labelled_query_is_refused():
    tasks = Unlabelled(tiny.sampler(), 100)
    assert meta_test(NearestCentroid(), {}, tasks, 4).mean > 0
    with pytest.raises(InputError, match="no labelled query: there is nothing to score"):
        meta_test(NearestCentroid(), {}, tasks, 5)


def test_what_is_said_of_a_test_is_in_its_protocol():
    result = meta_test(NearestCentroid(), {}, tiny.sampler(), 3, first=6, name="pixels", selection="by hand")
    assert (result.learner, result.protocol.first, result.protocol.selection) == ("pixels", 6, "by hand")
    assert meta_test(NearestCentroid(), {}, tiny.sampler(), 3).learner == "NearestCentroid"
    assert result.protocol.sampler == {k: v for k, v in tiny.sampler().describe().items() if k != "score"}
