from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.audit.check_ratings import known_apart
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks import draws
from innerloop.tasks.ratings.behaviour import BehaviourSampler, absent, chances
from innerloop.tasks.ratings.encoding import COMPONENTS
from innerloop.tasks.ratings.splits import TRAIN, roles
from tests.tasks.ratings.made import made

TABLE = made().as_behaviour(3.0)
ROLES = roles(TABLE, "user-cold")


def sampler(**changes: Any) -> BehaviourSampler:
    usual = {"table": TABLE, "roles": ROLES, "split": "test", "shots": 4, "at_least": 8, "negatives": 10}
    return BehaviourSampler(**usual | changes)


def test_what_was_rated_so_or_higher_is_behaviour():
    table = made()
    assert len(TABLE) == (table.values >= 3).sum() and set(TABLE.values) == {1.0} and TABLE.behaviour
    assert len(table.as_behaviour()) == len(table) and TABLE.digest != table.digest
    with pytest.raises(InputError, match="no rating of made is 9 or higher"):
        table.as_behaviour(9)


def test_a_query_of_tests_is_every_item_that_was_not_told_with_what_was_taken():
    tests = sampler()
    episodes = tests.episodes(0, len(tests))
    for i in range(len(tests)):
        support, query = tree.slice(episodes, i)
        own = set(TABLE.items[tests.rows(i)].tolist())
        told = set((support.x["item"][support.y[:, 0] > 0] - 1).tolist())
        asked = set(query.y[:, 0].nonzero()[:, 0].tolist())
        assert len(told) == 4 and told | asked == own and not told & asked
        assert len(query.y) == 30 and set((~query.mask).nonzero()[:, 0].tolist()) == told
        others = set((support.x["item"][support.y[:, 0] == 0] - 1).tolist())
        assert not others & told and others  # what is asked may be among them: nobody knows yet
        assert (support.x["log_q"][:4] == 0).all() and (query.x["log_q"] == 0).all()


def test_a_training_draw_has_none_of_what_the_user_took_and_says_how_often_each_is_expected():
    train = sampler(split="train", fewest_shots=2, asked_negatives=20)
    support, query = train.episodes(0, 6)
    for i in range(6):
        (told, asked), key = (tree.slice(batch, i) for batch in (support, query)), ("item", "log_q")
        own = [set(b.x["item"][(b.y[:, 0] > 0) & b.mask].tolist()) for b in (told, asked)]
        other = set(asked.x["item"][(asked.y[:, 0] == 0) & asked.mask].tolist())
        assert not other & (own[0] | own[1]) and len(asked.y) - 20 >= len(own[1])
        items, log_q = (asked.x[k][-20:].numpy() for k in key)
        chance = chances(train.encoding)
        left = 1 - chance[np.array(sorted(own[0] | own[1])) - 1].sum()
        assert np.allclose(np.exp(log_q), 20 * chance[items - 1] / left, rtol=1e-5)


def test_draws_come_as_often_as_they_say():
    chance = np.array([0.5, 0.2, 0.2, 0.1])
    drawn = absent(chance, np.array([0]), 40_000, draws.keys(0, 0, 1))
    assert np.allclose(np.bincount(drawn.items, minlength=4) / 40_000, [0, 0.4, 0.4, 0.2], atol=0.01)
    everything = absent(chance, np.arange(4), 10, draws.keys(0, 0, 1))
    assert np.isfinite(everything.log_q).all()


def test_popularity_leaves_the_users_own_out_and_a_leak_is_found():
    train, tests = sampler(split="train"), sampler()
    count = train.encoding.sums
    row = int(np.flatnonzero(ROLES == TRAIN)[0])
    item, average = TABLE.items[row], count.sum() / np.count_nonzero(train.encoding.counts)
    mean, _ = train.encoding.means(TABLE.users[[row]], TABLE.items[[row]], TABLE.values[[row]])
    assert mean[0] == pytest.approx(np.log((count[item] - 0.5) / (average + 0.5)))
    assert known_apart(train).passed and known_apart(tests).passed

    class Leaking(BehaviourSampler):
        @property
        def encoding(self):  # pyright: ignore[reportIncompatibleVariableOverride]
            return replace(super().encoding, sums=np.bincount(TABLE.items, self.table.values, 30))

    assert not known_apart(Leaking(**_fields(tests))).passed


def _fields(of: BehaviourSampler) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__dataclass_fields__}


def test_items_that_nobody_rated_are_candidates_where_their_texts_are_read():
    texts = np.random.default_rng(0).normal(size=(30, 50)).astype(np.float32)
    hidden = ROLES.copy()
    hidden[(TABLE.items == 3) & (ROLES == TRAIN)] = -1
    read = sampler(table=replace(TABLE, item_texts=texts), roles=hidden)
    assert read.encoding.candidates.all() and not sampler(roles=hidden).encoding.candidates[3]
    rows = read.encoding.items["texts"]
    known = np.unique(TABLE.items[hidden == TRAIN])
    assert rows.shape == (30, COMPONENTS) and rows[known].std() == pytest.approx(1, abs=0.01)
    query = read.episodes(0, len(read)).query
    assert isinstance(query.x, dict) and query.mask is not None
    assert query.x["item"][0, 3] == 0 and query.mask[:, 3].any()
    assert torch.equal(query.x["texts"][0], torch.from_numpy(rows))
