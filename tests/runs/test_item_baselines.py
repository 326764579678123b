"""Closed forms beside learners, against their definitions written out."""

from dataclasses import replace

import numpy as np
import pytest

from innerloop.core import tree
from innerloop.core.types import Batch
from innerloop.problems.alternating import ALPHA, alternating
from innerloop.problems.item_baselines import FoldedIn, ItemToItem, TextRidge, factors, item_to_item
from innerloop.problems.rating_factors import factorised
from innerloop.tasks.ratings.behaviour import BehaviourSampler
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import TRAIN, roles
from tests.tasks.ratings.made import made

TABLE = made()
ROLES = roles(TABLE, "user-cold")
TEXTS = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)


def ratings(**changes):
    return RatingSampler(**{"table": TABLE, "roles": ROLES, "split": "test", "shots": 8} | changes)


def taken():
    table = TABLE.as_behaviour(3.0)
    return BehaviourSampler(table=table, roles=roles(table, "user-cold"), split="test", shots=4, at_least=8)


def told(batch: Batch):
    """Positions of what is told, and the rows."""
    assert isinstance(batch.x, dict)
    rows = batch.y[:, 0] > 0 if batch.mask is None else batch.mask & (batch.y[:, 0] > 0)
    return (batch.x["item"][rows] - 1).numpy(), rows


@pytest.mark.parametrize("behaviour", [False, True])
def test_items_by_items_is_ease_as_it_is_defined(behaviour):
    sampler, decay = taken() if behaviour else ratings(), 7.0
    table, known = sampler.table, sampler.roles == TRAIN
    params = item_to_item(table, known, sampler.encoding, decay)
    users, who = np.unique(table.users[known], return_inverse=True)
    x = np.zeros((len(users), 30))
    means, _ = sampler.encoding.means(None, np.arange(30))
    x[who, table.items[known]] = 1.0 if behaviour else table.values[known] - means[table.items[known]]
    inverse = np.linalg.inv(x.T @ x + decay * np.eye(30))
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    support, query = tree.slice(sampler.episodes(1, 1), 0)
    at, rows = told(support)
    own = np.zeros(30)
    own[at] = 1.0 if behaviour else support.y[rows, 0].numpy() - means[at]
    learner = ItemToItem(behaviour=behaviour)
    found = learner.predict(params, learner.adapt(params, support), query.x)[:, 0].numpy()
    asked = query.x["item"].numpy() - 1
    real = query.mask.numpy() & ~np.isin(asked, at)
    expected = (own @ weights)[asked] + (0 if behaviour else means[asked])
    assert np.allclose(found[real], expected[real], atol=1e-4)


def test_factors_fold_a_new_user_in_as_they_did_outside():
    sampler = ratings()
    means, _ = sampler.encoding.means(None, np.arange(30))
    of = factorised(TABLE, ROLES == TRAIN, means, size=3)
    support, query = tree.slice(sampler.episodes(0, 1), 0)
    at, rows = told(support)
    added = of.folded(at, support.y[rows, 0].double().numpy() - means[at])
    learner, params = FoldedIn(decay=of.decay), factors(of)
    asked = query.x["item"].numpy() - 1
    found = learner.predict(params, learner.adapt(params, support), query.x)[:, 0].numpy()
    real = query.mask.numpy()
    assert np.allclose(found[real], (means + added)[asked][real], atol=1e-4)
    unknown = learner.predict(params, learner.adapt(params, support), {k: v[:1] * 0 for k, v in query.x.items()})
    assert float(unknown) == pytest.approx(float(learner.adapt(params, support).of[-1]))  # the user's offset


def test_implicits_own_folding_in_gives_the_same_scores():
    pytest.importorskip("implicit", reason="its wheel is not on every platform")
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    sampler = taken()
    trained = alternating(sampler.table, sampler.roles == TRAIN, 0)
    assert trained is not None
    learner, params = trained
    support, query = tree.slice(sampler.episodes(0, 1), 0)
    at, _ = told(support)
    model = AlternatingLeastSquares(
        factors=params["items"].shape[1], regularization=learner.decay, alpha=ALPHA, num_threads=1
    )
    model.item_factors = params["items"][1:].numpy()
    row = csr_matrix((np.ones(len(at), np.float32), (np.zeros(len(at), int), at)), (1, 30))
    expected = model.item_factors @ model.recalculate_user(0, row)
    found = learner.predict(params, learner.adapt(params, support), query.x)[:, 0].numpy()
    assert np.allclose(found, expected, atol=1e-4)


def test_without_implicit_its_row_is_left_out_and_that_is_said(monkeypatch):
    said, sampler = [], taken()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert alternating(sampler.table, sampler.roles == TRAIN, 0, said.append) is None
    assert "pip install 'innerloop[als]'" in said[0]


def test_texts_are_a_ridge_regression_that_foresees_items_nobody_rated():
    sampler = ratings(table=replace(TABLE, item_texts=TEXTS))
    support, query = tree.slice(sampler.episodes(0, 1), 0)
    learner = TextRidge(decay=4.0, shrink=2.0)
    x = np.concatenate([support.x["texts"].numpy(), np.ones((8, 1))], 1)
    left = (support.y[:, 0] - support.x["mean"]).numpy()
    weights = np.linalg.solve(x.T @ x + np.diag([4.0] * 12 + [2.0]), x.T @ left)
    inputs = query.x | {"item": query.x["item"] * 0}  # as of items that nobody rated
    found = learner.predict({}, learner.adapt({}, support), inputs)[:, 0].numpy()
    basis = np.concatenate([query.x["texts"].numpy(), np.ones((len(found), 1))], 1)
    assert np.allclose(found, query.x["mean"].numpy() + basis @ weights, atol=1e-4)
