"""Hypergradient descent: Baydin, Cornish, Martinez Rubio, Schmidt, Wood, ICLR 2018, https://arxiv.org/abs/1703.04782.

The learning rate descends as well. Its gradient is that of the loss along the last step,
`-grad f(w_t) . direction_{t-1}` where `w_t = w_{t-1} - lr * direction_{t-1}`, so it costs one dot product and a copy of
the direction.

It repairs a bad first rate; a tuned constant rate still wins. The rate is not clipped: a `hyper_lr` too large for the
scale of the gradients makes it jump, or negative. A scheduler that writes `lr` overwrites what was learned.
"""
# pyright: reportPrivateImportUsage=false
# Several tensors at once is public in `torch.optim` only.

import abc
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from innerloop.core.ranges import Decay, NotNegative, Rate, checked
from innerloop.optim.base import ClosureOptimizer


class _Hypergradient(ClosureOptimizer):
    """Updates `lr` of its groups, then takes `p -= lr * direction`."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any], per_group: bool):
        super().__init__(params, defaults)
        self.per_group: bool = checked(type(self).__name__, "per_group", per_group, bool)

    def _step(self) -> None:
        gradients = [self._gradients(group) for group in self.param_groups]
        slopes = [self._along(params, grads) for params, grads in gradients]
        if not self.per_group:
            slopes = [_total(slopes)] * len(slopes)
        for group, (params, grads), slope in zip(self.param_groups, gradients, slopes, strict=True):
            if slope is not None:
                group["lr"] += group["hyper_lr"] * slope.item()
            if not params:
                continue
            directions = self._directions(group, params, grads)
            for p, direction in zip(params, directions, strict=True):
                self.state[p]["direction"] = direction
            torch._foreach_add_(params, directions, alpha=-group["lr"])

    @abc.abstractmethod
    def _directions(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        """What `lr` is multiplied with: new tensors, one a parameter."""

    def _gradients(self, group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters that have a gradient, and these gradients with weight decay."""
        slopes = {p: self._slope(p) for p in group["params"]}
        for p, slope in slopes.items():
            if slope is None:  # it did not move, so it says nothing about the rate of its next step
                self.state[p].pop("direction", None)
        params = [p for p, slope in slopes.items() if slope is not None]
        grads = [slope for slope in slopes.values() if slope is not None]
        if group["weight_decay"] and params:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        return params, grads

    def _along(self, params: list[Tensor], grads: list[Tensor]) -> Tensor | None:
        """Inner product of the gradients with the directions of the step before; None before there was one."""
        pairs = [(g, self.state[p].get("direction")) for p, g in zip(params, grads, strict=True)]
        return _total(torch.dot(g.flatten(), d.flatten()) for g, d in pairs if d is not None)


class HypergradientSGD(_Hypergradient):
    """SGD-HD, with momentum SGDN-HD (algorithms 4 and 5 of the paper, Nesterov's momentum as in torch)."""

    options = {"lr": Rate, "hyper_lr": Rate, "momentum": Decay, "weight_decay": NotNegative}  # noqa: RUF012

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        hyper_lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        per_group: bool = False,
    ):
        """Give it what `torch.optim.SGD` takes.

        Args:
            params: Parameters or groups of them; `lr`, `hyper_lr`, `momentum`, `weight_decay` may differ by group.
            lr: Where the learning rate starts.
            hyper_lr: Step size on the learning rate (the paper's beta).
            momentum: Nesterov's; 0: none.
            weight_decay: Added to the gradient as `weight_decay * p`, and so part of the hyper-gradient.
            per_group: Every group learns from its own parameters; otherwise from all parameters together.
        """
        defaults = {"lr": lr, "hyper_lr": hyper_lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults, per_group)

    def _directions(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        momentum = group["momentum"]
        if not momentum:
            return [g.clone() for g in grads]
        states = [self.state[p] for p in params]
        velocities = [_kept(s, "momentum_buffer", p) for s, p in zip(states, params, strict=True)]
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, grads)
        return list(torch._foreach_add(grads, velocities, alpha=momentum))


class HypergradientAdam(_Hypergradient):
    """Adam-HD (algorithm 6 of the paper)."""

    options = {  # noqa: RUF012
        "lr": Rate,
        "hyper_lr": Rate,
        "betas": tuple[Decay, Decay],
        "eps": NotNegative,
        "weight_decay": NotNegative,
    }

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        hyper_lr: float = 1e-7,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        per_group: bool = False,
    ):
        """Give it what `torch.optim.Adam` takes.

        Args:
            params: Parameters or groups of them; all but `per_group` may differ by group.
            lr: Where the learning rate starts.
            hyper_lr: Step size on the learning rate (the paper's beta).
            betas: Decay of the first and second moments.
            eps: Added to the root of the second moment.
            weight_decay: Added to the gradient as `weight_decay * p`, and so part of the hyper-gradient.
            per_group: Every group learns from its own parameters; otherwise from all parameters together.
        """
        defaults = {"lr": lr, "hyper_lr": hyper_lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, per_group)

    def _directions(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        first_decay, second_decay = group["betas"]
        states = [self.state[p] for p in params]
        first = [_kept(s, "exp_avg", p) for s, p in zip(states, params, strict=True)]
        second = [_kept(s, "exp_avg_sq", p) for s, p in zip(states, params, strict=True)]
        for s in states:
            s["step"] = s.get("step", 0) + 1
        torch._foreach_lerp_(first, grads, 1 - first_decay)
        torch._foreach_mul_(second, second_decay)
        torch._foreach_addcmul_(second, grads, grads, value=1 - second_decay)
        scales = torch._foreach_sqrt(second)
        torch._foreach_div_(scales, [math.sqrt(1 - second_decay ** s["step"]) for s in states])
        torch._foreach_add_(scales, group["eps"])
        torch._foreach_mul_(scales, [1 - first_decay ** s["step"] for s in states])
        return list(torch._foreach_div(first, scales))


def _kept(state: dict[str, Any], name: str, p: Tensor) -> Tensor:
    if name not in state:
        state[name] = torch.zeros_like(p)
    return state[name]


def _total(values: Iterable[Tensor | None]) -> Tensor | None:
    """The sum of what there is, on the device of the first; None of nothing."""
    total = None
    for value in values:
        if value is not None:
            total = value if total is None else total + value.to(total.device)
    return total
