from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.linalg import with_ones
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.closed_form.logistic import LRD2
from tests.conformance import TransductiveConformance
from tests.problems import NeedlesInNoise, encoder


class TestLRD2(TransductiveConformance):
    learner = LRD2(encoder=Module(encoder), inner_steps=3)


@torch.no_grad()
@pytest.mark.parametrize("n", [5, 30], ids=["dual", "primal"])
@pytest.mark.parametrize("decay", [0.1, 1.0, 10.0])
def test_converged_it_is_scikit_learns(n, decay):
    generator = torch.Generator().manual_seed(n)
    x = 2 * torch.randn(n, 7, generator=generator, dtype=torch.float64)
    y = torch.arange(n) % 3
    learner = LRD2(encoder=Module(torch.nn.Flatten), decay=decay, inner_steps=20)
    adapted = learner.adapt({}, Batch(x, y, classes=torch.ones(3, dtype=torch.bool)))
    for k in range(3):
        oracle = LogisticRegression(C=1 / decay, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
        oracle.fit(with_ones(x).numpy(), (y == k).numpy())
        assert np.allclose(adapted.weight[k].numpy(), oracle.coef_[0], rtol=0, atol=1e-8)


def loss_of_one(x, hot, w):
    return binary_cross_entropy_with_logits(x @ w, hot, reduction="sum") + 0.35 * w.square().sum()


@torch.no_grad()
def test_its_steps_are_newtons():
    """`w - H^-1 g`, written out with the gradient and the Hessian of the loss itself."""
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    learner = LRD2(encoder=Module(torch.nn.Flatten), decay=0.7)
    x, carry = with_ones(support.x), learner.start({}, support)
    w = torch.zeros(9, 3, dtype=torch.float64)
    for _ in range(3):
        carry, _ = learner.advance({}, carry, support)
        for k in range(3):
            loss = partial(loss_of_one, x, (support.y == k).double())
            gradient, hessian = torch.func.grad(loss)(w[:, k]), torch.func.hessian(loss)(w[:, k])
            w[:, k] -= torch.linalg.solve(hessian, gradient)
        assert torch.allclose(carry.models.weight, w.T, atol=1e-9)


def test_saturated_examples_stay_finite():
    """Far apart and hardly regularised, curvature vanishes."""
    x = torch.tensor([[1e3, 0.0], [-1e3, 0.0], [1e3, 0.0]], requires_grad=True)
    learner = LRD2(encoder=Module(torch.nn.Flatten), decay=1e-4, inner_steps=30)
    support = Batch(x, torch.tensor([0, 1, 0]), classes=torch.ones(2, dtype=torch.bool))
    weight = learner.adapt({}, support).weight
    (gradient,) = torch.autograd.grad(weight.square().sum(), x)
    assert weight.isfinite().all() and gradient.isfinite().all()
    assert (learner.predict({}, learner.adapt({}, support), x).argmax(-1) == support.y).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="decay must be more than 0"):
        LRD2(encoder=Module(encoder), decay=-1.0)
