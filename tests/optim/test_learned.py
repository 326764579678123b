"""A learned optimizer in an ordinary loop, whose oracle is the learner's own descent."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.optimizers.l2o import L2O
from innerloop.nn.mlp import MLP
from innerloop.optim.learned import SHIPPED, LearnedOptimizer, shipped
from innerloop.tasks import Sinusoid
from innerloop.tasks.functions import Functions, quadratic

LEARNER = L2O(value=quadratic, hidden=5, preprocessing="log_sign")


def optimizer(params, learner=LEARNER, **options):
    return LearnedOptimizer(params, learner=learner, weights=learner.init(0), **options)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4, 3))


def trained(net, optimize, steps):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(8, 1, 4, 4, generator=generator), torch.arange(8) % 3
    for _ in range(steps):
        optimize.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimize.step()
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.parametrize(
    "options",
    [{}, {"preprocessing": "log_sign"}, {"preprocessing": "moments", "normalised": True}],
    ids=["scale", "log_sign", "normalised"],
)
def test_its_steps_are_those_of_the_learner(options):
    learner = L2O(value=quadratic, inner_steps=6, **options)
    params = learner.init(3)
    support = tree.slice(Functions().episodes(2, 1), 0).support
    theta = nn.Parameter(support.x["start.theta"].clone())
    optimize = LearnedOptimizer([theta], learner=learner, weights=params)
    for _ in range(6):
        optimize.zero_grad()
        quadratic({"theta": theta}, support.x, support.key).backward()
        optimize.step()
    expected = learner.adapt(params, support).weights["theta"]
    assert not torch.allclose(theta, support.x["start.theta"])
    assert torch.allclose(theta, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.exact
def test_state_dict_goes_on_where_it_was(tmp_path):
    net = network()
    whole = trained(net, optimizer(net.parameters()), 6)
    net = network()
    first = optimizer(net.parameters())
    trained(net, first, 3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = optimizer(net.parameters())
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(trained(net, second, 3), whole, strict=True))


def test_groups_have_their_own_factor_and_what_has_no_gradient_stays():
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    frozen, moved = net[0].parameters(), net[2].parameters()
    trained(net, optimizer([{"params": frozen, "lr": 0.0}, {"params": moved}]), 2)
    changed = [not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
    assert changed == [False, False, True, True]
    unused = nn.Parameter(torch.ones(2))
    optimize = optimizer([unused])
    optimize.step()
    assert torch.equal(unused, torch.ones(2)) and not optimize.state[unused]


def test_a_closure_gives_its_loss_and_half_precision_is_kept():
    theta = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimize = optimizer([theta])

    def closure():
        optimize.zero_grad()
        loss = theta.square().sum()
        loss.backward()
        return loss

    assert optimize.step(closure).item() == 3.0
    assert theta.dtype == torch.bfloat16 and not torch.equal(theta, torch.ones(3, dtype=torch.bfloat16))
    optimize.load_state_dict(optimize.state_dict())
    optimize.step(closure)


@pytest.mark.exact
def test_from_a_run_folder(tmp_path):
    config = TrainConfig(steps=1, meta_batch_size=2, plan="loop")
    learner = L2O(value=quadratic, inner_steps=2, hidden=3)
    params = meta_train(learner, Functions(), config, out=tmp_path / "l2o")
    net, same = network(), network()
    made = LearnedOptimizer.load(tmp_path / "l2o")(net.parameters(), lr=0.5)
    expected = trained(same, LearnedOptimizer(same.parameters(), learner=learner, weights=params, lr=0.5), 3)
    assert all(torch.equal(a, b) for a, b in zip(trained(net, made, 3), expected, strict=True))


def test_what_cannot_be(tmp_path):
    with pytest.raises(InputError, match="lr must be"):
        optimizer([nn.Parameter(torch.ones(1))], lr=-1.0)
    learner = L2O(value=quadratic, inner_steps=2, hidden=3)
    leaf, weights = nn.Parameter(torch.ones(1)), learner.init(0)
    for wrong in ("1", None, float("nan"), True):
        with pytest.raises(InputError, match="LearnedOptimizer: lr must be a rate"):
            LearnedOptimizer([leaf], learner=learner, weights=weights, lr=wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="is an L2O that was trained on functions"):
        LearnedOptimizer([leaf], learner=MAML(model=MLP(), objective=regression), weights=weights)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="missing among the parameters"):
        LearnedOptimizer([leaf], learner=learner, weights={})
    with pytest.raises(InputError, match=r"lstm|output"):
        LearnedOptimizer([leaf], learner=L2O(value=quadratic, inner_steps=2, hidden=4), weights=weights)
    sparse = nn.Embedding(3, 2, sparse=True)
    sparse(torch.tensor([0])).sum().backward()
    with pytest.raises(InputError, match="sparse"):
        optimizer(sparse.parameters()).step()
    with pytest.raises(InputError, match=r"none|folder|run"):
        LearnedOptimizer.load(tmp_path / "none")
    config = TrainConfig(steps=1, meta_batch_size=1, plan="loop")
    learners = {
        "maml": MAML(model=MLP(), objective=regression),
        "own": L2O(model=MLP(), inner_steps=1, objective=regression),
    }
    for name, learner in learners.items():
        meta_train(learner, Sinusoid(shots=2, queries=2), config, out=tmp_path / name)
        with pytest.raises(InputError, match=r"train l2o|family"):
            LearnedOptimizer.load(tmp_path / name)


@pytest.mark.parametrize("name", ["l2o-mlp"])
def test_what_comes_with_the_package_trains_a_network(name):
    assert name in shipped() and (SHIPPED / name / "card.md").exists()
    assert sum(f.stat().st_size for f in (SHIPPED / name).iterdir()) < 1_000_000
    net = network()
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(8, 1, 4, 4, generator=generator), torch.arange(8) % 3
    before = F.cross_entropy(net(x), y).item()
    trained(net, LearnedOptimizer.load(name)(net.parameters()), 50)
    assert F.cross_entropy(net(x), y).item() < 0.5 * before
