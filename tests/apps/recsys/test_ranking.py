import numpy as np
import torch

from benchmarks.ranked_items import ranked
from innerloop.problems.rating_factors import factorised
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import TRAIN, roles
from tests.tasks.ratings.made import made

TABLE = made(users=150)
TESTS = RatingSampler(table=TABLE, roles=roles(TABLE, "user-cold"), split="test", shots=8)
MEANS, _ = TESTS.encoding.means(None, np.arange(len(TESTS.encoding.counts)))


def test_folding_in_finds_what_a_new_user_likes():
    factors = factorised(TABLE, TESTS.roles == TRAIN, MEANS, size=2)
    errors = []
    for user in range(len(TESTS)):
        told, asked = np.split(TESTS.rows(user), [8])
        items = TABLE.items[told]
        added = factors.folded(items, TABLE.values[told] - MEANS[items])
        left = TABLE.values[asked] - MEANS[TABLE.items[asked]]
        errors.append([np.abs(left).mean(), np.abs(left - added[TABLE.items[asked]]).mean()])
    plain, folded = np.mean(errors, 0)
    assert folded < 0.6 * plain


def test_a_perfect_ranking_is_1_a_blind_one_is_chance_and_told_items_are_no_candidates():
    users, perfect = range(len(TESTS)), []
    for user in users:
        truth, rows = torch.zeros(len(MEANS)), TESTS.rows(user)
        truth[torch.from_numpy(TABLE.items[rows])] = torch.from_numpy(TABLE.values[rows]).float()
        perfect.append(float(ranked(lambda *_, truth=truth: truth, TESTS, [user], k=5).ndcg))
    blind = ranked(lambda *_: torch.zeros(len(MEANS)), TESTS, users, k=5)
    assert np.allclose(perfect, 1) and 0 < blind.ndcg.mean() < 0.7 and "coverage" in str(blind)

    def told_first(items, ratings):
        scores = torch.zeros(len(MEANS))
        scores[items] = 1.0
        return scores

    assert torch.allclose(ranked(told_first, TESTS, users, k=5).ndcg, blind.ndcg)
