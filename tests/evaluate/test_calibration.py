"""Temperature, calibration error, thresholds: against closed forms, scikit-learn and counting by hand."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from innerloop.core.errors import InputError
from innerloop.core.interval import SHARES, interval
from innerloop.core.types import Batch
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import (
    Calibration,
    auroc,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    rejection,
    threshold,
)
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import EpisodeSampler, Pool
from tests.problems import inputs


@pytest.fixture(scope="module")
def drawn():
    """Logits whose softmax is the truth, and labels drawn from it."""
    g = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(6000, 5, generator=g)
    return z, torch.multinomial(torch.softmax(z, 1), 1, generator=g)[:, 0]


@pytest.mark.parametrize("t", [0.1, 1.0, 7.0])
def test_the_temperature_that_logits_were_multiplied_by_is_found(drawn, t):
    z, y = drawn
    assert fit_temperature(t * z, y) == pytest.approx(t, rel=0.05)


def test_the_temperature_is_where_the_likelihood_is_highest(drawn):
    z, y = drawn
    found = fit_temperature(3 * z, y)

    def cost(t):
        return torch.nn.functional.cross_entropy(3 * z.double() / t, y)

    assert cost(found) < min(cost(0.98 * found), cost(1.02 * found))


def test_a_few_examples_that_are_all_right_claim_no_certainty():
    z = torch.eye(4)
    t = fit_temperature(z, torch.arange(4))
    p = torch.softmax(z.double() / t, 1).diagonal()
    assert torch.allclose(p, torch.tensor(4 / 5, dtype=torch.float64), atol=1e-3), "four were right and one was not"


def test_classes_that_a_task_does_not_have_do_not_count(drawn):
    z, y = drawn
    two = y < 2
    padded = torch.where(torch.arange(5) < 2, z[two], 1e4)
    ways = torch.full((int(two.sum()),), 2)
    assert fit_temperature(padded, y[two], ways) == pytest.approx(fit_temperature(z[two][:, :2], y[two]), rel=1e-3)


def test_calibration_error_counts_bins_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.95, 0.61, 0.61, 1.0])
    right = torch.tensor([True, True, False, True, False, True])
    # Bins of 1/15: three of 0.95 (13.5/15 .. 15/15: index 14) with the 1.0, two of 0.61 (index 9).
    expected = (abs(3 * 0.95 + 1.0 - 3) + abs(2 * 0.61 - 1)) / 6
    assert expected_calibration_error(confidence, right) == pytest.approx(expected)
    assert expected_calibration_error(torch.ones(4), torch.zeros(4)) == 1
    assert expected_calibration_error(torch.zeros(4), torch.zeros(4)) == 0


def test_calibration_error_is_small_for_the_truth_and_large_for_bluster(drawn):
    z, y = drawn
    for t, low, high in ((1.0, 0.0, 0.02), (0.2, 0.1, 1.0)):
        p = torch.softmax(z / t, 1)
        assert low < expected_calibration_error(p.amax(1), p.argmax(1) == y) < high


def test_auroc_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 30, 200) + 5, rng.integers(0, 30, 300)
    truth = np.r_[np.ones(200), np.zeros(300)]
    expected = metrics.roc_auc_score(truth, np.r_[inside, outside])
    assert auroc(torch.from_numpy(inside), torch.from_numpy(outside)) == pytest.approx(expected)


@pytest.mark.parametrize("target", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("n", [7, 20, 100])
def test_no_more_impostors_pass_than_the_target_and_no_lower_threshold_would_do(target, n):
    scores = torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    at = threshold(scores, target)
    assert (scores >= at).double().mean() <= target
    just_below = torch.tensor(at, dtype=torch.float64).nextafter(torch.tensor(-torch.inf, dtype=torch.float64))
    assert (scores >= just_below).double().mean() > target


def test_ties_are_all_refused_or_all_accepted():
    assert threshold(torch.ones(100), 0.5) > 1


def test_rejection_reports_what_it_does():
    inside, outside = torch.arange(10.0) + 3, torch.arange(10.0)
    found = rejection(inside, outside, 0.1, Calibration(temperature=2.0, source="x"))
    assert found.threshold is not None
    assert 8 < found.threshold < 8.001 and found.coverage == 0.4 and found.temperature == 2 and found.source == "x"
    assert found.auroc == auroc(inside, outside)
    assert rejection(inside, outside, 0.1, Calibration(), few=True).threshold == found.threshold
    apart = rejection(inside + 20, outside, 0.1, Calibration(), few=True)
    assert apart.threshold == pytest.approx((8 + 23) / 2) and apart.coverage == 1


def test_another_rate_takes_the_nearest_point_that_keeps_the_promise():
    found = Calibration(points=((0.01, 3.0, 0.5), (0.1, 2.0, 0.8)))
    assert found.at(0.1).threshold == 2 and found.at(0.05).threshold == 3 and found.at(0.05).target == 0.01
    with pytest.raises(InputError, match=r"0\.001.*measured: 0\.01, 0\.1"):
        found.at(0.001)


@pytest.mark.parametrize("target", [0, 1, -0.1, math.nan, True, "0.05"])
def test_what_is_no_rate(target):
    with pytest.raises(InputError, match="false-accept rate"):
        threshold(torch.ones(3), target)


@pytest.fixture(scope="module")
def pool():
    """Ten classes of points around corners of a cube, one of every two far from the others."""
    g = torch.Generator().manual_seed(1)
    centres = 1.5 * torch.randn(10, 1, 6, generator=g)
    data = centres + torch.randn(10, 30, 6, generator=g)
    return Pool(data=data, counts=torch.full((10,), 30), names=tuple(map(str, range(10))))


def test_calibrating_makes_fresh_tasks_honest(pool):
    sampler = EpisodeSampler(pool=pool, ways=5, shots=2, queries=5, seed=3)
    found = calibrate(NearestCentroid(), {}, sampler, episodes=60)
    fresh = EpisodeSampler(pool=pool, ways=5, shots=2, queries=5, seed=4)
    from innerloop.evaluate import meta_test

    after = meta_test(NearestCentroid(), {}, fresh, 60, quiet=True, temperature=found.temperature).reliability
    assert after is not None and after.calibrated is not None and found.ece is not None
    assert after.calibrated < min(0.03, after.ece) and found.ece < 0.03
    assert found.auroc is not None and found.threshold is not None
    assert found.source == "meta-validation" and found.auroc > 0.7
    assert [p[0] for p in found.points] == sorted(p[0] for p in found.points)
    assert found.at(0.05).threshold == found.threshold
    # The promise holds on classes that the threshold was not set on.
    passed = []
    for i in range(60):
        support, query = fresh.episodes(i, 1)
        keep, foreign = support.y[0] < 4, query.y[0] == 4
        batch = support._replace(
            x=inputs(support)[0][keep], y=support.y[0][keep], classes=torch.ones(4, dtype=torch.bool), key=None
        )
        learner = NearestCentroid()
        passed.append(
            learner.predict({}, learner.adapt({}, batch), inputs(query)[0][foreign]).amax(1) >= found.threshold
        )
    assert torch.cat(passed).double().mean() < 0.1


def test_uneven_tasks_and_two_classes_are_measured_as_far_as_they_go(pool):
    uneven = EpisodeSampler(pool=pool, ways=(2, 5), shots=(1, 3), queries=3)
    assert calibrate(NearestCentroid(), {}, uneven, episodes=20).threshold is not None
    pair = replace(pool, data=pool.data[:2], counts=pool.counts[:2], names=pool.names[:2])
    two = calibrate(NearestCentroid(), {}, EpisodeSampler(pool=pair, ways=2, shots=1, queries=3), episodes=5)
    assert two.threshold is None and two.points == () and two.temperature > 0


def impostors(pool, sampler, threshold):
    """Share of each fresh task's queries of classes that were not taught that pass, with the ways of the sampler."""
    fresh, ways, passed = replace(sampler, pool=pool, ways=sampler.ways + 3, seed=77), sampler.ways, []
    for i in range(300):
        support, query = fresh.episodes(i, 1)
        known, foreign = support.y[0] < ways, query.y[0] >= ways
        rows = Batch(inputs(support)[0][known], support.y[0][known], classes=torch.ones(ways, dtype=torch.bool))
        learner = NearestCentroid()
        best = learner.predict({}, learner.adapt({}, rows), inputs(query)[0][foreign]).amax(1)
        passed.append((best >= threshold).double().mean().item())
    return torch.tensor(passed)


