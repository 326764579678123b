"""Meta-Learner LSTM: Ravi, Larochelle, ICLR 2017, https://openreview.net/forum?id=rJY0-Kcll.

Adaptation is a few updates `w = f * w - i * gradient`, an LSTM's whose cell state is the weights: the gates f and i are
computed for every weight from its past gradients and losses, and the first cell state, the initialisation, is learned.
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.inner import FastWeights
from innerloop.core.lstm import next_state
from innerloop.core.ranges import Count, Within
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Params

_P = 10.0
"""Constant of the preprocessing: magnitudes from e^-10 are told apart by their logarithm."""
_SMALL = 0.01
"""Weights of the meta-learner are drawn from [-0.01, 0.01]."""
_FORGET_BIAS = (4.0, 5.0)


class Cells(NamedTuple):
    """The learner's n weights as one vector, with the meta-learner's state for each of them."""

    weights: Tensor  # [n], the cell state
    hidden: Tensor  # [n, units]
    cell: Tensor  # [n, units]
    gates: Tensor  # [n, 2], f and i of the step before, ahead of the sigmoid


@dataclass(frozen=True, kw_only=True)
class MetaLSTM(FastWeights[Cells]):
    """Parameters: `model.*`, the first cell state, and `lstm.*` and `gates.*`, shared by all weights.

    What the gates read is constant, as in the paper, so the gradient is not exact. As in the authors' code, the gates
    are fed back as they are ahead of their sigmoid. Batch norms have the statistics of the whole support, after the
    last update too, where the authors' code averages them over the updates of a task.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=Sensible(task={"shots": 5}, train={"meta_batch_size": 4, "meta_lr": 5e-3, "clip": 1.0}))

    exact_gradient = False

    inner_lr: Annotated[float, Within(0, 1, above=True, below=True, noun="a rate")] = 0.01
    """Where `i` starts, about: its bias is drawn from a range of 1. The paper's [-5, -4] is a rate of 0.01, from which
    it meta-trains for 50,000 episodes."""
    inner_steps: int = 12
    """Updates, each on the whole support; the paper takes 12 for one shot, 8 passes for five."""
    units: Count = 20
    """Units of the LSTM that reads gradients and losses."""
    second_order: bool = False
    """Differentiate through the gradient that an update takes, which the paper holds constant."""

    def init(self, seed: int) -> Params:
        key = random.mix(seed, 0)

        def drawn(n: int, shape: tuple[int, ...], low: float = -_SMALL, high: float = _SMALL) -> Tensor:
            return low + (high - low) * random.uniform(random.fold(key, n), shape)

        rate = math.log(self.inner_lr / (1 - self.inner_lr))
        biases = drawn(3, (1,), *_FORGET_BIAS), drawn(4, (1,), rate - 0.5, rate + 0.5)
        lstm = {"weight": drawn(0, (4 * self.units, 4 + self.units)), "bias": drawn(1, (4 * self.units,))}
        gates = {"weight": drawn(2, (2, self.units + 2)), "bias": torch.cat(biases)}
        return tree.join(model=self.model.init(seed), lstm=lstm, gates=gates)

    def start(self, params: Params, support: Batch) -> Cells:
        weights = _flat(tree.part(params, "model"))
        nothing = weights.new_zeros(len(weights), self.units)
        return Cells(weights, nothing, nothing, nothing[:, :2])

    def advance(self, params: Params, carry: Cells, support: Batch) -> tuple[Cells, Tensor]:
        at = _shaped(carry.weights, tree.part(params, "model"))
        if not self.second_order:
            at = stop(at)
        slope, value, _ = value_and_grad(self.support_loss(support), at, create_graph=self.second_order)
        gradient = _flat(slope)
        seen = stop(gradient)  # even then: the slope of log|gradient| is 1 / |gradient|
        read = torch.cat([_preprocess(seen), _preprocess(value.expand_as(seen))], 1)  # [n, 4]
        driven = torch.cat([read, carry.hidden], 1) @ params["lstm.weight"].T + params["lstm.bias"]  # [n, 4 units]
        hidden, cell = next_state(driven, carry.cell)
        # Each gate reads the hidden state, the weight and its own last value.
        by_hidden, by_weight, by_gate = params["gates.weight"].split([self.units, 1, 1], 1)
        gates = hidden @ by_hidden.T + carry.weights[:, None] * by_weight.T + carry.gates * by_gate.T
        gates = gates + params["gates.bias"]  # [n, 2]
        forget, take = gates.sigmoid().unbind(1)
        return Cells(forget * carry.weights - take * gradient, hidden, cell, gates), value

    def finish(self, params: Params, carry: Cells, support: Batch) -> Params:
        return self.with_statistics(_shaped(carry.weights, tree.part(params, "model")), support)


def _preprocess(x: Tensor) -> Tensor:
    """[n] -> [n, 2]: `(log|x| / p, sign x)` from e^-p on, `(-1, e^p x)` below, so that no magnitude is lost."""
    least = math.exp(-_P)
    large = x.abs() >= least
    log = x.abs().clamp_min(least).log() / _P
    return torch.stack([torch.where(large, log, -1.0), torch.where(large, x.sign(), x / least)], 1)


def _flat(weights: Params) -> Tensor:
    return torch.cat([w.reshape(-1) for w in weights.values()])


def _shaped(vector: Tensor, like: Params) -> Params:
    parts = vector.split([w.numel() for w in like.values()])
    return {k: part.view(w.shape) for (k, w), part in zip(like.items(), parts, strict=True)}
