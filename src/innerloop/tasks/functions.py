"""Families of functions to be minimised, after Andrychowicz et al., NeurIPS 2016, https://arxiv.org/abs/1606.04474.

A task is one function: its constants and the point to start from (`start.*`) are `support.x`. Its value at a point is
a function `(theta, x, key) -> scalar` that a learned optimizer has as a field; `key` draws the minibatch of a step.
Values are never averaged over tasks, which would scale every gradient by their number.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Within
from innerloop.core.types import Batch, Episode, Params

Init = Callable[[Tensor], tuple[Params, dict[str, Tensor]]]
"""The start and the constants of the function that a key stands for; pure, drawing from `core.random` alone."""
Value = Callable[[Params, dict[str, Tensor], Tensor], Tensor]
"""Its value at a point; the key is of the step."""

_SIZE, _PIXELS, _CLASSES, _EXAMPLES, _MINIBATCH = 10, 8, 10, 256, 64
_HIDDEN, _CHANNELS = 20, 8
_FACTORS = 100


@dataclass(frozen=True, kw_only=True)
class Functions(Checked):
    """Functions to be minimised, of one of the `FAMILIES` or with an `init` of your own."""

    family: str = "quadratics"
    """quadratics, mlp, conv; with `init`, any name."""
    seed: int = 0
    init: Init | None = None
    """Start of your own family, whose value goes to the learner."""
    rescale: Annotated[float, Within(1, math.inf, noun="a factor")] = 1.0
    """The most that the weights of a tensor count for: each is multiplied by a factor of its task, from 1 / rescale to
    rescale, where the function reads it, and divided by it where it starts, so that the same values lie elsewhere
    (Metz et al. 2022, https://arxiv.org/abs/2211.09760). Values of your own read it through `reparametrised`."""

    def __post_init__(self) -> None:
        if self.init is None and self.family not in FAMILIES:
            raise InputError(f"there is no family '{self.family}': use {', '.join(FAMILIES)}, or give an init")

    def episodes(self, first: int, count: int) -> Episode:
        """Functions `first .. first + count - 1`, stacked; the query is the support, and its target a value of 0."""
        keys = random.mix(self.seed, torch.arange(first, first + count))
        start, constants = torch.vmap(self.init or FAMILIES[self.family][0])(keys)
        if self.rescale > 1:
            factors = self._factors(keys, start)
            start = {k: w / factors[k].view(-1, *[1] * (w.ndim - 1)) for k, w in start.items()}
            constants = constants | tree.join(factor=factors)
        batch = Batch(constants | tree.join(start=start), torch.zeros(count, 1, 1), key=keys)
        return Episode(batch, batch)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        about: dict[str, object] = {"kind": "functions", "score": "value", "dataset": self.family, "seed": self.seed}
        return about | ({"rescale": self.rescale} if self.rescale > 1 else {})

    def _factors(self, keys: Tensor, start: Params) -> Params:
        """[count] for each tensor, alike in their logarithm."""
        place = random.fold(keys, _FACTORS)
        logs = {k: 2 * random.uniform(random.fold(place, i), ()) - 1 for i, k in enumerate(start)}
        return {k: (math.log(self.rescale) * log).exp() for k, log in logs.items()}


def reparametrised(value: Value) -> Value:
    """The value as a function of weights that count as much as the task says (`rescale`), or as they are."""

    @functools.wraps(value)
    def scaled(theta: Params, x: dict[str, Tensor], key: Tensor) -> Tensor:
        factors = tree.part(x, "factor")
        return value({k: w * factors[k] for k, w in theta.items()} if factors else theta, x, key)

    return scaled


def start_quadratic(key: Tensor) -> tuple[Params, dict[str, Tensor]]:
    """10 x 10 matrix and target from N(0, 1), start from N(0, 0.01^2)."""
    theta = {"theta": 0.01 * random.normal(random.fold(key, 0), (_SIZE,))}
    matrix = random.normal(random.fold(key, 1), (_SIZE, _SIZE))
    return theta, {"matrix": matrix, "target": random.normal(random.fold(key, 2), (_SIZE,))}


@reparametrised
def quadratic(theta: Params, x: dict[str, Tensor], key: Tensor) -> Tensor:
    """`|W theta - y|^2`, summed over its 10 rows."""
    return (x["matrix"] @ theta["theta"] - x["target"]).square().sum()


def start_mlp(key: Tensor) -> tuple[Params, dict[str, Tensor]]:
    """A layer of 20 sigmoid units, as in the paper, and pictures to tell apart."""
    shapes = {"hidden": (_HIDDEN, _PIXELS**2), "output": (_CLASSES, _HIDDEN)}
    return _weights(key, shapes), _pictures(key)


@reparametrised
def mlp(theta: Params, x: dict[str, Tensor], key: Tensor) -> Tensor:
    """Cross-entropy of a minibatch."""
    pictures, labels = _minibatch(x, key)
    hidden = torch.sigmoid(F.linear(pictures, theta["hidden.weight"], theta["hidden.bias"]))
    return F.cross_entropy(F.linear(hidden, theta["output.weight"], theta["output.bias"]), labels)


def start_conv(key: Tensor) -> tuple[Params, dict[str, Tensor]]:
    """Two strided convolutions of 8 channels with tanh, a linear layer, and pictures to tell apart."""
    shapes = {
        "first": (_CHANNELS, 1, 3, 3),
        "second": (_CHANNELS, _CHANNELS, 3, 3),
        "output": (_CLASSES, 4 * _CHANNELS),
    }
    return _weights(key, shapes), _pictures(key)


@reparametrised
def conv(theta: Params, x: dict[str, Tensor], key: Tensor) -> Tensor:
    """Cross-entropy of a minibatch."""
    pictures, labels = _minibatch(x, key)
    h = pictures.view(_MINIBATCH, 1, _PIXELS, _PIXELS)
    for name in ("first", "second"):
        h = torch.tanh(F.conv2d(h, theta[f"{name}.weight"], theta[f"{name}.bias"], stride=2, padding=1))
    return F.cross_entropy(F.linear(h.flatten(1), theta["output.weight"], theta["output.bias"]), labels)


FAMILIES: dict[str, tuple[Init, Value]] = {
    "quadratics": (start_quadratic, quadratic),
    "mlp": (start_mlp, mlp),
    "conv": (start_conv, conv),
}
"""By name: how a function of the family is drawn, and its value."""


def _weights(key: Tensor, shapes: dict[str, tuple[int, ...]]) -> Params:
    """Normal weights of variance 1 / fan-in, biases of 0."""
    params: Params = {}
    for i, (name, shape) in enumerate(shapes.items()):
        weight = random.normal(random.fold(key, 10 + i), shape)
        params[f"{name}.weight"] = weight / (weight[0].numel() ** 0.5)
        params[f"{name}.bias"] = torch.zeros(shape[0])
    return params


def _pictures(key: Tensor) -> dict[str, Tensor]:
    """256 of 8 x 8: one of ten smooth patterns of this task, in noise."""
    coarse = random.normal(random.fold(key, 0), (_CLASSES, 1, _PIXELS // 2, _PIXELS // 2))
    patterns = F.interpolate(coarse, scale_factor=2, mode="nearest").flatten(1)
    labels = random.bits(random.fold(key, 1), (_EXAMPLES,)) % _CLASSES
    noise = random.normal(random.fold(key, 2), (_EXAMPLES, _PIXELS**2))
    return {"pictures": patterns.index_select(0, labels) + noise, "labels": labels}


def _minibatch(x: dict[str, Tensor], key: Tensor) -> tuple[Tensor, Tensor]:
    rows = random.bits(key, (_MINIBATCH,)) % _EXAMPLES
    return x["pictures"].index_select(0, rows), x["labels"].index_select(0, rows)
