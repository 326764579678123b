"""Clones, and what is refused."""

import copy
import importlib
import json
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import innerloop
import innerloop.compat.learn2learn as l2l
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, load, meta_gradient, meta_train, plan
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

# What tests hand over, and look into, types would not allow.
MAML: Any = l2l.algorithms.MAML
MetaSGD: Any = l2l.algorithms.MetaSGD
clone_module: Any = l2l.clone_module


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def rows(seed: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(6, 2, generator=draw, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])


def error(model: nn.Module, seed: int = 1) -> Tensor:
    x, y = rows(seed)
    return nn.functional.cross_entropy(model(x), y)


class Counting(nn.Module):
    """Changes one buffer in place, and assigns another anew, whenever it is called."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3).double()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        self.last = x.mean(0).detach()
        return self.linear(x)


class Partial(nn.Module):
    """Has a layer that its output does not depend on."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(2, 3).double(), nn.Linear(2, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Tied(nn.Module):
    """Uses one weight twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
        self.second.weight = self.first.weight
        self.input = nn.Linear(2, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.input(x)).tanh())


class Bound(nn.Module):
    """Keeps a method of its own as an attribute."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3).double()
        self.head = self.outputs

    def outputs(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("kind", [network, Tied, Bound, Counting], ids=lambda kind: kind.__name__)
def test_a_meta_gradient_is_that_of_steps_written_out(kind, first_order):
    model = kind()
    learner = MAML(model, 0.3, first_order)
    task = learner.clone()
    for _ in range(2):
        task.adapt(error(task))
    error(task, seed=2).backward()
    weights = dict(model.named_parameters())

    def loss(fast: dict[str, Tensor], seed: int) -> Tensor:
        x, y = rows(seed)
        return nn.functional.cross_entropy(torch.func.functional_call(copy.deepcopy(model), fast, x), y)

    fast: dict[str, Tensor] = dict(weights)
    for _ in range(2):
        slopes = torch.autograd.grad(loss(fast, 1), list(fast.values()), create_graph=not first_order)
        fast = {k: v - 0.3 * g for (k, v), g in zip(fast.items(), slopes, strict=True)}
    if isinstance(model, Tied):
        assert "second.weight" not in weights and task.module.second.weight is task.module.first.weight
    expected = torch.autograd.grad(loss(fast, 2), list(weights.values()))
    for p, g in zip(weights.values(), expected, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad, g, rtol=1e-12, atol=1e-14)


def test_clones_of_clones_reach_the_first_one():
    learner = MAML(network(), 0.1)
    one = learner.clone()
    one.adapt(error(one))
    other = one.clone()
    other.adapt(error(other, seed=2))
    straight = learner.clone()
    straight.adapt(error(straight))
    straight.adapt(error(straight, seed=2))
    results = [torch.autograd.grad(error(task, seed=3), list(learner.parameters())) for task in (other, straight)]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    with pytest.raises(InputError, match="depends on no parameter of this clone"):
        other.adapt(error(one))


def test_a_part_of_a_clone_is_adapted_too():
    learner = MAML(network(), 0.5)
    task = learner.clone()
    task.adapt(error(task))
    x, _ = rows()
    assert torch.equal(task.module[2](task.module[1](task.module[0](x))), task(x))
    assert not torch.equal(task(x), learner(x))
    assert MAML(Partial(), 0.5).used.in_features == 2 and not hasattr(task, "nothing")


def test_a_recurrent_network_computes_with_adapted_weights():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(2, 4, batch_first=True).double(), nn.Linear(4, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.gru(x[:, None].repeat(1, 3, 1))[0][:, -1])

    task = MAML(Last(), 0.5, first_order=True).clone()
    before = error(task)
    for _ in range(5):
        task.adapt(error(task))
    assert error(task) < before
    weights = task.module.gru._flat_weights
    assert all(a is b for a, b in zip(weights, task.module.gru.parameters(), strict=True))


def test_buffers_changed_in_place_are_shared_and_those_assigned_are_not():
    learner = MAML(Counting(), 0.1)
    task = learner.clone()
    task.adapt(error(task))
    error(task, seed=2)
    assert learner.module.seen == task.module.seen == 2
    assert not learner.module.last.any() and torch.equal(task.module.last, rows(2)[0].mean(0))


def test_parameters_that_a_loss_leaves_out():
    model = Partial()
    strict, lenient = (MAML(model, 0.1, allow_unused=allowed).clone() for allowed in (None, True))
    with pytest.raises(InputError, match=r"does not depend on idle.weight, idle.bias: allow_unused=True"):
        strict.adapt(error(strict))
    strict.adapt(error(strict), allow_unused=True)
    lenient.adapt(error(lenient))
    assert torch.equal(lenient.module.idle.weight, model.idle.weight)
    assert torch.equal(lenient.module.used.weight, strict.module.used.weight)
    assert not torch.equal(lenient.module.used.weight, model.used.weight)


def test_meta_sgd_adapts_everything_or_says_so():
    model = Partial()
    task = MetaSGD(model, 0.1).clone()
    with pytest.raises(InputError, match=r"does not depend on idle.weight, idle.bias: Meta-SGD adapts all parameters"):
        task.adapt(error(task))
    l2l.nn.freeze(model.idle)
    task = MetaSGD(model, 0.1).clone()
    with pytest.raises(InputError, match=r"idle.bias have requires_grad=False: Meta-SGD adapts all parameters"):
        task.adapt(error(task))


def test_parameters_that_need_no_gradient():
    model = Partial()
    l2l.nn.freeze(model.idle)
    task = MAML(model, 0.1).clone()
    with pytest.raises(InputError, match=r"idle.weight, idle.bias have requires_grad=False: allow_nograd=True"):
        task.adapt(error(task))
    task = task.clone(allow_nograd=True, allow_unused=False)
    task.adapt(error(task))
    assert torch.equal(task.module.idle.weight, model.idle.weight)
    assert not torch.equal(task.module.used.weight, model.used.weight)
    assert MAML(model, 0.1, allow_nograd=True).allow_unused
    assert all(p.requires_grad for p in l2l.nn.unfreeze(model).parameters())


def test_losses_that_cannot_be_stepped_down():
    learner = MAML(network(), 0.1, allow_unused=True)
    task = learner.clone()
    stale = error(task)
    with pytest.raises(InputError, match="depends on no parameter of this clone"):
        task.adapt(error(learner))
    with pytest.raises(InputError, match="depends on no parameter of this clone"), torch.no_grad():
        task.adapt(error(task))
    with pytest.raises(InputError, match=r"one number, got shape \[6, 3\]: take its mean"):
        task.adapt(task(rows()[0]))
    with pytest.raises(InputError, match="one number, got float"):
        task.adapt(1.0)
    task.adapt(error(task))
    with pytest.raises(InputError, match="after the last adapt"):
        task.adapt(stale)


def test_arguments_and_names_that_are_not_there():
    with pytest.raises(
        InputError, match=r"MAML of .* takes model, lr, first_order, allow_unused, allow_nograd: .*'tra"
    ):
        MAML(network(), lr=0.1, transform=None)
    with pytest.raises(InputError, match=r"takes model, lr, first_order, allow_unused, allow_nograd: missing"):
        MAML(network())
    with pytest.raises(InputError, match=r"MetaSGD of .* takes model, lr, first_order, lrs"):
        MetaSGD(network(), allow_unused=True)
    with pytest.raises(InputError, match=r"MAML.adapt of .* takes loss, first_order"):
        MAML(network(), 0.1).adapt(torch.zeros(()), lr=0.1)
    with pytest.raises(InputError, match=r"has .*MAML.* and no GBML of learn2learn: innerloop.LearnedRates"):
        _ = l2l.algorithms.GBML
    with pytest.raises(InputError, match=r"innerloop.MAML with innerloop.meta_train"):
        exec("from innerloop.compat.learn2learn.algorithms import LightningMAML")
    for package in (l2l, l2l.data, l2l.nn, l2l.vision, l2l.vision.models, l2l.vision.benchmarks):
        assert not hasattr(package, "nothing")
    with pytest.raises(InputError, match=r"docs/guide/agents\.md"):
        _ = l2l.gym
    for module, instead in {"gym.async_vec_env": "maml_rl", "optim": "MetaSGD", "vision.datasets": "omniglot"}.items():
        with pytest.raises(ImportError, match=f"learn2learn.* is not there: .*{instead}"):
            importlib.import_module(f"innerloop.compat.learn2learn.{module}")
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module("innerloop.compat.learn2learn.nothing")
    with pytest.raises(TypeError, match="unsupported operand"):  # an error of the program's own stays what it is
        MetaSGD(network(), lr=None)


def test_what_is_no_module_and_rates_of_other_shapes():
    with pytest.raises(InputError, match=r"MAML wraps an nn\.Module, got function"):
        MAML(lambda x: x, 0.1)
    with pytest.raises(InputError, match=r"MetaSGD wraps an nn.Module, from its build\(\), got MLP"):
        MetaSGD(MLP(), 0.1)
    with pytest.raises(InputError, match=r"one tensor for each parameter, of its shape: \[\[5, 2\], \[5\]"):
        MetaSGD(network(), lrs=[torch.ones(5, 2)])
    rates = [torch.full_like(p, 0.1, requires_grad=True) for p in network().parameters()]
    task = MetaSGD(network(), lrs=rates).clone()
    task.adapt(error(task))
    error(task).backward()
    assert all(rate.grad is not None for rate in rates)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_modules_are_refused():
    for model in (torch.compile(network()), torch.jit.trace(network(), rows()[0])):
        with pytest.raises(InputError, match=r"without torch.compile or TorchScript"):
            clone_module(model)


def test_update_module():
    model = clone_module(network())
    before = [p.clone() for p in model.parameters()]
    l2l.update_module(model, [torch.ones_like(p) for p in before[:3]] + [None])
    after = list(model.parameters())
    assert all(torch.equal(a, b + 1) for a, b in zip(after[:3], before, strict=False))
    assert torch.equal(after[3], before[3])
    with pytest.raises(InputError, match="has 4 parameters, got 1 updates"):
        l2l.update_module(model, [torch.ones(())])
    with pytest.raises(InputError, match="has 4 parameters, got 1 gradients and 4 rates"):
        l2l.algorithms.maml_update(model, 0.1, [None])
    with pytest.raises(InputError, match="has 4 parameters, got 4 gradients and 2 rates"):
        l2l.algorithms.meta_sgd_update(model, [torch.ones(())] * 2, [None] * 4)
    after[0].update = torch.ones_like(after[0])
    l2l.update_module(model)
    assert torch.equal(next(model.parameters()), before[0] + 2) and after[0].update is None
    l2l.detach_module(model, keep_requires_grad=True)
    assert all(p.is_leaf and p.requires_grad for p in model.parameters())
    x = torch.tensor(2.0, requires_grad=True)
    l2l.magic_box(3 * x).backward()
    assert x.grad == 3 and l2l.magic_box(1) == 1
    assert l2l.utils.accuracy(torch.eye(4), torch.tensor([0, 1, 0, 0])) == 0.5


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies_have_weights_of_their_own(copied):
    learner = MAML(network(), 0.1)
    other = copied(learner)
    assert other.module is not learner.module
    assert all(torch.equal(a, b) and a is not b for a, b in zip(other.parameters(), learner.parameters(), strict=True))
    task = other.clone()
    task.adapt(error(task))
    error(task).backward()
    assert all(p.grad is not None for p in other.parameters()) and all(p.grad is None for p in learner.parameters())


@pytest.mark.parametrize("algorithm", ["MAML", "MetaSGD"])
def test_state_dicts_have_the_names_of_learn2learn(algorithm, tmp_path):
    model = l2l.vision.models.OmniglotCNN(5, hidden_size=4, layers=2)
    learner = getattr(l2l.algorithms, algorithm)(model, lr=0.1)
    state = learner.state_dict()
    assert "module.base.0.normalize.running_mean" in state and "module.features.1.0.conv.weight" in state
    assert ("lrs.0" in state) == (algorithm == "MetaSGD")
    torch.save(state, tmp_path / "state.pt")
    other = getattr(l2l.algorithms, algorithm)(l2l.vision.models.OmniglotCNN(5, hidden_size=4, layers=2), lr=0.5)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(state.values(), other.state_dict().values(), strict=True))
    task = learner.clone()  # a clone's state may be kept as well
    task.adapt(task(torch.rand(3, 28, 28)).square().mean())
    assert [k for k in task.state_dict() if k.startswith("module.")] == [k for k in state if k.startswith("module.")]


