import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.learners.baselines.self_supervised import SelfSupervised, nt_xent
from innerloop.nn.mlp import MLP
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder


class TestSelfSupervised(TransductiveConformance):
    """Here with the labels of the toy problem: views of one picture are what it is given as such."""

    learner = SelfSupervised(encoder=Module(encoder), projection=MLP(FEATURES, (6,), 4, activation="tanh"))


class TestSelfSupervisedEuclidean(TransductiveConformance):
    learner = SelfSupervised(encoder=Module(encoder), distance="euclidean")


def slowly(views: np.ndarray, y: np.ndarray, temperature: float) -> float:
    """Equation 1 of SimCLR for every ordered pair of two views, and its mean."""
    unit = views / np.linalg.norm(views, axis=1, keepdims=True)
    losses = []
    for i in range(len(y)):
        (j,) = (j for j in range(len(y)) if j != i and y[j] == y[i])
        total = sum(np.exp(unit[i] @ unit[k] / temperature) for k in range(len(y)) if k != i)
        losses.append(-np.log(np.exp(unit[i] @ unit[j] / temperature) / total))
    return float(np.mean(losses))


def test_it_is_simclrs_loss():
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    y = torch.cat([torch.arange(6), torch.randperm(6, generator=generator)])
    for temperature in (0.1, 0.5, 1.0):
        found, score = nt_xent(views, y, None, temperature)
        nearest = torch.nn.functional.normalize(views, dim=1) @ torch.nn.functional.normalize(views, dim=1).T
        assert score == (y[nearest.fill_diagonal_(-2).argmax(1)] == y).double().mean()
        assert found.item() == pytest.approx(slowly(views.numpy(), y.numpy(), temperature), rel=1e-9)
    hidden = torch.cat([y, torch.tensor([-1, 3])])
    more = torch.cat([views, torch.ones(2, 5, dtype=torch.float64)])
    mask = torch.arange(14) != 13
    assert torch.allclose(nt_xent(more, hidden, mask, 0.5)[0], nt_xent(views, y, None, 0.5)[0]), (
        "rows that do not count"
    )


def test_views_are_matched_by_label_whatever_their_order():
    learner = TestSelfSupervised.learner
    params = {k: v.double() for k, v in learner.init(0).items()}
    x = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y, classes = torch.arange(7), torch.ones(7, dtype=torch.bool)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    support, query = Batch(x[0], y, classes=classes), Batch(x[1], y, classes=classes)
    shuffled = query._replace(x=x[1, order], y=y[order])
    losses = [learner.loss(params, Episode(support, batch))[0] for batch in (query, shuffled)]
    assert torch.allclose(losses[0], losses[1])
    wrong = query._replace(x=x[1, order])
    assert not torch.allclose(learner.loss(params, Episode(support, wrong))[0], losses[0])


def test_labels_of_single_pictures_leave_nothing_to_learn_and_nothing_broken():
    views = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    loss = nt_xent(views, torch.arange(3), None, 0.5)[0]
    (gradient,) = torch.autograd.grad(loss, views)
    assert loss.item() == 0 and (gradient == 0).all()


def test_it_is_scikit_learns_nearest_centroid():
    learner = TestSelfSupervisedEuclidean.learner
    assert isinstance(learner, SelfSupervised)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    adapted = learner.adapt(params, support)
    f, g = (learner.encoder.apply(adapted.encoder, b.x).numpy() for b in (support, query))
    oracle = NearestCentroid().fit(f, support.y.numpy()).predict(g)
    assert (learner.predict(params, adapted, query.x).argmax(-1).numpy() == oracle).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="temperature must be more than 0"):
        SelfSupervised(encoder=Module(encoder), temperature=0.0)
    with pytest.raises(InputError, match="there is no distance 'l1'"):
        SelfSupervised(encoder=Module(encoder), distance="l1")  # pyright: ignore[reportArgumentType]
