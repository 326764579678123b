"""Hierarchically structured meta-learning, HSML: Yao, Wei, Huang, Li, ICML 2019, https://arxiv.org/abs/1905.05301.

Adaptation finds a task's place in a soft tree of clusters by a code of the support, opens the gates of a learned
initialisation accordingly, and takes MAML's steps from there.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.inner import FastWeights, descend
from innerloop.core.model import Model
from innerloop.core.networks import INPUTS, OUTPUTS, Labelled, Rows, Setting, role
from innerloop.core.objectives import mean, weights
from innerloop.core.prototypes import squared_distance
from innerloop.core.ranges import Count, NotNegative, Positive
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, by_kind
from innerloop.core.task_code import entropy, examples, pooled
from innerloop.core.types import Batch, Episode, Metrics, Params

_SMALL = 0.2
"""Size of the weights that open the gates, at first: far from the middle a sigmoid hardly learns."""


class Chosen(NamedTuple):
    """Weights on their way, and what was chosen for the task."""

    weights: Params
    gate: Tensor
    """[k] shares of the experts, 1 together."""
    lost: Tensor
    """[] mean squared error of what the decoder makes of the code of every example."""


@dataclass(frozen=True, kw_only=True)
class Experts(FastWeights[Chosen]):
    """Parameters: `model.*`, and `examples.*`, `tree.*`, `gates.*` and `decoder.*`, which choose from the support.

    The experts are the leaves of the tree: expert k's initialisation is `model.*` behind the gates of a task that is
    all of leaf k, and others begin between them by their shares. A weight's gate is the sigmoid of a number for its
    output plus one for its input, times 2, so that a gate of 1 is where they start; the authors have a number for each
    weight, which takes several times the network itself.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=INNER_LOOP)

    examples: Model = field(metadata=role(Labelled(Setting("code"))))
    """x and y of every example -> [n, code]; their mean is the task's code."""
    decoder: Model | None = field(
        default=None, metadata=role(Rows(Setting("code"), (INPUTS, OUTPUTS), unless={"reconstruction": 0.0}))
    )
    """[n, code] -> x and y of every example side by side, for `reconstruction`."""
    code: Count = 8
    """Length of the code."""
    hierarchy: tuple[Count, ...] = (4, 2)
    """Clusters of every level, from the leaves to below the root."""
    spread: Positive = 3.0
    """Distance to a cluster's centre at which a task is still much of it."""
    biases: Literal["moved", "gated"] = "moved"
    """moved: a bias has a number added where a weight has a gate. gated: as the authors; but then no unit bends
    on the other side of zero."""
    reconstruction: NotNegative = 0.01
    """How much the squared error of the decoder adds to the loss; 0: there is none."""
    inner_lr: float = field(default=0.01, metadata=INNER_LR)
    """Step size on the mean support loss."""
    inner_steps: int = field(default=5, metadata=INNER_STEPS)

    def __post_init__(self) -> None:
        if not self.hierarchy:
            raise InputError("a hierarchy has a level at least, such as (4,): four experts")
        if self.reconstruction and self.decoder is None:
            raise InputError("a loss of reconstruction needs a decoder: give one, or reconstruction=0.0")

    def init(self, seed: int) -> Params:
        initial, key, width = self.model.init(seed), random.mix(seed, 0), self.code
        levels = tree.join(**{str(i): _level(random.fold(key, i), n, width) for i, n in enumerate(self.hierarchy)})
        levels |= tree.join(root=_level(random.fold(key, -1), None, width))
        numbers = sum(sum(_numbers(weight)) for weight in initial.values())
        gates = _linear(random.fold(key, -2), (numbers, 2 * width))
        gates["weight"] *= _SMALL
        parts = {} if self.decoder is None else {"decoder": self.decoder.init(seed + 2)}
        return tree.join(model=initial, examples=self.examples.init(seed + 1), tree=levels, gates=gates, **parts)

    def start(self, params: Params, support: Batch) -> Chosen:
        pairs = examples(support, self.model, tree.part(params, "model"))
        codes = self.examples.apply(tree.part(params, "examples"), pairs, support.mask)
        code = pooled(codes, support)
        gate, place = self._place(params, code)
        return Chosen(self._initial(params, code, place), gate, self._lost(params, codes, pairs, support))

    def advance(self, params: Params, carry: Chosen, support: Batch) -> tuple[Chosen, Tensor]:
        fast, value = descend(carry.weights, self.support_loss(support), self.inner_lr)
        return carry._replace(weights=fast), value

    def finish(self, params: Params, carry: Chosen, support: Batch) -> Params:
        return self.with_statistics(carry.weights, support)

    def gate(self, params: Params, support: Batch) -> Tensor:
        """[k] share of each expert in a task, 1 together."""
        return self.start(params, support).gate

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """The query's, and what the decoder loses of the support; logged beside it are the gate and its entropy."""
        support, query = episode
        carry = self.unroll(params, support)
        loss, metrics = self.query_loss(params, self.finish(params, carry, support), query)
        gate = carry.gate.detach()
        metrics |= {"gate_entropy": entropy(gate), **{f"expert_{k}": share for k, share in enumerate(gate.unbind())}}
        return loss + self.reconstruction * carry.lost, metrics

    def _initial(self, params: Params, code: Tensor, place: Tensor) -> Params:
        """The task's initialisation, from its code and its place in the tree."""
        initial, linear, result = tree.part(params, "model"), tree.part(params, "gates"), {}
        numbers = linear["weight"] @ torch.cat([code, place]) + linear["bias"]
        parts = numbers.split([sum(_numbers(weight)) for weight in initial.values()])
        for (name, weight), part in zip(initial.items(), parts, strict=True):
            outputs, *inputs = part.split(_numbers(weight))
            number = outputs[:, None] + inputs[0] if inputs else outputs
            number = number.reshape(*weight.shape[:2], *[1] * (weight.dim() - 2))
            moved = self.biases == "moved" and name.endswith("bias")
            result[name] = weight + number if moved else 2 * weight * torch.sigmoid(number)
        return result

    def _place(self, params: Params, code: Tensor) -> tuple[Tensor, Tensor]:
        """[k] shares of the leaves, and the code [d] that the root makes of what every cluster makes of it."""
        levels, nodes, gate = tree.part(params, "tree"), code[None], code
        for i in range(len(self.hierarchy)):
            level = tree.part(levels, str(i))
            near = -0.5 * squared_distance(nodes, level["centres"]) / self.spread**2
            shares = torch.softmax(near, -1)  # [clusters below, clusters]
            gate = shares[0] if i == 0 else gate
            nodes = (shares[..., None] * _moved(level, nodes)).sum(0)
        return gate, _moved(tree.part(levels, "root"), nodes).sum((0, 1))

    def _lost(self, params: Params, codes: Tensor, pairs: dict[str, Tensor], support: Batch) -> Tensor:
        if self.decoder is None:
            return codes.new_zeros(())
        wanted = torch.cat([part.flatten(1) for part in pairs.values()], 1)
        found = self.decoder.apply(tree.part(params, "decoder"), codes, support.mask)
        return mean((found - wanted).square().mean(-1), weights(support.y, support.mask))


def _linear(key: Tensor, shape: tuple[int, ...]) -> Params:
    """A linear layer, or several side by side: weights that keep the size of what they are given."""
    return {"weight": random.normal(key, shape) / math.sqrt(shape[-1]), "bias": torch.zeros(shape[:-1])}


def _level(key: Tensor, count: int | None, width: int) -> Params:
    """Clusters, each with a layer and a centre; None: the root, which has no other beside it."""
    centres = {} if count is None else {"centres": random.normal(random.fold(key, 1), (count, width))}
    return _linear(random.fold(key, 0), (count or 1, width, width)) | centres


def _moved(level: Params, nodes: Tensor) -> Tensor:
    """[n, clusters, d] what the layer of each cluster makes of [n, d] nodes."""
    return torch.tanh(torch.einsum("nd,ked->nke", nodes, level["weight"]) + level["bias"])


def _numbers(weight: Tensor) -> list[int]:
    """How many numbers a weight takes: one for each output, and one for each input where it has some."""
    return list(weight.shape[:2]) or [1]