def sine() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).double()


@pytest.mark.parametrize("algorithm", ["MAML", "MetaSGD"])
def test_the_meta_gradient_is_that_of_the_learner_it_becomes(algorithm):
    torch.manual_seed(3)
    learner = getattr(l2l.algorithms, algorithm)(sine(), lr=0.05)
    episodes: Any = Sinusoid(shots=6, queries=6).episodes(0, 3)
    episodes = Episode(*(Batch(b.x.double(), b.y.double(), key=b.key) for b in episodes))
    for i in range(3):
        task = learner.clone()
        for _ in range(2):
            task.adapt(nn.functional.mse_loss(task(episodes.support.x[i]), episodes.support.y[i]))
        (nn.functional.mse_loss(task(episodes.query.x[i]), episodes.query.y[i]) / 3).backward()
    ours = getattr(innerloop, algorithm)(
        model=innerloop.Module(sine), inner_lr=0.05, inner_steps=2, objective=regression, transductive=True
    )
    gradient, _ = meta_gradient(ours, l2l.params_of(learner), episodes, plan.Plan("loop"))
    named = dict(learner.module.named_parameters())
    if algorithm == "MetaSGD":
        rates = dict(zip(named, learner.lrs, strict=True))
        named = {f"model.{k}": v for k, v in named.items()} | {f"inner_lr.{k}": v for k, v in rates.items()}
    assert named.keys() == gradient.keys()
    for k, p in named.items():
        torch.testing.assert_close(gradient[k], p.grad, rtol=1e-10, atol=1e-12)


def test_there_and_back_through_a_run(tmp_path):
    learner = MAML(MLP(hidden=(8,)).build(), lr=0.01)
    start = l2l.params_of(learner)
    ours = innerloop.MAML(model=MLP(hidden=(8,)), inner_lr=0.01, objective=regression)
    config = TrainConfig(steps=3, meta_batch_size=2, plan="loop")
    params = meta_train(ours, Sinusoid(shots=5, queries=5), config, out=tmp_path / "run", start=start)
    assert any(not torch.equal(params[k], start[k]) for k in start)
    l2l.load_params(learner, load(tmp_path / "run")[1])
    assert all(torch.equal(p, params[k]) for k, p in learner.module.named_parameters())
    assert json.loads((tmp_path / "run" / "config.json").read_text())
    name, *others = sorted(params)
    with pytest.raises(InputError, match=rf"its {name} is \[\d.*\], and theirs is not there"):
        l2l.load_params(learner, {k: params[k] for k in others})
    with pytest.raises(InputError, match="a MAML or MetaSGD, got a BaseLearner"):
        l2l.params_of(l2l.algorithms.BaseLearner(sine()))
