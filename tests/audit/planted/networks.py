"""Networks with a mistake each, inside honest learners; `BUGS` has them by name."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from innerloop.core.model import Module
from innerloop.core.types import Params
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from tests.audit.planted import Bug
from tests.audit.planted.learners import INPUTS, WAYS, sampler


class Net(nn.Sequential):
    """Honest: what the others spoil."""

    def __init__(self, *between: nn.Module):
        super().__init__(nn.Flatten(), nn.Linear(INPUTS, 8), *between, nn.Tanh(), nn.Linear(8, WAYS))


class StaleNorm(Net):
    """Left in eval mode before it saw any data."""

    def __init__(self):
        super().__init__(nn.BatchNorm1d(8))
        self[2].eval()


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return slope * (1 - ctx.saved_tensors[0].square())


class OnceDifferentiable(Net):
    """Its second derivative is silently that of a constant."""

    def forward(self, input: Tensor) -> Tensor:
        return self[3](_Tanh.apply(self[1](self[0](input))))


class CutOff(Net):
    """Its first layer is detached."""

    def forward(self, input: Tensor) -> Tensor:
        return self[3](self[2](self[1](self[0](input))).detach())


class Dropped(Net):
    """Drops units by a functional call, in testing too."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.dropout(input, 0.2))


class Counting(Net):
    """Its output depends on how often it was asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        self.asked += 1
        return super().forward(input) * self.asked


class Smoothing(Net):
    """Keeps a running mean of what it saw in an ordinary attribute."""

    mean: Tensor | float = 0.0

    def forward(self, input: Tensor) -> Tensor:
        Smoothing.mean = 0.9 * Smoothing.mean + 0.1 * input.detach().mean()
        return super().forward(input - Smoothing.mean)


class InAList(Net):
    """A layer in a list that is no ModuleList, which nobody trains or adapts."""

    def __init__(self):
        super().__init__()
        self.more = [nn.Linear(WAYS, WAYS)]

    def forward(self, input: Tensor) -> Tensor:
        return self.more[0](super().forward(input))


class Whitened(Net):
    """Subtracts the mean of the rows that it is given together."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input - input.mean(0))


class EvalMode(Module):
    """Applies the network in eval mode, though it was given in train mode."""

    def apply(self, params: Params, x: Any, mask: Tensor | None = None) -> Tensor:
        return functional_call(self.build().eval().to(x.dtype), params, x)


class FrozenTrained(Module):
    """Trains what was frozen."""

    def init(self, seed: int) -> Params:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return {k: p.detach().clone() for k, p in self.build().named_parameters()}


def normed() -> nn.Module:
    return Net(nn.BatchNorm1d(8))


def frozen() -> nn.Module:
    net = Net()
    net[1].requires_grad_(False)
    return net


def _maml(model: Module) -> dict[str, Any]:
    return {"learner": MAML(model=model, inner_lr=0.1, inner_steps=2), "sampler": sampler()}


def _protonet(encoder: Module) -> dict[str, Any]:
    return {"learner": ProtoNet(encoder=encoder), "sampler": sampler()}


BUGS = {
    "stale batch norm": Bug("network encoder", _protonet(Module(StaleNorm))),
    "once differentiable": Bug("meta-gradient", _maml(Module(OnceDifferentiable))),
    "layer detached": Bug("meta-gradient", _maml(Module(CutOff))),
    "dropout in testing": Bug("network encoder", _protonet(Module(Dropped))),
    "network that counts": Bug("network model", _maml(Module(Counting))),
    "network with a running mean": Bug("network encoder", _protonet(Module(Smoothing))),
    "layer in a list": Bug("network model", _maml(Module(InAList))),
    "rows centred in the network": Bug("query independence", _protonet(Module(Whitened))),
    "forward in eval mode": Bug("network encoder", _protonet(EvalMode(normed))),
    "frozen layer trained": Bug("network encoder", _protonet(FrozenTrained(frozen))),
}
