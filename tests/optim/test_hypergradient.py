import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.optim.hypergradient import HypergradientAdam, HypergradientSGD

MAKERS = {
    "sgd": lambda params, **given: HypergradientSGD(params, **{"lr": 0.02, "hyper_lr": 1e-3, **given}),
    "nesterov": lambda params, **given: HypergradientSGD(
        params, **{"lr": 0.02, "hyper_lr": 1e-3, "momentum": 0.9, **given}
    ),
    "adam": lambda params, **given: HypergradientAdam(params, **{"lr": 0.02, "hyper_lr": 1e-3, **given}),
}


def transcription(kind, w, gradient, steps, lr, hyper_lr):
    """Algorithms 4, 5 and 6 of the paper in NumPy: the rate first, with the direction of the step before."""
    slope, v, m, s, lrs = np.zeros_like(w), 0.0, 0.0, 0.0, []
    for t in range(1, steps + 1):
        g = gradient(w)
        lr = lr - hyper_lr * (g @ slope)
        if kind == "sgd":
            u = g
        elif kind == "nesterov":
            v = 0.9 * v + g
            u = g + 0.9 * v
        else:
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
            u = (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        slope = -u
        w = w - lr * u
        lrs.append(lr)
    return w, lrs


def problem():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=6)
    return a, b, rng.normal(size=4)


def train(optimizer, leaves, a, b, steps):
    lrs = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = 0.5 * (torch.from_numpy(a) @ torch.cat([p.flatten() for p in leaves]) - torch.from_numpy(b)).square()
        loss.sum().backward()
        optimizer.step()
        lrs.append([group["lr"] for group in optimizer.param_groups])
    return lrs


@pytest.mark.parametrize("kind", MAKERS)
def test_it_is_the_papers_algorithm(kind):
    """Split over tensors of different shapes and groups: one dot product over all of them."""
    a, b, start = problem()
    expected, lrs = transcription(kind, start, lambda w: a.T @ (a @ w - b), 20, 0.01, 1e-5)
    leaves = [torch.tensor(start[:1]).requires_grad_(), torch.tensor(start[1:, None]).requires_grad_()]
    groups = [{"params": leaves[:1]}, {"params": leaves[1:]}]
    found = train(MAKERS[kind](groups, lr=0.01, hyper_lr=1e-5), leaves, a, b, 20)
    assert torch.cat([p.detach().flatten() for p in leaves]).numpy() == pytest.approx(expected, rel=1e-9)
    assert found == [pytest.approx([lr, lr], rel=1e-9) for lr in lrs]


@pytest.mark.parametrize("kind", MAKERS)
def test_without_a_hyper_rate_it_is_torchs_optimizer(kind):
    a, b, start = problem()
    found, expected = (torch.tensor(start).requires_grad_() for _ in range(2))
    train(MAKERS[kind]([found], hyper_lr=0.0, weight_decay=0.1), [found], a, b, 10)
    usual = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.02, weight_decay=0.1),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1),
        "adam": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.1),
    }
    train(usual[kind]([expected]), [expected], a, b, 10)
    assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_rate_moves_by_the_derivative_of_the_loss(kind):
    """`lr_3 - lr_2 = -hyper_lr * d f(w_2) / d lr_2`, the derivative by finite differences of the last step's rate."""
    a, b, start = problem()

    def loss_after_two(change):
        leaf = torch.tensor(start).requires_grad_()
        optimizer = MAKERS[kind]([leaf], hyper_lr=0.0)
        train(optimizer, [leaf], a, b, 1)
        optimizer.param_groups[0]["lr"] += change
        train(optimizer, [leaf], a, b, 1)
        return 0.5 * np.square(a @ leaf.detach().numpy() - b).sum()

    slope = (loss_after_two(1e-6) - loss_after_two(-1e-6)) / 2e-6
    leaf = torch.tensor(start).requires_grad_()
    optimizer = MAKERS[kind]([leaf], hyper_lr=0.0)
    train(optimizer, [leaf], a, b, 2)
    optimizer.param_groups[0]["hyper_lr"] = 1e-3
    (lr,) = train(optimizer, [leaf], a, b, 1)[0]
    assert (lr - 0.02) / -1e-3 == pytest.approx(slope, rel=1e-6)


