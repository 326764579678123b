"""A wrapped network is the network: what a module gives on some rows, or a refusal by name."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.maml import MAML
from tests.compared import distance
from tests.problems import INPUTS, NeedlesInNoise

GENERATOR = torch.Generator().manual_seed(0)
ROWS = 3 * torch.randn(12, INPUTS, generator=GENERATOR, dtype=torch.float64) + 1


class NormAct(nn.BatchNorm1d):
    """As timm's: a subclass that ends in an activation."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.tanh(super().forward(input))


class ByHand(nn.BatchNorm1d):
    """As timm's, by the functional."""

    def forward(self, input: Tensor) -> Tensor:
        training = self.training or self.running_mean is None
        x = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, self.eps)
        return torch.tanh(x)


class BiaslessLayerNorm(nn.Module):
    """As nanoGPT's."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(INPUTS) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class FunctionalInstance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x.view(len(x), 2, -1)).flatten(1)


class LowLevel(nn.Module):
    """Below `torch.nn.functional`."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.layer_norm(x, (INPUTS,), None, None, 1e-5)
        return torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)


class Twice(nn.Module):
    """One norm, called in two places."""

    def __init__(self):
        super().__init__()
        self.norm, self.inner = nn.BatchNorm1d(INPUTS), nn.Linear(INPUTS, INPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.inner(torch.tanh(self.norm(x))))


