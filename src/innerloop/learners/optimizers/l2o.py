"""Learning to learn by gradient descent by gradient descent: Andrychowicz et al., NeurIPS 2016.

https://arxiv.org/abs/1606.04474. Adaptation is the descent itself: a small LSTM, the same for every coordinate and with
a state of its own for each, reads gradients and writes steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.config import LATER
from innerloop.core.errors import InputError
from innerloop.core.gradient import grad
from innerloop.core.inner import first_step
from innerloop.core.learner import EpisodicClassifier, Unrolled
from innerloop.core.lstm import next_state
from innerloop.core.model import Model
from innerloop.core.ranges import Count, Natural, NotNegative, Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params

States = tuple[tuple[Tensor, ...], ...]
"""States of each layer [n, h], output and memory; n is the number of coordinates, h the units of a layer. Behind them,
where moments are read, means of gradients [n, 3], their squares [n, 1], and the weights that these add up to."""

_LAYERS = ("first", "second")
_MINIBATCHES, _HORIZON, _START = 0, 1, 2
_MEANS, _SQUARES = (0.5, 0.9, 0.99), (0.999,)
"""Decays of the moments, of which Adam takes the second mean."""
_ADAM = 1 + _MEANS.index(0.9)
"""Place of Adam's direction in what is read."""
_LARGEST, _TINY = 10.0, 1e-12


class Descent(NamedTuple):
    """Where a descent is."""

    weights: Params
    states: States
    step: Tensor  # [] int64
    loss: Tensor  # [] what the steps so far add to the meta-loss
    total: Tensor  # [] sum of the values after them


class Optimised(NamedTuple):
    """The weights at the end, and the mean value on the way."""

    weights: Params
    mean: Tensor  # []


