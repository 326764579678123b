"""Drift is told within fifty feedbacks, and not where there is none."""

import random

import numpy as np
import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.drift import FIRST, THRESHOLD, Drift

SEEDS = range(10)
START = Drift()


def answers(seed, wrong, count, drift=START):
    """Charts after so many feedbacks, and how many it took to tell; None: it was not told."""
    rng = random.Random(seed)
    for i in range(count):
        drift = drift.answered(rng.random() >= wrong)
        if drift.wrong.drifting:
            return drift, i + 1
    return drift, None


def distances(seed, shift, count, drift=START):
    rng = random.Random(seed)
    for i in range(count):
        drift = drift.asked(rng.gauss(shift, 0.3))
        if drift.far.drifting:
            return drift, i + 1
    return drift, None


@pytest.mark.parametrize(("stream", "usual", "drifted"), [(answers, 0.1, 0.6), (distances, 0.0, 0.45)])
def test_a_drift_is_told_within_fifty_and_none_where_there_is_none(stream, usual, drifted):
    before = [stream(seed, usual, 1_000) for seed in SEEDS]
    assert [told for _, told in before] == [None] * len(SEEDS)
    after = [stream(seed + 100, drifted, 50, drift)[1] for seed, (drift, _) in zip(SEEDS, before, strict=True)]
    assert all(told is not None for told in after)
    # Also soon after it was first used.
    young = [stream(seed, usual, 300)[0] for seed in SEEDS]
    told = [stream(seed + 100, drifted, 50, drift)[1] for seed, drift in zip(SEEDS, young, strict=True)]
    assert sum(one is None for one in told) <= 1


def test_it_ends_when_all_is_well_again_and_when_it_has_become_usual():
    drift, _ = answers(0, 0.1, 300)
    drift, told = answers(1, 0.6, 50, drift)
    assert told and drift.wrong.since and "answers with feedback were right, and 9" in str(drift.reason)
    well = drift
    for _ in range(100):
        well = well.answered(True)
    assert not well.wrong.drifting and well.wrong.since is None and well.reason is None
    rng = random.Random(2)
    for _ in range(3_000):
        drift = drift.answered(rng.random() >= 0.6)
    assert not drift.wrong.drifting and drift.wrong.mean == pytest.approx(0.6, abs=0.06)


def test_it_is_a_few_numbers_however_long_a_task_is_in_use():
    sizes = []
    for count in (100, 5_000):
        drift, _ = answers(0, 0.2, count)
        sizes.append(len(drift.to_json()))
        assert Drift.from_json(drift.to_json()) == drift and drift.wrong.known <= 1_000
    assert sizes[1] < sizes[0] + 50
    assert Drift.from_json(None) == Drift()
    for wrong in ("[]", '{"wrong": {}, "far": {"mean": NaN}}', '{"wrong": {"count": true}, "far": {}}'):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Drift.from_json(wrong)


def test_only_corrections_say_nothing_and_neither_do_the_first_values():
    drift, told = answers(0, 1.0, 500)
    assert told is None and drift.told()["accuracy"]["recent"] < 1e-6
    drift, told = distances(0, 0.0, FIRST)
    assert told is None and drift.far.cusum == 0 and drift.told()["distance"]["threshold"] == THRESHOLD


def test_feedback_is_asked_first_and_learned_then(tmp_path):
    rng = np.random.default_rng(0)
    centres = np.eye(2, 8) * 4

    def some(label, moved=0.0):
        return (rng.normal(size=(1, 8)) + centres[label] + moved * np.eye(8)[7]).astype(np.float32)

    y = np.arange(20) % 2
    classifier = FewShotClassifier().fit(np.concatenate([some(label) for label in y]), y)
    for i in range(FIRST + 10):
        classifier.feedback(some(i % 2), [i % 2])
    told = classifier.show()["drift"]
    assert told["accuracy"]["count"] == told["distance"]["count"] == FIRST + 10 and not told["drift"]
    assert sum(classifier.examples_.values()) == 20 + FIRST + 10
    # A class that it did not know says nothing of its answers; its rows were asked all the same.
    classifier.feedback(some(0, 3.0), [2])
    assert classifier.task.drift.wrong.count == FIRST + 10 and classifier.task.drift.far.count == FIRST + 11
    classifier.undo()
    assert classifier.task.drift.far.count == FIRST + 11  # what was answered stays answered
    for i in range(50):
        classifier.feedback(some(i % 2, 6.0), [i % 2])
        if classifier.show()["drift"]["distance"]["drift"]:
            break
    assert "times as far from the classes" in classifier.show()["drift"]["reason"]
    classifier.save(tmp_path / "t.fewshot")
    assert FewShotClassifier.load(tmp_path / "t.fewshot").show()["drift"] == classifier.show()["drift"]
