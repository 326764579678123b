import math

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.interval import SHARES, bootstrap, difference, interval


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


@pytest.mark.parametrize("n", [2, 20, 600])
def test_shares_that_are_all_equal_get_the_exact_interval_of_clopper_and_pearson(n):
    beta = pytest.importorskip("scipy.stats").beta
    mean, ci95 = interval([1.0] * n, SHARES)
    assert mean == 1 and mean - ci95 == pytest.approx(beta.ppf(0.025, n, 1))
    mean, ci95 = interval([0.0] * n, SHARES)
    assert mean == 0 and mean + ci95 == pytest.approx(beta.ppf(0.975, 1, n))
    assert 0 < interval([0.8] * n, SHARES).ci95 < ci95, "its tasks cannot be as far away"
    assert interval([1.0] * n).ci95 == 0, "nothing is known of scores without bounds"


def test_shares_that_differ_have_the_usual_interval():
    scores = [1.0] * 599 + [0.96]
    assert interval(scores, SHARES) == interval(scores)
    assert math.isnan(interval([1.0], SHARES).ci95)


def test_a_perfect_score_covers_what_is_not_perfect():
    """Tasks of which one in 250 fails: 600 of them show no failure now and then, and must not exclude it."""
    assert (1 - 1 / 250) ** 600 > 0.025 and 1 - interval([1.0] * 600, SHARES).ci95 < 1 - 1 / 250


def test_a_bootstrap_of_equal_tasks_between_bounds():
    rows = torch.ones(50, 2, dtype=torch.float64)

    def total(scores: torch.Tensor) -> float:
        return scores[:, 0].sum().item() / scores[:, 1].sum().item()

    assert (
        bootstrap(total, rows, SHARES) == pytest.approx((1, 1 - 0.025 ** (1 / 50))) and bootstrap(total, rows)[1] == 0
    )