@pytest.mark.parametrize("ways", [2, 3, 5])
def test_a_threshold_is_measured_with_the_ways_it_is_used_with(ways):
    g = torch.Generator().manual_seed(7)
    data = 1.2 * torch.randn(60, 1, 6, generator=g) + torch.randn(60, 12, 6, generator=g)
    many = Pool(data=data, counts=torch.full((60,), 12), names=tuple(map(str, range(60))))
    sampler = EpisodeSampler(pool=many, ways=ways, shots=2, queries=3, seed=3)
    one = calibrate(NearestCentroid(), {}, sampler)
    assert one.ways == ways and one.tasks is not None and 48 <= one.tasks <= 400 and one.threshold is not None
    assert one.false_accepts is not None and one.false_accepts[0] < 0.05 <= one.false_accepts[1] + 1e-3
    assert one.tasks == 400 or one.false_accepts[1] - one.false_accepts[0] <= 0.02 + 1e-9
    mean, ci95 = interval(impostors(many, sampler, one.threshold), SHARES)
    assert abs(mean - 0.05) <= ci95 + (one.false_accepts[1] - one.false_accepts[0]) / 2, "5% asked"
    # As before, the last of so many classes left out: too many pass where one more is taught.
    fewer = calibrate(NearestCentroid(), {}, Narrow(sampler))
    assert fewer.ways == (ways - 1 if ways > 2 else None)
    if ways == 3 and fewer.threshold is not None:
        assert impostors(many, sampler, fewer.threshold).mean() > 0.05 + ci95


