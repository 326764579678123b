from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.audit.check_ratings import known_apart
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks.ratings import encoding
from innerloop.tasks.ratings.encoding import SHRINK
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import NONE, TEST, TRAIN, VALIDATION, roles
from tests.problems import named_input, real
from tests.tasks.ratings.made import made

TABLE = made()
ROLES = roles(TABLE, "user-cold")


def sampler(**changes: Any) -> RatingSampler:
    return RatingSampler(**{"table": TABLE, "roles": ROLES, **changes})


def test_a_user_is_in_one_split_whoever_else_is_there():
    for user in range(len(TABLE.user_names)):
        assert len(set(ROLES[TABLE.users == user])) == 1
    fewer = made(users=40)
    assert np.array_equal(roles(fewer, "user-cold"), ROLES[: len(fewer)])
    tests = [roles(TABLE, "user-cold", fold) == TEST for fold in range(5)]
    assert (np.sum(tests, 0) == 1).all()  # five folds, each row in one


def test_states_keep_apart_what_they_say():
    def shared(state, of):
        part = roles(TABLE, state)
        return set(of[part == TRAIN]) & set(of[part == TEST])

    assert shared("user-cold", TABLE.users) == shared("item-cold", TABLE.items) == set()
    assert shared("both-cold", TABLE.users) == shared("both-cold", TABLE.items) == set()
    assert NONE in roles(TABLE, "both-cold") and shared("warm", TABLE.users) and shared("warm", TABLE.items)
    later, times = roles(TABLE, "later"), TABLE.times
    assert times is not None
    assert times[later == TRAIN].max() < times[later == VALIDATION].min() < times[later == TEST].min()
    with pytest.raises(InputError, match="no times to split by"):
        roles(replace(TABLE, times=None), "later")


def test_told_and_asked_ratings_are_all_of_a_users_and_never_both():
    tests = sampler(split="test", shots=8)
    assert len(tests) == len(set(TABLE.users[ROLES == TEST]))
    episodes = tests.episodes(0, len(tests))
    for i in range(len(tests)):
        told, asked = (named_input(batch, "item")[real(batch)] for batch in tree.slice(episodes, i))
        own = TABLE.items[(TABLE.users == tests.user(i)) & (ROLES == TEST)] + 1
        assert len(told) == 8 and sorted([*told.tolist(), *asked.tolist()]) == sorted(own.tolist())
    again = tests.episodes(2, 1)
    assert torch.equal(again.query.y[0], episodes.query.y[2])


def test_ragged_tasks_are_padded_with_zeros_under_their_mask():
    episodes = sampler(fewest_shots=2, queries=5, seed=3).episodes(0, 40)
    told, asked = real(episodes.support).sum(1), real(episodes.query).sum(1)
    assert told.min() >= 2 and told.max() == 10 and len(set(told.tolist())) > 3 and (asked == 5).all()
    for leaf in tree.flatten((episodes.support.x, episodes.support.y)):
        assert (leaf[~real(episodes.support)] == 0).all()


def test_the_earliest_are_told_where_time_tells_them_apart():
    episode = tree.slice(sampler(split="test", by="time").episodes(0, 1), 0)
    tests = sampler(split="test", by="time")
    rows = np.flatnonzero((TABLE.users == tests.user(0)) & (ROLES == TEST))  # made in order of time
    assert named_input(episode.support, "item").tolist() == (TABLE.items[rows][:10] + 1).tolist()


def test_means_are_of_meta_training_and_leave_the_rating_itself_out():
    train = sampler()
    known = ROLES == TRAIN
    row = np.flatnonzero(known)[7]
    centre = TABLE.values[known & (TABLE.users != TABLE.users[row])].mean()
    others = known & (TABLE.items == TABLE.items[row])
    others[row] = False
    expected = (TABLE.values[others].sum() + SHRINK * centre) / (others.sum() + SHRINK)
    task = next(i for i in range(len(train)) if train.user(i) == TABLE.users[row])
    inputs = train.inputs(task)
    (at,) = np.flatnonzero(inputs["item"] == TABLE.items[row] + 1)
    assert inputs["mean"][at] == pytest.approx(expected, rel=1e-6)


def test_what_meta_training_has_not_seen_has_a_row_of_its_own():
    cold = sampler(roles=roles(TABLE, "item-cold"), split="test", at_least=5, shots=3)
    inputs = cold.inputs(0)
    assert (inputs["item"] == 0).all() and np.allclose(inputs["mean"], cold.encoding.centre)
    strange = replace(TABLE.item_features, categories={"kind": ["only" + n for n in TABLE.item_names]})
    rows = replace(cold, table=replace(TABLE, item_features=strange)).inputs(0)["categories"]
    assert len(set(rows[:, 1])) == 1  # the unknown one of that column, for all of them
    hidden = sampler(hide=0.5, seed=1).episodes(0, 20).support
    assert 0.4 < (named_input(hidden, "item") == 0).float().mean() < 0.6


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_audit_finds_means_that_know_the_test(split, monkeypatch):
    assert known_apart(sampler(split=split)).passed
    if split == "test":
        honest = encoding.encoded
        monkeypatch.setattr("innerloop.tasks.ratings.sampler.encoded", lambda t, known: honest(t, known | True))
    else:
        honest = encoding.Encoding.means
        monkeypatch.setattr(encoding.Encoding, "means", lambda self, users, items, own=None: honest(self, users, items))
    check = known_apart(sampler(split=split))
    assert check.passed is False and "must come from meta-training's users" in check.explanation


def test_tasks_that_cannot_be_are_refused():
    for changes, said in (
        ({"at_least": 10}, "at_least must be more than shots=10"),
        ({"at_least": 50}, "no user of the train split of made has 50 ratings"),
        ({"fewest_shots": 11}, "fewest_shots must be at most"),
        ({"by": "time", "table": replace(TABLE, times=None)}, "has no times"),
    ):
        with pytest.raises(InputError, match=said):
            sampler(**changes)


def test_an_item_is_a_task_of_the_turned_table():
    turned = TABLE.turned()
    items = RatingSampler(table=turned, roles=roles(turned, "user-cold"), split="test", who="item")
    name = turned.user_names[items.user(0)]
    assert name.startswith("i") and items.describe()["task"] == "item"
    assert set(items.inputs(0)) == {"item", "mean", "categories", "several", "numbers"}
