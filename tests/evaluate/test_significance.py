"""P-values against SciPy's, and Holm's correction by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.evaluate.significance import holm, of_interval, student, welch


def test_students_tails_are_scipys():
    for freedom in (1.0, 1.7, 2.0, 4.3, 30.0, 800.0):
        for t in (0.0, 0.3, 2.1, -2.1, 9.0):
            assert student(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-6)


def test_welch_is_scipys():
    for a, b in (([0.5, 0.6, 0.55], [0.4, 0.7]), (list(np.linspace(0, 1, 15)), list(np.linspace(0, 2, 9)))):
        assert welch(a, b) == pytest.approx(tuple(stats.ttest_ind(a, b, equal_var=False))[1], abs=1e-6)
    assert welch([1.0, 1.0], [1.0, 1.0]) == 1 and welch([1.0, 1.0], [2.0, 2.0]) == 0
    with pytest.raises(InputError, match="at least two of each"):
        welch([1.0], [1.0, 2.0])


def test_an_interval_that_ends_at_nothing_is_five_percent():
    assert of_interval(Interval(0.2, 0.2)) == pytest.approx(0.05, abs=1e-4)
    assert of_interval(Interval(0.2, math.nan)) == 1 and of_interval(Interval(0.0, 0.0)) == 1
    assert of_interval(Interval(0.1, 0.0)) == 0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == [] and holm([0.02]) == [0.02]


def test_holm_keeps_its_promise():
    """Of 10 comparisons without a difference, 5% of the families have one that is told apart, not 40%."""
    draws = np.random.default_rng(0).uniform(size=(4000, 10))
    assert np.mean([min(holm(list(row))) < 0.05 for row in draws]) == pytest.approx(0.05, abs=0.012)
    assert np.mean(draws.min(1) < 0.05) > 0.35