class Narrow:
    """A sampler that cannot be widened."""

    def __init__(self, sampler):
        self.episodes, self.describe = sampler.episodes, sampler.describe


def test_the_interval_of_a_rate_goes_wherever_the_rate_goes(pool):
    sampler = EpisodeSampler(pool=pool, ways=5, shots=2, queries=5, seed=3)
    one = calibrate(NearestCentroid(), {}, sampler, episodes=60)
    assert all(len(point) == 5 and 0 <= point[3] <= point[4] <= 1 for point in one.points)
    assert one.at(0.05).false_accepts == one.false_accepts and one.at(0.1).false_accepts == one.points[4][3:]
    assert Calibration(**json.loads(json.dumps(one.to_json()))) == one
    assert one.rate.startswith("0.05 (95% interval 0.0")
    assert one.rate.endswith(f" over {one.tasks} tasks of 5 classes)")
    old = Calibration(target=0.05, threshold=1.0, coverage=0.9, points=((0.05, 1.0, 0.9),))
    assert old.rate == "0.05" and old.at(0.05).false_accepts is None
    with pytest.raises(ValueError, match="two ends"):
        Calibration(false_accepts=(0.1,))  # pyright: ignore[reportArgumentType]


def test_a_rate_without_a_single_accept_is_not_certain():
    inside, outside = torch.arange(10.0) + 30, [torch.arange(4.0)] * 20
    one = rejection(inside, outside, 0.1, Calibration(), few=True)
    assert one.false_accepts == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert rejection(inside, torch.arange(4.0), 0.1, Calibration()).false_accepts is None, "one task says no spread"


def test_the_file_of_a_run(tmp_path):
    assert calibration.read(tmp_path) is None
    found = Calibration(temperature=2.0, points=((0.05, 1.0, 0.9),), source="meta-validation")
    calibration.write(tmp_path, found, of="abc")
    assert calibration.read(tmp_path) == found == calibration.read(tmp_path, of="abc")
    assert calibration.read(tmp_path, of="other") is None
    for damaged in ("{", "[]", json.dumps({"temperature": -1}), json.dumps({"temperature": "x"}), '{"new": 1}'):
        (tmp_path / "calibration.json").write_text(damaged)
        with pytest.raises(InputError, match="damaged"):
            calibration.read(tmp_path)


def numbers(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 6), st.integers(2, 40), st.integers(0, 10**6))
@settings(max_examples=25)
def test_the_temperature_is_scipys(ways, n, seed):
    """The one pseudo-example that is wrong is added here too, from its definition."""
    z = 2 * numbers((n, ways), seed)
    y = torch.randint(ways, (n,), generator=torch.Generator().manual_seed(seed))
    top = z.sort(1, descending=True)
    right = top.indices[:, 0] == y
    rows, labels = z, y
    if right.any():
        margins = torch.where(right, top.values[:, 0] - top.values[:, 1], torch.inf)
        i = int(margins.argmin())
        rows, labels = torch.cat([z, z[i][None]]), torch.cat([y, top.indices[i, 1:2]])

    def cost(log_t: float) -> float:
        return torch.nn.functional.cross_entropy(rows / math.exp(log_t), labels).item()

    best = optimize.minimize_scalar(cost, bounds=(math.log(1e-3), math.log(1e4)), method="bounded")
    assert cost(math.log(fit_temperature(z, y))) <= best.fun + 1e-6


def test_wrong_everywhere_asks_for_the_hottest():
    t = fit_temperature(10 * torch.eye(3), torch.tensor([1, 2, 0]))
    assert t == pytest.approx(1e4, rel=1e-3), "no temperature makes it less wrong than even odds"


@pytest.mark.parametrize("z", [torch.zeros(0, 3), torch.tensor([[0.0, torch.nan]]), torch.tensor([[0.0, torch.inf]])])
def test_a_temperature_needs_finite_logits(z):
    with pytest.raises(InputError, match=r"examples with finite logits, got \[\d, \d\]"):
        fit_temperature(z, torch.zeros(len(z), dtype=torch.int64))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 10**6))
