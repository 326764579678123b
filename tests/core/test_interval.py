import math

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.interval import difference, interval


def test_interval_is_that_of_numpy():
    scores = np.random.default_rng(0).uniform(size=601)
    mean, ci95 = interval(torch.from_numpy(scores))
    assert mean == pytest.approx(scores.mean(), rel=1e-12)
    assert ci95 == pytest.approx(1.96 * scores.std(ddof=1) / math.sqrt(601), rel=1e-12)


def test_float32_scores_are_added_in_float64():
    scores = torch.full((100_000,), 0.1)
    assert interval(scores).mean == pytest.approx(float(scores[0]), rel=1e-12)


def test_difference_is_paired():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=50), rng.uniform(size=50)
    assert difference(torch.from_numpy(b), torch.from_numpy(a)) == pytest.approx(interval(torch.from_numpy(b - a)))
    assert difference([0.5, 0.7], [0.4, 0.6]).ci95 == pytest.approx(0, abs=1e-12)


def test_one_score_has_no_interval():
    mean, ci95 = interval([0.5])
    assert mean == 0.5 and math.isnan(ci95)


def test_nan_is_not_left_out():
    assert all(math.isnan(v) for v in interval([0.5, float("nan"), 0.7]))


@pytest.mark.parametrize("scores", [[], [[0.1, 0.2]]])
def test_no_scores_or_two_axes_are_refused(scores):
    with pytest.raises(InputError):
        interval(torch.tensor(scores))


def test_unlike_lengths_are_refused():
    with pytest.raises(InputError, match="2 and 3"):
        difference([0.1, 0.2], [0.1, 0.2, 0.3])
