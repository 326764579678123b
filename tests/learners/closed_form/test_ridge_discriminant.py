import numpy as np
import pytest
import torch
from sklearn.covariance import empirical_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from innerloop.core.dry_run import support as labelled
from innerloop.core.types import joined
from innerloop.learners.closed_form.ridge_discriminant import RidgeDiscriminant, left_out
from tests.conformance import Conformance


class TestRidgeDiscriminant(Conformance):
    learner = RidgeDiscriminant()
    gain = 0.0


def _rows(ways=7, shots=6, d=40, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(ways).repeat_interleave(shots)
    return torch.randn(ways, d, generator=g)[y] + 2 * torch.randn(len(y), d, generator=g), y


class _Ridge:
    """A covariance with the ridge added, as scikit-learn asks for one."""

    def __init__(self, decay: float, count: int):
        self.decay, self.count = decay, count

    def fit(self, x):
        self.covariance_ = empirical_covariance(x) + self.decay / self.count * np.eye(x.shape[1])
        return self


def test_it_is_scikit_learns():
    x, y = _rows()
    unit = torch.nn.functional.normalize(x).double().numpy()
    oracle = LinearDiscriminantAnalysis(
        solver="lsqr", priors=np.full(7, 1 / 7), covariance_estimator=_Ridge(0.3, len(y))
    ).fit(unit, y.numpy())
    learner = RidgeDiscriminant(decay=0.3)
    logits = learner.predict({}, learner.adapt({}, labelled(x.double(), y, 7)), x.double())
    expected = oracle.decision_function(unit) * (len(y) - 7 + 1) / len(y)  # it divides by n
    gaps = [values - values.mean(1, keepdims=True) for values in (logits.numpy(), expected)]
    np.testing.assert_allclose(*gaps, atol=1e-3 * np.abs(gaps[1]).max())


def test_single_examples_are_nearest_centroids():
    x, y = _rows(shots=1)
    learner = RidgeDiscriminant()
    logits = learner.predict({}, learner.adapt({}, labelled(x, y, 7)), x + torch.randn_like(x))
    assert (
        logits.isfinite().all() and (learner.predict({}, learner.adapt({}, labelled(x, y, 7)), x).argmax(1) == y).all()
    )


def test_examples_one_by_one_in_any_order_are_examples_at_once_to_the_bit():
    x, y = _rows()
    learner = RidgeDiscriminant()
    expected = learner.adapt({}, labelled(x, y, 7))
    for seed in range(3):
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        parts = [labelled(x[i : i + 1], y[i : i + 1], 7) for i in order.tolist()]
        adapted = learner.adapt({}, parts[0])
        for part in parts[1:]:
            adapted = learner.update({}, adapted, part)
        assert all(torch.equal(a, b) for a, b in zip(adapted, expected, strict=True))
    first, more = (labelled(x[s], y[s], 7) for s in (y < 4, y >= 4))
    adapted = learner.update({}, learner.adapt({}, first), more)
    assert all(torch.equal(a, b) for a, b in zip(adapted, learner.adapt({}, joined(first, more)), strict=True))


@pytest.mark.parametrize("weighted", [False, True])
def test_an_example_left_out_is_answered_as_by_a_model_of_the_others(weighted):
    for d in (12, 60):  # fewer and more than there are rows
        x, y = _rows(d=d)
        weight = torch.linspace(0.2, 3, len(y), dtype=torch.float64) if weighted else torch.ones(len(y)).double()
        y = torch.where(y == 6, 5, y)  # of different sizes
        decays = (0.1, 2.0)
        for decay, found in zip(decays, left_out(x, y, 6, decays, weight if weighted else None), strict=True):
            learner = RidgeDiscriminant(decay=decay)
            for i in range(0, len(y), 5):
                kept = torch.arange(len(y)) != i
                adapted = learner.adapt({}, labelled(x[kept].double(), y[kept], 6, weight[kept]))
                logits = learner.predict({}, adapted, x[i : i + 1].double())[0] / (weight[kept].sum() - 6 + 1)
                expected = logits - logits.mean()
                assert torch.allclose(found[i] - found[i].mean(), expected, atol=1e-3 * float(expected.abs().max()))