@settings(max_examples=50)
def test_calibration_error_is_numpys(n, bins, seed):
    """Against bins that are found by comparing with their edges."""
    rng = np.random.default_rng(seed)
    confidence = np.where(rng.random(n) < 0.3, rng.integers(1, bins + 1, n) / bins, rng.random(n))  # some on edges
    right = rng.random(n) < confidence
    edges = np.arange(1, bins + 1) / bins
    index = np.searchsorted(edges, confidence - 1e-12)
    expected = sum(abs((confidence - right)[index == b].sum()) for b in range(bins)) / n
    measured = expected_calibration_error(torch.from_numpy(confidence + 0.0), torch.from_numpy(right), bins)
    assert measured == pytest.approx(expected, abs=1e-9) or _near_an_edge(confidence, bins)


def _near_an_edge(confidence: np.ndarray, bins: int) -> bool:
    """Whether rounding may put a confidence into the bin above: k / bins * bins is not always k."""
    return bool((np.ceil(confidence * bins) != np.ceil(confidence * bins - 1e-9)).any())


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="at least one prediction"):
        expected_calibration_error(torch.zeros(0), torch.zeros(0))
    for inside, outside in ((0, 3), (3, 0)):
        with pytest.raises(InputError, match="examples of the classes and others"):
            auroc(torch.zeros(inside), torch.zeros(outside))
    with pytest.raises(InputError, match="needs examples of no class"):
        threshold(torch.zeros(0), 0.5)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30), st.lists(st.integers(-4, 4), min_size=1, max_size=30))
def test_auroc_is_mann_and_whitneys_whatever_the_ties(inside, outside):
    u = stats.mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside))
    assert auroc(torch.tensor(inside), torch.tensor(outside)) == pytest.approx(u)
    assert auroc(torch.tensor(outside), torch.tensor(inside)) == pytest.approx(1 - u)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30), st.floats(0, 1, exclude_min=True, exclude_max=True))
@example([1] * 10, math.nextafter(1, 0))
def test_a_threshold_keeps_its_promise_with_ties_too(scores, target):
    values = torch.tensor(scores, dtype=torch.float64)
    at = threshold(values, target)
    assert (values >= at).double().mean() <= target + 1e-9
    lower = values[values < at]
    assert not len(lower) or (values >= lower.max()).double().mean() > target - 1e-9, "and a lower one would not"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "temperature above 0"),
        ({"temperature": math.nan}, "finite numbers"),
        ({"temperature": True}, "finite numbers"),
        ({"threshold": math.inf}, "finite numbers"),
        ({"ece": "0.1"}, "finite numbers"),
        ({"source": None}, "finite numbers"),
        ({"points": ((0.1, 2.0),)}, "points of target, threshold, coverage"),
        ({"points": ((0.1, math.nan, 0.5),)}, "finite numbers"),
    ],
)
def test_a_calibration_of_something_else_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Calibration(**fields)


def test_a_calibration_is_the_same_after_json():
    one = Calibration(temperature=2.0, threshold=-1.5, target=0.05, coverage=0.9, points=((0.05, -1.5, 0.9),))
    content = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert Calibration(**content) == one and content["points"] == [[0.05, -1.5, 0.9]]
    with pytest.raises(InputError, match="measured: none"):
        Calibration().at(0.1)


@dataclass(frozen=True, kw_only=True)
class Broken(NearestCentroid):
    """Answers without a number."""

    def predict(self, params, adapted, x):
        return super().predict(params, adapted, x) * torch.nan


def test_what_cannot_be_calibrated_is_refused(pool):
    sampler = EpisodeSampler(pool=pool, ways=3, shots=1, queries=2)
    with pytest.raises(InputError, match="at least 1 episode, got 0"):
        calibrate(NearestCentroid(), {}, sampler, episodes=0)
    with pytest.raises(InputError, match="false-accept rate"):
        calibrate(NearestCentroid(), {}, sampler, target=1.5)
    with pytest.raises(InputError, match="tasks of at least 2 classes"):
        calibrate(NearestCentroid(), {}, replace(sampler, ways=1), episodes=2)
    with pytest.raises(InputError, match="finite logits"):
        calibrate(Broken(), {}, sampler, episodes=2)


def test_chunks_of_tasks_and_transduction_change_no_calibration(pool, monkeypatch):
    sampler = EpisodeSampler(pool=pool, ways=4, shots=1, queries=3, seed=1)
    expected = calibrate(NearestCentroid(), {}, sampler, episodes=7)
    monkeypatch.setattr(calibration, "_CHUNK", 3)
    assert calibrate(NearestCentroid(transductive=True), {}, sampler, episodes=7) == expected
    assert len(expected.points) == len(calibration.TARGETS) and all(0 <= p[2] <= 1 for p in expected.points)