class InAList(nn.Module):
    """Calls its layers through a plain list, beside their registration."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(INPUTS, INPUTS), nn.BatchNorm1d(INPUTS)
        self.layers = [self.first, self.norm]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def two_names() -> nn.Module:
    norm = nn.BatchNorm1d(INPUTS)
    return nn.Sequential(norm, nn.Tanh(), nn.Linear(INPUTS, INPUTS), norm)


def hooked(kind: type[nn.Module]) -> nn.Module:
    norm = kind(INPUTS)
    norm.register_forward_hook(lambda module, inputs, output: output.mul(2))
    norm.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return norm


def with_running_statistics(norm: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.rand(p.shape, generator=GENERATOR) + 0.5)
        for name, b in norm.named_buffers():
            if name.startswith("running"):
                b.copy_(torch.rand(b.shape, generator=GENERATOR) + 0.5)
    return norm


PARTS = {
    "subclass": lambda: NormAct(INPUTS),
    "subclass by hand": lambda: ByHand(INPUTS),
    "nanoGPT": BiaslessLayerNorm,
    "functional instance norm": FunctionalInstance,
    "low level": LowLevel,
    "called twice": Twice,
    "two names": two_names,
    "in a list": InAList,
    "hooked batch norm": lambda: hooked(nn.BatchNorm1d),
    "hooked layer norm": lambda: hooked(nn.LayerNorm),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(INPUTS, INPUTS)),
    "weight norm hook": lambda: nn.utils.weight_norm(nn.Linear(INPUTS, INPUTS)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(INPUTS, INPUTS)).eval(),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(INPUTS, INPUTS)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(INPUTS, INPUTS), "weight", 0.5),
    "kept statistics": lambda: with_running_statistics(nn.BatchNorm1d(INPUTS)).eval(),
    "kept by a subclass": lambda: with_running_statistics(ByHand(INPUTS)).eval(),
    "kept by an instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (2, -1)),
        with_running_statistics(nn.InstanceNorm1d(2, affine=True, track_running_stats=True)),
        nn.Flatten(),
    ).eval(),
}


def network(part: str) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(PARTS[part](), nn.Tanh(), nn.Linear(INPUTS, 3))


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("part", PARTS)
def test_on_the_same_rows_the_network_gives_what_its_module_gives(part):
    net = network(part)
    model = Module(lambda: net)
    params = {k: v.double() for k, v in model.init(0).items()}
    found = model.apply(params, ROWS)
    expected = copy.deepcopy(net).double() if "hook" not in part and part != "pruned" else net.double()
    with torch.no_grad():
        assert torch.allclose(found, expected(ROWS), atol=1e-8)
    kept = model.apply(model.with_statistics(params, ROWS), ROWS)
    assert torch.allclose(kept, found, atol=1e-8), "by the statistics of the same rows"
    assert model.apply(model.with_statistics(params, ROWS), ROWS[:1]).allclose(found[:1], atol=1e-8), "and one by one"


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("part", [p for p in PARTS if p != "orthogonal"])
def test_its_meta_gradient_is_exact_in_every_plan(part):
    net = network(part)
    learner = MAML(model=Module(lambda: net), inner_lr=0.1, inner_steps=2)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 3)
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    for plan in ("vmap", "replay"):
        assert distance(meta_gradient(learner, params, episodes, plan, unchecked=True)[0], expected) < 1e-9, plan

    generator = torch.Generator().manual_seed(0)
    way = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in params.items()}
    up, down = (
        meta_gradient(learner, {k: p + h * way[k] for k, p in params.items()}, episodes, "loop")[1]["loss"]
        for h in (1e-6, -1e-6)
    )
    slope = sum((expected[k] * way[k]).sum() for k in way)
    assert abs((up - down) / 2e-6 - slope) < 1e-5 * max(1.0, abs(float(slope)))


def test_running_statistics_in_eval_mode_are_saved_and_those_of_old_runs_are_not_made_up():
    net = network("kept statistics")
    model, blank = Module(lambda: net), Module(lambda: network("kept statistics"))
    params = model.init(0)
    assert {"0.running_mean", "0.running_var"} <= set(model.buffers())
    assert model.with_statistics(params, ROWS.float()) is params
    blank.load_buffers(model.buffers())
    assert torch.equal(blank.apply(params, ROWS.float()), model.apply(params, ROWS.float()))
    blank.load_buffers({})  # a run of release 0.1.0, which normalised by the task
    assert "0.running_mean" in blank.with_statistics(params, ROWS.float())


def test_frozen_parameters_stay_and_are_saved():
    net = nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, 3))
    net[0].requires_grad_(False)
    model = Module(lambda: net)
    assert set(model.init(0)) == {"2.weight", "2.bias"}
    assert torch.equal(model.buffers()["0.weight"], net.get_parameter("0.weight"))
    params = model.init(0)
    assert torch.allclose(model.apply(params, ROWS.float()), net(ROWS.float()))
    double = {k: v.double() for k, v in params.items()}
    assert model.apply(double, ROWS).dtype == torch.float64


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1  # not in place
        return x / self.calls


class CountingInPython(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Elsewhere(nn.Module):
    """Calls a module that is not registered in it as it is: an older copy."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(INPUTS, 3)
        self.other = (lambda module: lambda x: module(x))(copy.deepcopy(self.linear))
        self.same = (lambda module: lambda x: module(x))(self.linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.same(x)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Counting, "changes its buffer 'calls'"),
        (CountingInPython, "answers the same rows differently"),
        (Noisy, "draws from torch's generator"),
        (Pair, "returns a tuple"),
        (lambda: parametrizations.spectral_norm(nn.Linear(INPUTS, 3)), r"changes its buffer .*call .eval\(\)"),
        (Elsewhere, "cannot be wrapped: .* reached by another way"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_with_the_way_out(factory, message):
    model = Module(factory)
    with pytest.raises(InputError, match=message):
        model.apply(model.init(0), ROWS.float())


def test_parameters_of_another_network_are_refused():
    model = Module(lambda: nn.Linear(INPUTS, 3))
    params = model.init(0)
    with pytest.raises(InputError, match="bias is missing"):
        model.apply({"weight": params["weight"]}, ROWS.float())
    with pytest.raises(InputError, match=r"it has no 0\.weight"):
        model.apply(params | {"0.weight": params["weight"]}, ROWS.float())


def test_modules_for_factories_are_refused():
    for factory in (nn.Linear(2, 2), 3):
        with pytest.raises(InputError, match="that makes the network"):
            Module(factory)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="makes a int"):
        Module(lambda: 3).init(0)  # pyright: ignore[reportArgumentType]
