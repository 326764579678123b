import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.linalg import ridge, with_ones
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.nn.mlp import MLP
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import INPUTS, NeedlesInNoise, encoder


class TestR2D2(TransductiveConformance):
    learner = R2D2(encoder=Module(encoder), scale=3.0)


class TestR2D2Dual(Conformance):
    """More features than examples, and the decay learned."""

    learner = R2D2(encoder=MLP(INPUTS, (16,), 16, activation="tanh"), learn_decay=True)


def problem(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (n,), generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("n", [5, 30], ids=["dual", "primal"])
@pytest.mark.parametrize("decay", [0.01, 1.0, 50.0])
def test_it_is_scikit_learns_ridge(n, decay):
    x, y = problem(n, 7)
    learner = R2D2(encoder=Module(torch.nn.Flatten), decay=decay, scale=1.0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    adapted = learner.adapt(params, Batch(x, y, classes=torch.ones(3, dtype=torch.bool)))
    oracle = Ridge(alpha=decay, fit_intercept=False).fit(with_ones(x).numpy(), np.eye(3)[y.numpy()])
    assert np.allclose(adapted.weight.T.numpy(), oracle.coef_, atol=1e-9)
    assert np.allclose(learner.predict(params, adapted, x), oracle.predict(with_ones(x).numpy()), atol=1e-9)


def test_the_primal_and_the_dual_have_one_answer():
    for n, d in ((5, 9), (9, 5), (7, 7)):
        x, y = problem(n, d)
        hot = torch.eye(3, dtype=torch.float64)[y]
        zeros = torch.zeros(10, d, dtype=torch.float64)
        other = ridge(torch.cat([x, zeros]), torch.cat([hot, zeros[:, :3]]), 0.3)  # padded with rows: always primal
        assert torch.allclose(ridge(x, hot, 0.3), other, rtol=0, atol=1e-10)


def test_a_huge_decay_leaves_the_directions_of_class_sums():
    x, y = problem(12, 4)
    hot = torch.eye(3, dtype=torch.float64)[y]
    assert torch.allclose(1e9 * ridge(x, hot, 1e9), x.T @ hot, atol=1e-6)


@torch.no_grad()
def test_rows_that_do_not_count_leave_the_regression_as_it_is():
    x, y = problem(6, 4)
    learner = R2D2(encoder=Module(torch.nn.Flatten))
    params = {k: v.double() for k, v in learner.init(0).items()}
    classes = torch.ones(3, dtype=torch.bool)
    expected = learner.adapt(params, Batch(x[:4], y[:4], classes=classes)).weight
    unlabelled = Batch(x, torch.cat([y[:4], torch.tensor([-1, -1])]), classes=classes)
    masked = Batch(x, y, torch.arange(6) < 4, classes)
    for support in (unlabelled, masked):
        assert torch.allclose(learner.adapt(params, support).weight, expected, rtol=0, atol=1e-12)


def test_second_derivatives_are_exact():
    x, y = problem(4, 6)
    hot = torch.eye(3, dtype=torch.float64)[y]
    for rows in (x, x.T[:, :3]):
        target = hot[: len(rows)] if len(rows) <= 4 else torch.cat([hot, hot[:2]])
        assert torch.autograd.gradgradcheck(lambda v, t=target: ridge(v, t, 0.5), rows.clone().requires_grad_())


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
@pytest.mark.parametrize(("n", "d"), [(3, 8), (40, 8), (25, 640)], ids=["dual", "primal", "wide"])
@pytest.mark.parametrize("decay", [1e-6, 1e-3])
def test_equal_rows_have_a_finite_answer_in_single_precision(n, d, size, decay):
    x = torch.full((n, d), size, requires_grad=True)
    y = torch.eye(3)[torch.arange(n) % 3]
    weight = ridge(x, y, decay)
    assert torch.allclose(x @ weight, y.mean(0).expand(n, 3), atol=0.01)
    (gradient,) = torch.autograd.grad(weight.square().sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("n", "d"), [(5, 16), (60, 16), (25, 640)], ids=["dual", "primal", "wide"])
def test_rows_far_from_the_origin_keep_their_answer_in_single_precision(n, d):
    g = torch.Generator().manual_seed(n)
    y = torch.arange(n) % 5
    centres = torch.randn(5, d, generator=g)
    x, new = (100 + centres[rows] + 0.5 * torch.randn(len(rows), d, generator=g) for rows in (y, torch.arange(5)))
    hot = torch.eye(5)[y]
    expected = new.double() @ ridge(x.double(), hot.double(), 1.0)
    assert torch.allclose((new @ ridge(x, hot, 1.0)).double(), expected, rtol=0, atol=2e-3)


def test_two_equal_rows_of_two_classes_leave_the_others_alone():
    x, _ = problem(5, 9)
    x[1] = x[0]
    hot = torch.eye(5, dtype=torch.float64)
    expected = x @ ridge(x, hot, 1e-3)
    found = x.float() @ ridge(x.float(), hot.float(), 1e-3)
    assert torch.allclose(found.double(), expected, rtol=0, atol=1e-4)


def test_the_decay_is_learned_where_that_is_asked_for():
    episode = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    learner = TestR2D2Dual.learner
    params = {k: v.double().requires_grad_() for k, v in learner.init(0).items()}
    (slope,) = torch.autograd.grad(learner.loss(params, episode)[0], params["log_decay"])
    assert slope != 0
    assert "log_decay" not in TestR2D2.learner.init(0)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="decay must be more than 0"):
        R2D2(encoder=Module(encoder), decay=0.0)