def test_groups_may_learn_apart():
    a, b, start = problem()
    leaves = [torch.tensor(start[:2]).requires_grad_(), torch.tensor(start[2:]).requires_grad_()]
    groups = [{"params": leaves[:1]}, {"params": leaves[1:], "lr": 0.01}]
    lrs = train(MAKERS["sgd"](groups, per_group=True), leaves, a, b, 2)[-1]
    w, g = start, a.T @ (a @ start - b)
    after = a.T @ (a @ (w - np.array([0.02, 0.02, 0.01, 0.01]) * g) - b)
    assert lrs == pytest.approx([0.02 + 1e-3 * after[:2] @ g[:2], 0.01 + 1e-3 * after[2:] @ g[2:]])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.exact
def test_saved_and_restored_it_goes_on(kind, tmp_path):
    a, b, start = problem()
    leaf = torch.tensor(start).requires_grad_()
    optimizer = MAKERS[kind]([leaf])
    train(optimizer, [leaf], a, b, 5)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    again = leaf.detach().clone().requires_grad_()
    resumed = MAKERS[kind]([again])
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert train(resumed, [again], a, b, 5) == train(optimizer, [leaf], a, b, 5)
    assert torch.equal(again, leaf)


def test_it_trains_a_module_by_a_closure():
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    unused = nn.Parameter(torch.ones(2))
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    optimizer = HypergradientSGD([*net.parameters(), unused], lr=1e-3, hyper_lr=1e-3)

    def closure():
        optimizer.zero_grad()
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]
    assert any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(unused, torch.ones(2))


def test_a_parameter_that_rested_says_nothing_about_the_rate():
    leaf = torch.ones(2, requires_grad=True)
    optimizer = HypergradientSGD([leaf], lr=0.1, hyper_lr=1.0)
    for grad in (torch.ones(2), None, torch.ones(2)):
        leaf.grad = grad
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_it_says_what_it_cannot_take():
    sparse = nn.Embedding(4, 2, sparse=True)
    sparse(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="sparse"):
        HypergradientSGD(sparse.parameters()).step()
    wave = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    wave.abs().sum().backward()
    with pytest.raises(InputError, match="complex"):
        HypergradientAdam([wave]).step()
    leaf = [torch.ones(1, requires_grad=True)]
    for name, wrong in (("lr", -1.0), ("hyper_lr", float("nan")), ("momentum", 1.0), ("weight_decay", -0.1)):
        with pytest.raises(InputError, match=name):
            MAKERS["sgd"](leaf, **{name: wrong})
    with pytest.raises(InputError, match="betas"):
        HypergradientAdam(leaf, betas=(0.9, 1.0))


WRONG = {
    "lr": [-1.0, "0.1", True, None, float("inf"), torch.ones(2), 1j],
    "hyper_lr": [float("nan"), -1e-9, [0.1]],
    "momentum": [1.0, -0.1, "none", None],
    "weight_decay": [-0.1, float("inf"), "0"],
    "betas": [(0.9, 1.0), (0.9,), 0.9, (0.9, 0.99, 0.999), ("a", "b"), None],
    "eps": [-1e-8, "tiny"],
    "per_group": [1, "yes", None],
}


@pytest.mark.parametrize("cls", [HypergradientSGD, HypergradientAdam])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_option_that_makes_no_sense_is_one_message(cls, name, value):
    if name not in (*cls.options, "per_group"):
        return
    leaf = torch.ones(1, requires_grad=True)
    message = rf"^{cls.__name__}: {name} must be "
    with pytest.raises(InputError, match=message):
        cls([leaf], **{name: value})
    if name == "per_group":
        return
    with pytest.raises(InputError, match=message):
        cls([{"params": [leaf], name: value}])
    optimizer = cls([leaf])
    with pytest.raises(InputError, match=message):
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], name: value})
    assert len(optimizer.param_groups) == 1


def test_numbers_of_other_packages_are_numbers():
    leaf, rate = torch.ones(1, requires_grad=True), torch.tensor(0.5)
    options: dict[str, Any] = {"lr": rate, "hyper_lr": np.float32(0.25), "betas": [0.5, np.float64(0.75)]}
    (group,) = HypergradientAdam([leaf], **options).param_groups
    assert (group["lr"], group["hyper_lr"], group["betas"]) == (0.5, 0.25, (0.5, 0.75))
    assert type(group["lr"]) is type(group["hyper_lr"]) is float
    (group,) = HypergradientSGD([{"params": [leaf], "lr": rate}], lr=0).param_groups
    leaf.grad = torch.ones(1)
    assert group["lr"] == 0.5 and rate == 0.5
