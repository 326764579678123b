from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Episode
from innerloop.learners.metric.siamese import Siamese
from innerloop.nn.mlp import Linear
from tests.compared import padding
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder


class TestSiamese(TransductiveConformance):
    learner = Siamese(encoder=Module(encoder), margin=1.0)


class TestSiameseCosine(TransductiveConformance):
    learner = Siamese(encoder=Module(encoder), distance="cosine")


class TestSiameseWeightedL1(TransductiveConformance):
    learner = Siamese(encoder=Module(encoder), distance="weighted_l1", comparison=Linear(inputs=FEATURES, outputs=1))


LEARNERS = [
    TestSiamese.learner,
    replace(TestSiamese.learner, margin=None),
    TestSiameseCosine.learner,
    TestSiameseWeightedL1.learner,
]
NAMES = ["euclidean", "default margin", "cosine", "weighted_l1"]


def slowly(learner: Siamese, params: Any, episode: Episode) -> tuple[float, np.ndarray]:
    """The loss, and [queries, ways] predictions, one pair after another."""
    support, query = episode
    adapted = learner.adapt(params, support)
    mine = learner.encoder.apply(adapted.encoder, query.x, query.mask).numpy()
    theirs = learner.encoder.apply(adapted.encoder, support.x, support.mask).numpy()
    losses: dict[bool, list[float]] = {True: [], False: []}
    alike: dict[tuple[int, int], list[float]] = {}
    for i, a in enumerate(mine):
        for j, b in enumerate(theirs):
            if support.y[j] < 0 or (support.mask is not None and not support.mask[j]):
                continue
            if learner.distance == "weighted_l1":
                weight, bias = (params[f"comparison.{k}"].numpy() for k in ("weight", "bias"))
                logit = float(weight[0] @ np.abs(a - b) + bias[0])
                similarity, close, apart = logit, float(np.log1p(np.exp(-logit))), float(np.log1p(np.exp(logit)))
            else:
                if learner.distance == "cosine":
                    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
                distance = float(np.linalg.norm(a - b))
                similarity = -distance
                margin = learner.margin or {"euclidean": 10.0, "cosine": 1.0}[learner.distance]
                close, apart = distance**2 / 2, max(0.0, margin - distance) ** 2 / 2
            alike.setdefault((i, int(support.y[j])), []).append(similarity)
            if query.y[i] >= 0 and (query.mask is None or query.mask[i]):
                same = bool(query.y[i] == support.y[j])
                losses[same].append(close if same else apart)
    ways = 3
    predictions = [[np.mean(alike.get((i, k), [-1e4])) for k in range(ways)] for i in range(len(mine))]
    return float(np.mean(losses[True]) + np.mean(losses[False])) / 2, np.array(predictions)


@pytest.mark.parametrize("learner", LEARNERS, ids=NAMES)
def test_it_is_the_mean_over_pairs(learner):
    params = {k: v.double() for k, v in learner.init(0).items()}
    for i in range(3):
        support, query = tree.slice(NeedlesInNoise().episodes(i, 1), 0)
        if i == 1:
            support, query = padding(support), padding(query)
        if i == 2:  # one label is hidden, one class has no example
            y = support.y.clone()
            y[0] = -1
            support = support._replace(y=y, mask=support.y != 2)
        loss, predictions = slowly(learner, params, Episode(support, query))
        assert learner.loss(params, Episode(support, query))[0].item() == pytest.approx(loss, rel=1e-4)
        found = learner.predict(params, learner.adapt(params, support), query.x)
        assert np.allclose(found.numpy(), predictions, atol=1e-3)


@pytest.mark.parametrize("learner", LEARNERS, ids=NAMES)
def test_pairs_are_as_alike_as_a_query_and_a_support_row(learner):
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise(shots=1, queries=1).episodes(0, 1), 0)
    adapted = learner.adapt(params, support)
    table = learner.predict(params, adapted, query.x)  # one shot: the mean is the only one
    for k in range(3):
        left = support.x[k : k + 1].expand_as(query.x)
        assert torch.allclose(learner.similarity(params, adapted, left, query.x), table[:, k])


@pytest.mark.parametrize("learner", LEARNERS, ids=NAMES)
def test_derivatives_are_finite_where_all_examples_are_equal(learner):
    params = {k: v.double().requires_grad_() for k, v in learner.init(0).items()}
    episode = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    episode = tree.map(lambda leaf: leaf[:1].expand_as(leaf) if leaf.is_floating_point() else leaf, episode)
    loss = learner.loss(params, episode)[0]
    first = torch.autograd.grad(loss, list(params.values()), create_graph=True, materialize_grads=True)
    slope = torch.stack([g.square().sum() for g in first]).sum()
    second = torch.autograd.grad(slope, list(params.values()), materialize_grads=True)
    assert loss.isfinite() and all(bool(g.isfinite().all()) for g in (*first, *second))


def test_both_halves_count_the_same_however_many_pairs_there_are():
    """A repeated support class adds pairs of one class only, whose mean stays."""
    learner = replace(TestSiamese.learner, transductive=True)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    twice = support._replace(x=torch.cat([support.x, support.x]), y=torch.cat([support.y, support.y]))
    loss = learner.loss(params, Episode(support, query))[0]
    assert torch.allclose(learner.loss(params, Episode(twice, query))[0], loss)


def test_what_cannot_be_is_refused():
    make: dict[str, Any] = {"encoder": Module(encoder)}
    with pytest.raises(InputError, match="there is no distance 'manhattan'"):
        Siamese(**make, distance="manhattan")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="at most 2"):
        Siamese(**make, distance="cosine", margin=2.5)
    with pytest.raises(InputError, match="margin must be more than 0"):
        Siamese(**make, margin=0.0)
    with pytest.raises(InputError, match="needs the network `comparison`"):
        Siamese(**make, distance="weighted_l1")
