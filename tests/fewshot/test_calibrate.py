import threading

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot.calibrate import Wanted, calibrate
from innerloop.fewshot.support import Support
from innerloop.learners.baselines.nearest_centroid import NearestCentroid


def points(counts, spread=1.0, seed=0):
    """Classes around far corners, and their labels."""
    g = torch.Generator().manual_seed(seed)
    centres = 6 * torch.randn(len(counts), 8, generator=g)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Support(centres[y] + spread * torch.randn(len(y), 8, generator=g), y)


def test_nothing_is_asked_that_was_learned_from(monkeypatch):
    seen = {}  # by the thread that works on a fold
    honest_adapt, honest_predict = NearestCentroid.adapt, NearestCentroid.predict

    def adapt(self, params, support):
        seen.setdefault(threading.get_ident(), []).append({tuple(row.tolist()) for row in support.x})
        return honest_adapt(self, params, support)

    def predict(self, params, adapted, x):
        assert not seen[threading.get_ident()][-1] & {tuple(row.tolist()) for row in x}
        return honest_predict(self, params, adapted, x)

    monkeypatch.setattr(NearestCentroid, "adapt", adapt)
    monkeypatch.setattr(NearestCentroid, "predict", predict)
    calibrate(NearestCentroid(), {}, points([1, 2, 3, 9]), Wanted(0.05), None)
    assert sum(map(len, seen.values())) == 5 + 4, "five folds of examples, four of classes"


def test_the_threshold_lets_in_the_classes_and_keeps_others_out():
    given = points([8] * 6)
    found = calibrate(NearestCentroid(), {}, given, Wanted(0.05), None)
    assert found.coverage is not None and found.auroc is not None and found.threshold is not None
    assert found.source == "held-out support" and found.target == 0.05 and found.coverage > 0.95 and found.auroc > 0.99
    adapted = NearestCentroid().adapt({}, given.batch(6))
    inside = NearestCentroid().predict({}, adapted, points([50] * 6).x).amax(1)
    outside = NearestCentroid().predict({}, adapted, points([50] * 6, seed=9).x).amax(1)
    assert (inside >= found.threshold).double().mean() > 0.9 and (outside >= found.threshold).double().mean() < 0.1


def test_many_classes_are_left_out_in_groups():
    auroc = calibrate(NearestCentroid(), {}, points([3] * 23), Wanted(0.2), None).auroc
    assert auroc is not None and auroc > 0.9


def test_a_temperature_needs_a_held_out_example_and_nothing_else():
    found = calibrate(NearestCentroid(), {}, points([2, 1], spread=6.0), Wanted(), None)
    assert found.temperature != 1 and found.ece is not None and found.threshold is None
    assert calibrate(NearestCentroid(), {}, points([1, 1]), Wanted(), None) == Calibration()


def test_what_meta_validation_measured_comes_before_the_temperature_of_a_few_examples():
    prior = Calibration(
        temperature=3.0, threshold=1.0, target=0.05, points=((0.05, -50.0, 0.9),), source="meta-validation"
    )
    given = points([5, 5, 5])
    found = calibrate(NearestCentroid(), {}, given, Wanted(), prior)
    assert found.temperature == 3 and found.threshold is None
    found = calibrate(NearestCentroid(), {}, given, Wanted(0.05), prior)
    assert found.temperature == 3 and found.source == "held-out support" and found.threshold != -50
    for few in (points([5, 5]), points([1, 1, 1])):
        found = calibrate(NearestCentroid(), {}, few, Wanted(0.1), prior)
        assert (found.threshold, found.target, found.coverage, found.source) == (-50.0, 0.05, 0.9, "meta-validation")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([5, 5], r"3 classes \(these are 2\)"),
        ([1, 1, 1], "2 examples of a class"),
        ([1, 1], "3 classes.*and 2 examples"),
    ],
)
def test_what_is_missing_for_a_threshold_is_said(counts, says):
    with pytest.raises(InputError, match=says):
        calibrate(NearestCentroid(), {}, points(counts), Wanted(0.05), None)
    with pytest.raises(InputError, match=says):
        calibrate(NearestCentroid(), {}, points(counts), Wanted(0.05), Calibration(temperature=2.0))


def _support(x, y):
    from innerloop.core.dry_run import support

    return support(x, y, int(np.max(y.numpy())) + 1)
