"""Baydin et al. 2018 on scikit-learn's digits, against thresholds measured on two cores (row H1 of the checks)."""

import pytest
import torch
from torch import nn

from innerloop.core.interval import interval
from innerloop.optim.hypergradient import HypergradientAdam, HypergradientSGD
from tests.field.margins import holds

pytestmark = pytest.mark.slow


def final_loss(make, seed):
    """Training loss of an MLP 64-64-10 after 20 epochs of batches of 64, with its interval over examples."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, loss = make(net.parameters()), nn.functional.cross_entropy
    for _ in range(20):
        for rows in torch.randperm(len(y), generator=generator).split(64):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return interval(loss(net(x), y, reduction="none"))


def test_it_repairs_a_rate_that_is_too_small(seed):
    for name, make in (
        ("SGD", lambda p: torch.optim.SGD(p, lr=1e-3)),
        ("Adam", lambda p: torch.optim.Adam(p, lr=1e-5)),
    ):
        holds(f"{name} at a rate that is too small", *final_loss(make, seed), least=2.0)
    for name, make in (
        ("SGD-HD", lambda p: HypergradientSGD(p, lr=1e-3, hyper_lr=1e-2)),
        ("Adam-HD", lambda p: HypergradientAdam(p, lr=1e-5, hyper_lr=1e-6)),
    ):
        holds(f"{name} from a rate that is too small", *final_loss(make, seed), most=0.40)