@dataclass(frozen=True, kw_only=True)
class L2O(EpisodicClassifier[Optimised], Unrolled[Optimised, Descent]):
    """Parameters: `first.*`, `second.*` and `output.*`, the LSTM's, and `start.*` where there is a `model`.

    With a `value`, tasks are functions as `tasks.functions` makes them, and the meta-loss is the sum of the values
    after every step. With a `model`, tasks are ordinary episodes: the value is the objective on the support, and the
    meta-loss is the objective on the query after the last step. Descents then begin at `start.*`, which is learned
    too, or with `fresh_start` at weights drawn anew for every task.

    `preprocessing="moments"` with `normalised=True` is the recipe of Celo2 (Moudgil, Knyazev, Belilovsky 2026,
    https://arxiv.org/abs/2602.19142) for an optimizer that is used on other problems, in small: what is read does not
    depend on the size of gradients, and of what is written for a tensor only the direction counts, and one length. To
    it belongs `--rescale`, tasks whose weights count more or less. Theirs reads the weights and factored moments too.
    """

    trains_on = ("functions", "episodes")
    targets = ("classes", "values")
    sensible = by_kind(
        classes=Sensible(
            fields={"inner_steps": 5, "transductive": True}, train={"meta_batch_size": 8, "meta_lr": 5e-3}
        ),
        # A state for every weight and step is kept until the query's loss is differentiated: gigabytes at 100 steps.
        regression=Sensible(fields={"inner_steps": 5}, train={"meta_batch_size": 8, "meta_lr": 5e-3, "clip": 10.0}),
    )

    value: Callable[[Params, dict[str, Tensor], Tensor], Tensor] | None = None
    """`(theta, support.x, key of the step) -> scalar`, started from the entries `start.*` of `support.x`."""
    model: Model | None = None
    """x -> outputs of a task."""
    inner_steps: int = 100
    """Steps of a descent, the training horizon."""
    shortest: Natural = 0
    """Train on horizons drawn from `shortest` to `inner_steps`, a multiple of which is harder to survive; 0: all of
    `inner_steps`."""
    hidden: Count = 20
    """Units of each of the two layers."""
    preprocessing: Literal["scale", "log_sign", "moments"] = "scale"
    """Preprocessing of gradients. log_sign: logarithm and sign, appendix A of the paper. scale: times `input_scale`.
    moments: over the root of their mean square, with three running means likewise; what the LSTM writes is then added
    to Adam's direction."""
    input_scale: float = 1.0
    """What gradients are multiplied by, with scale."""
    p: Positive = 10.0
    """Gradients below e^-p are taken as they are, times e^p, by log_sign."""
    output_scale: float = 0.1
    """Scale of steps."""
    late: NotNegative = 0.0
    """Weight of step t of T in the meta-loss, (t / T)^late; 0: all alike, as in the paper."""
    second_order: bool = False
    """Differentiate through the gradients that the LSTM reads as well, which the paper drops."""
    fresh_start: bool = field(default=False, metadata=LATER)
    """Descend from weights drawn for each task, every entry one of those that the network began with, in place of a
    learned start: what is learned is the optimizer alone. For episodes; functions always begin so."""
    normalised: bool = field(default=False, metadata=LATER)
    """Divide the steps of a tensor by the root of their mean square, and multiply them by one length that the LSTM
    writes."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.model is None):
            raise InputError("l2o needs either a value, for functions to be minimised, or a model, for episodes")
        if self.shortest > self.inner_steps:
            raise InputError(f"shortest must be from 0 to inner_steps={self.inner_steps}, got {self.shortest}")
        if self.fresh_start and self.model is None:
            raise InputError("functions to be minimised bring their own start: leave out fresh_start")

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.second_order and not self.fresh_start

    @property
    def stochastic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.value is not None or self.shortest > 0 or self.fresh_start

    @property
    def additive(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.value is not None

    def init(self, seed: int) -> Params:
        inputs, key, bound = self.inputs, random.mix(seed, 0), 1 / math.sqrt(self.hidden)
        written = 2 if self.normalised else 1
        shapes = {"output.weight": (written, self.hidden), "output.bias": (written,)}
        for name, read in zip(_LAYERS, (inputs, self.hidden), strict=True):
            shapes |= {
                f"{name}.weight_ih": (4 * self.hidden, read),
                f"{name}.weight_hh": (4 * self.hidden, self.hidden),
            }
            shapes |= {f"{name}.bias": (4 * self.hidden,)}
        network = {
            k: bound * (2 * random.uniform(random.fold(key, i), s) - 1) for i, (k, s) in enumerate(shapes.items())
        }
        return network if self.model is None else network | tree.join(start=self.model.init(seed))

    @property
    def inputs(self) -> int:
        """What the LSTM reads of a coordinate."""
        return {"scale": 1, "log_sign": 2, "moments": 1 + len(_MEANS)}[self.preprocessing]

    def start(self, params: Params, support: Batch) -> Descent:
        holder = support.x if self.model is None else params
        assert isinstance(holder, dict)
        weights = tree.part(holder, "start")
        if self.fresh_start:
            weights = drawn(stop(weights), random.fold(_key(support), _START))
        zero, count = params["output.bias"].new_zeros(()), sum(w.numel() for w in weights.values())
        return Descent(weights, self.blank(zero, count), first_step(weights), zero, zero)

    def advance(self, params: Params, carry: Descent, support: Batch) -> tuple[Descent, Tensor]:
        """One step of the LSTM, and what the value after it adds to the meta-loss."""

        def before(w: Params) -> Tensor:
            return self.at_step(w, support, carry.step)

        here = carry.weights if self.second_order else stop(carry.weights)
        slopes = grad(before, here, create_graph=self.second_order)
        sizes = [w.numel() for w in carry.weights.values()]
        steps, states = self.write(params, torch.cat([g.reshape(-1) for g in slopes.values()]), carry.states, sizes)
        parts = steps.split(sizes)
        weights = {k: w + part.view(w.shape) for (k, w), part in zip(carry.weights.items(), parts, strict=True)}
        step = carry.step + 1
        value = self.at_step(weights, support, step)
        share = value if self.late == 0 else value * (step.to(value.dtype) / self.inner_steps) ** self.late
        share = torch.where(step <= self._horizon(support), share, 0 * share) if self.shortest else share
        return Descent(weights, states, step, carry.loss + share, carry.total + value.detach()), share

    def blank(self, like: Tensor, count: int) -> States:
        """The states of `count` coordinates before the first step, of the dtype and on the device of `like`."""
        layers = ((like.new_zeros(count, self.hidden),) * 2,) * len(_LAYERS)
        if self.preprocessing != "moments":
            return layers
        means, squares = like.new_zeros(count, len(_MEANS)), like.new_zeros(count, len(_SQUARES))
        return (*layers, (means, squares, torch.cat([means, squares], 1)))

    def write(
        self, params: Params, slopes: Tensor, states: States, sizes: Sequence[int] | None = None
    ) -> tuple[Tensor, States]:
        """The LSTM alone: gradients and states of coordinates into steps, to be added, and new states.

        Args:
            params: Meta-parameters.
            slopes: [n] gradients.
            states: Of n coordinates.
            sizes: How many of them make up each tensor; None: all are of one.
        """
        moments = states[len(_LAYERS) :]
        x, moments = self._read(slopes, moments)
        seen, after = x, []
        for name, (output, memory) in zip(_LAYERS, states[: len(_LAYERS)], strict=True):
            layer = tree.part(params, name)
            gates = x @ layer["weight_ih"].T + output @ layer["weight_hh"].T + layer["bias"]  # [n, 4 h]
            after.append(next_state(gates, memory))
            x = after[-1][0]
        written = x @ params["output.weight"].T + params["output.bias"]  # [n, 1], or [n, 2] with lengths
        steps = written[:, 0]
        if self.preprocessing == "moments":
            steps = steps - seen[:, _ADAM]
        if self.normalised:
            parts = zip(*(one.split(sizes or [len(slopes)]) for one in (steps, written[:, 1])), strict=True)
            steps = torch.cat([_normalised(step, length) for step, length in parts])
        return self.output_scale * steps, (*after, *moments)

    def ended(self, carry: Descent, support: Batch) -> Tensor:
        return carry.step >= (self._horizon(support) if self.shortest else self.inner_steps)

    def finish(self, params: Params, carry: Descent, support: Batch) -> Optimised:
        weights = carry.weights
        if self.model is not None and not self.transductive:
            weights = self.model.with_statistics(weights, support.x, support.mask)
        mean = carry.total / carry.step.clamp_min(1)
        if self.model is None:  # before the first step, where it starts
            mean = torch.where(carry.step > 0, mean, self.at_step(weights, support, carry.step))
        return Optimised(weights, mean)

    def predict(self, params: Params, adapted: Optimised, x: Tensor | dict[str, Tensor]) -> Tensor:
        """For a function: [1, 1] its mean value on the way."""
        if self.model is None:
            return adapted.mean.view(1, 1)
        return self.model.apply(adapted.weights, x)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        if self.model is not None:
            return super().loss(params, episode)
        carry = self.unroll(params, episode.support)
        return carry.loss, {"score": carry.total.detach() / self.inner_steps}

    def at_step(self, weights: Params, support: Batch, step: Tensor) -> Tensor:
        """The value at these weights, on the minibatch of that step."""
        if self.value is not None:
            assert isinstance(support.x, dict)
            return self.value(weights, support.x, random.fold(random.fold(_key(support), _MINIBATCHES), step))
        assert self.model is not None
        return self.objective(self.model.apply(weights, support.x, support.mask), support.y, support.mask)

    def _horizon(self, support: Batch) -> Tensor:
        number = random.bits(random.fold(_key(support), _HORIZON), (1,))[0]
        return self.shortest + number % (self.inner_steps - self.shortest + 1)

    def _read(self, slopes: Tensor, moments: States) -> tuple[Tensor, States]:
        """[n] gradients as [n, inputs], and the moments with them."""
        if self.preprocessing == "scale":
            return self.input_scale * slopes[:, None], moments
        if self.preprocessing == "log_sign":
            return torch.stack(log_and_sign(slopes, self.p), 1), moments
        means, squares, sums = moments[0]
        means = _moved(means, slopes, _MEANS)
        squares = _moved(squares, slopes.square(), _SQUARES)
        sums = _moved(sums, torch.ones_like(slopes), _MEANS + _SQUARES)
        root = (squares / sums[:, len(_MEANS) :] + _TINY**2).sqrt()
        read = torch.cat([slopes[:, None], means / sums[:, : len(_MEANS)]], 1) / root
        return read.clamp(-_LARGEST, _LARGEST), ((means, squares, sums),)


def _moved(means: Tensor, values: Tensor, decays: Sequence[float]) -> Tensor:
    """[n, decays] running means after the next [n] values."""
    return torch.stack([b * mean + (1 - b) * values for b, mean in zip(decays, means.unbind(1), strict=True)], 1)


def drawn(weights: Params, key: Tensor) -> Params:
    """Every entry one of those of its tensor, drawn with replacement: constants stay, others are mixed anew."""
    mixed = {}
    for i, (name, weight) in enumerate(weights.items()):
        places = random.bits(random.fold(key, i), (weight.numel(),)) % weight.numel()
        mixed[name] = weight.reshape(-1).index_select(0, places).view(weight.shape)
    return mixed


def _normalised(steps: Tensor, lengths: Tensor) -> Tensor:
    """[n] steps of one tensor, whose root mean square becomes the exponential of the mean of `lengths`."""
    return steps * torch.rsqrt(steps.square().mean() + _TINY) * lengths.mean().exp()


def _key(support: Batch) -> Tensor:
    assert support.key is not None
    return support.key


def log_and_sign(slopes: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """`(log|g| / p, sign g)` where `|g| >= e^-p`, and `(-1, e^p g)` below."""
    return slopes.abs().clamp_min(math.exp(-p)).log() / p, (math.exp(p) * slopes).clamp(-1, 1)
