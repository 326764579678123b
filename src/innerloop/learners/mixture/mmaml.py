"""Multimodal MAML: Vuorio, Sun, Hu, Lim, NeurIPS 2019, https://arxiv.org/abs/1910.13616.

Adaptation modulates the layers of one initialisation by a code of the support, then takes MAML's steps on the weights
underneath.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.inner import FastWeights, Loss, descend
from innerloop.core.model import Model, Module
from innerloop.core.networks import Labelled, Setting, role
from innerloop.core.ranges import Count
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, by_kind
from innerloop.core.task_code import examples, pooled
from innerloop.core.types import Batch, Params

_SMALL = 0.2
"""Size of what makes the modulation, at first: tasks begin near the initialisation that they share."""
_FARTHEST = 3.0
"""Root mean square that a code comes near and does not pass: inner steps grow with the modulation of every layer, and
one task far from the others would make them endless."""


class Modulated(NamedTuple):
    """Weights on their way, and what the task's code makes of their layers."""

    weights: Params
    scale: Params
    """[units] by layer."""
    shift: Params
    """[units] by layer; empty where nothing is shifted."""


@dataclass(frozen=True, kw_only=True)
class MMAML(FastWeights[Modulated]):
    """Parameters: `model.*`, and `examples.*` and `modulation.*`, which make the modulation from the support.

    Modulated are the outputs of every hidden layer that has a bias, ahead of the nonlinearity and after a norm. An
    affine layer whose outputs are scaled and shifted is one with other weights, so the network may be anyone's; what
    the inner steps change is the weights underneath, as in the paper. Where it encodes the support by a recurrent
    network, here the mean over the examples is taken, which knows no order, and bounded as the state of one is.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=INNER_LOOP)

    examples: Model = field(metadata=role(Labelled(Setting("code"))))
    """x and y of every example -> [n, code]; their mean is the task's code."""
    code: Count = 16
    """Length of the code."""
    modulation: Literal["film", "sigmoid", "softmax"] = "film"
    """film: outputs times one plus a number, plus another. sigmoid: times a number from 0 to 1. softmax: times the
    unit's share of attention and the number of units, so that even attention changes nothing (the paper: the share)."""
    inner_lr: float = field(default=0.01, metadata=INNER_LR)
    """Step size on the mean support loss."""
    inner_steps: int = field(default=5, metadata=INNER_STEPS)

    def init(self, seed: int) -> Params:
        weights = self.model.init(seed)
        units = sum(weights[f"{layer}.bias"].numel() for layer in _hidden_layers(weights))
        numbers = units * (2 if self.modulation == "film" else 1)
        modulation = Module(partial(nn.Linear, self.code, numbers)).init(seed + 2)
        return tree.join(
            model=weights,
            examples=self.examples.init(seed + 1),
            modulation=tree.map(lambda w: _SMALL * w, modulation),
        )

    def start(self, params: Params, support: Batch) -> Modulated:
        weights, linear = tree.part(params, "model"), tree.part(params, "modulation")
        pairs = examples(support, self.model, weights)
        codes = self.examples.apply(tree.part(params, "examples"), pairs, support.mask)
        mean = pooled(codes, support)
        code = mean / (1 + mean.square().mean() / _FARTHEST**2).sqrt()
        numbers, layers = linear["weight"] @ code + linear["bias"], _hidden_layers(weights)
        sizes = [weights[f"{layer}.bias"].numel() for layer in layers]
        if self.modulation != "film":
            return Modulated(weights, dict(zip(layers, map(self._open, numbers.split(sizes)), strict=True)), {})
        scales, shifts = (dict(zip(layers, half.split(sizes), strict=True)) for half in numbers.chunk(2))
        return Modulated(weights, tree.map(lambda s: 1 + s, scales), shifts)

    def advance(self, params: Params, carry: Modulated, support: Batch) -> tuple[Modulated, Tensor]:
        loss: Loss = self.support_loss(support)
        weights, value = descend(carry.weights, lambda w: loss(_effective(carry._replace(weights=w))), self.inner_lr)
        return carry._replace(weights=weights), value

    def finish(self, params: Params, carry: Modulated, support: Batch) -> Params:
        return self.with_statistics(_effective(carry), support)

    def _open(self, numbers: Tensor) -> Tensor:
        """The gates of one layer."""
        if self.modulation == "sigmoid":
            return torch.sigmoid(numbers)
        return len(numbers) * torch.softmax(numbers, 0)


def _effective(carry: Modulated) -> Params:
    """The weights of a network whose outputs of layers are those of `carry.weights`, modulated."""
    result = dict(carry.weights)
    for layer, scale in carry.scale.items():
        weight, bias = result[f"{layer}.weight"], result[f"{layer}.bias"]
        result[f"{layer}.weight"] = weight * scale.view(-1, *[1] * (weight.dim() - 1))
        result[f"{layer}.bias"] = bias * scale + carry.shift[layer] if carry.shift else bias * scale
    return result


def _hidden_layers(weights: Params) -> list[str]:
    """Names of the layers that are modulated: those with a bias, but the last, and but what a norm evens out."""
    layers = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    normed = [weights[f"{layer}.weight"].dim() == 1 for layer in layers]  # a norm has one scale a channel
    hidden = [
        layer
        for layer, norm_follows in zip(layers[:-1], normed[1:], strict=True)
        if f"{layer}.bias" in weights and not norm_follows
    ]
    if not hidden:
        raise InputError(f"no hidden layer with a bias can be modulated: the network has {', '.join(weights)}")
    return hidden
