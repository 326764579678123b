from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from innerloop.core.errors import InputError
from innerloop.evaluate.ranking import expected, gains, ndcg, recall


def test_without_ties_it_is_scikit_learns_ndcg():
    generator = torch.Generator().manual_seed(0)
    scores, ratings = torch.rand(12, generator=generator), torch.randint(0, 6, (12,), generator=generator).double()
    for gain in ("linear", "exponential"):
        worth = gains(ratings, gain)
        assert ndcg(scores, worth, 5) == pytest.approx(ndcg_score(worth[None], scores[None], k=5))


def test_ties_are_the_average_over_all_orders():
    scores, worth = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0]), torch.tensor([3.0, 0.0, 1.0, 0.0, 2.0])
    orders = [p for p in permutations(range(5)) if (np.diff(scores[list(p)]) <= 0).all()]
    assert len(orders) == 6
    assert torch.allclose(expected(scores, worth), torch.stack([worth[list(p)] for p in orders]).double().mean(0))
    broken = [ndcg(-torch.argsort(torch.tensor(p)).double(), worth, 3) for p in orders]
    assert ndcg(scores, worth, 3) == pytest.approx(np.mean(broken))


def test_one_score_for_all_is_chance_and_no_better():
    relevant = torch.arange(100) < 10
    assert recall(torch.zeros(100), relevant, 20) == pytest.approx(0.2)
    assert ndcg(torch.zeros(100), relevant.double(), 20) == pytest.approx(0.1 * 7.0403 / 4.5436, rel=1e-3)


def test_nothing_to_find_is_no_score_and_nan_is_refused():
    assert np.isnan(recall(torch.zeros(3), torch.zeros(3, dtype=torch.bool), 2))
    assert np.isnan(ndcg(torch.zeros(3), torch.zeros(3), 2))
    with pytest.raises(InputError, match="finite"):
        ndcg(torch.tensor([torch.nan, 0.0]), torch.ones(2), 1)
