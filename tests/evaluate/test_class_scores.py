"""Numbers of answers, against scikit-learn and against slow definitions."""

import math

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.interval import Share
from innerloop.evaluate.class_scores import averages, class_scores, confusion, reliability, risk_coverage
from innerloop.evaluate.temperature import expected_calibration_error

metrics = pytest.importorskip("sklearn.metrics")


def drawn(seed, classes=6, n=80, refused=0.2):
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(classes - 1, (n,), generator=g)  # the last class has no example
    answers = torch.where(torch.rand(n, generator=g) < 0.6, truth, torch.randint(classes, (n,), generator=g))
    return truth, torch.where(torch.rand(n, generator=g) < refused, -1, answers)


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed):
    truth, answers = drawn(seed, refused=0.2 * (seed % 2))
    counts = confusion(truth, answers, 6)
    full = metrics.confusion_matrix(truth.numpy(), answers.numpy(), labels=[*range(6), -1])
    assert np.array_equal(counts.numpy(), full[:6])
    expected = metrics.classification_report(
        truth.numpy(), answers.numpy(), labels=range(6), output_dict=True, zero_division=0
    )
    scores = class_scores(counts)
    macro, weighted = averages(scores)
    for name, score in [*enumerate(scores), ("macro avg", macro), ("weighted avg", weighted)]:
        own = expected[str(name)]
        assert score == pytest.approx((own["precision"], own["recall"], own["f1-score"], own["support"]), abs=1e-12)


def test_averages_need_an_example():
    with pytest.raises(InputError, match="need an example"):
        averages(class_scores(torch.zeros(2, 3, dtype=torch.long)))


def test_a_risk_coverage_curve_is_what_counting_gives():
    confidence, right = torch.tensor([0.9, 0.5, 0.8, 0.7]), torch.tensor([True, False, False, True])
    curve = risk_coverage(confidence, right)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    with pytest.raises(InputError):
        risk_coverage(confidence[:0], right[:0])


def test_answers_of_the_same_confidence_have_no_order():
    confidence, right = torch.tensor([0.9, 0.9, 0.9, 0.2]), torch.tensor([False, True, True, True])
    curves = [
        risk_coverage(confidence, right[list(order)]).risk for order in ((0, 1, 2, 3), (1, 2, 0, 3), (2, 0, 1, 3))
    ]
    assert all(torch.equal(curve, curves[0]) for curve in curves)
    assert curves[0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 4])


def test_bins_give_the_calibration_error():
    g = torch.Generator().manual_seed(0)
    confidence = torch.rand(500, generator=g, dtype=torch.float64)
    right = torch.rand(500, generator=g) < confidence.square()
    bins = reliability(confidence, right)
    assert sum(one.size for one in bins) == 500 and len(bins) == 15
    gap = sum(one.size * abs(one.confidence - one.accuracy) for one in bins if one.size) / 500
    assert gap == pytest.approx(expected_calibration_error(confidence, right))
    assert math.isnan(reliability(confidence[:1], right[:1])[0].accuracy) or bins[0].size


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # statsmodels.stats.proportion.proportion_confint(count, of, method="wilson"), to 1.96
    [(0, 10, 0.0, 0.27754), (10, 10, 0.72246, 1.0), (81, 263, 0.25528, 0.36617), (1, 29, 0.00611, 0.17176)],
)
def test_a_share_has_the_interval_of_wilson(count, of, low, high):
    share = Share(count, of)
    assert share.ends == pytest.approx((low, high), abs=2e-4)
    assert share.value == count / of and share.to_json()["count"] == count


def test_a_share_of_nothing_is_open():
    assert Share(0, 0).ends == (0, 1) and str(Share(0, 0)) == "unknown" and Share(0, 0).to_json()["value"] is None
