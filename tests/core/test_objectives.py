import torch
from torch.nn import functional as F

from innerloop.core import objectives


def test_classification_is_cross_entropy_of_the_rows_that_count():
    logits = torch.randn(6, 4, dtype=torch.float64)
    y = torch.tensor([0, 3, -1, 2, 1, 1])
    mask = torch.tensor([True, True, True, True, False, True])
    rows = [0, 1, 3, 5]
    assert torch.allclose(objectives.classification(logits, y, mask), F.cross_entropy(logits[rows], y[rows]))


def test_regression_is_mean_squared_error():
    outputs, y = torch.randn(2, 5, 3, dtype=torch.float64)
    assert torch.allclose(objectives.regression(outputs, y), F.mse_loss(outputs, y))
    mask = torch.arange(5) < 2
    assert torch.allclose(objectives.regression(outputs, y, mask), F.mse_loss(outputs[:2], y[:2]))


def test_nothing_counted_is_zero_not_nan():
    logits, y = torch.randn(3, 2, requires_grad=True), torch.full((3,), -1)
    loss = objectives.classification(logits, y)
    assert loss == 0
    assert torch.autograd.grad(loss, logits)[0].abs().sum() == 0


def test_unlabelled_rows_are_no_members_under_vmap_either():
    y = torch.tensor([[0, -1, 2], [1, 1, -1]])
    found = torch.vmap(lambda y: objectives.membership(y, 3))(y)
    assert found.tolist() == [[[1, 0, 0], [0, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0], [0, 0, 0]]]


def test_normalize_has_finite_second_derivatives_at_zero():
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    first = torch.autograd.grad(objectives.normalize(x).sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(first.sum(), x)[0].isfinite().all()
    assert torch.allclose(objectives.normalize(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))
