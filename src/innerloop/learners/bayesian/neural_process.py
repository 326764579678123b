"""Neural processes: Garnelo et al. 2018, https://arxiv.org/abs/1807.01613 and https://arxiv.org/abs/1807.01622.

With attention: Kim et al., ICLR 2019, https://arxiv.org/abs/1901.05761. Adaptation is one pass over the support: every
example is encoded with its target, and their mean (or what a query looks up among them) says which function it is.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.config import LATER
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.networks import INPUTS, OUTPUTS, Parts, Rows, Size, role
from innerloop.core.objectives import mean, weights
from innerloop.core.predictive import Predictive, mean_outputs, normal_surprise
from innerloop.core.ranges import Count, Within
from innerloop.core.scores import MeanSquaredError, measured
from innerloop.core.sensible import RATINGS, Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params, joined

_UNITS = 128
_ANSWERS, _TRAINING = 1, 2
"""Keys of the samples that answer, and of the one that is trained with."""


class Gaussian(NamedTuple):
    """Independent normal entries."""

    mean: Tensor
    std: Tensor


class Known(NamedTuple):
    """What is known of a function; None: of a path that the learner does not have."""

    values: Tensor | None
    """[n, d] of every example, with attention; else [1, d] their mean."""
    keys: Tensor | None
    """[n, k] what a query compares itself with, with attention."""
    rows: Tensor
    """[n] bool, which examples are real."""
    latents: Tensor | None
    """[m, z] samples of the latent."""


@dataclass(frozen=True, kw_only=True)
class NeuralProcess(Learner[Known]):
    """Outputs are means of targets; `predictive` has their deviations, and a member for each sample of the latent.

    Without a support the deterministic path knows nothing (zeros), and the latent has its prior, a standard normal.
    A single example is enough for either: deviations are what networks say, not the spread of the examples. What such
    answers are worth depends on whether training had such tasks. Parameters: those of each network under its name.
    """

    trains_on = ("episodes",)
    targets = ("values",)
    probabilistic = True
    queries_apart = False
    sensible = by_kind(
        curves=Sensible(
            task={"shots": 10, "fewest_shots": 3, "queries": 20},
            train={"steps": 10_000, "meta_batch_size": 64, "meta_lr": 1e-3, "clip": 10.0},
        ),
        regression=Sensible(train={"meta_batch_size": 64, "meta_lr": 1e-3, "clip": 10.0}),
        completion=Sensible(train={"steps": 5_000, "meta_batch_size": 16, "meta_lr": 1e-3, "clip": 10.0}),
        # The mean of a few ratings says little of what else is liked: who asks looks for those that are near.
        ratings=replace(RATINGS, fields={"attention": True}),
    )

    path: Literal["deterministic", "latent", "both"] = "deterministic"
    """deterministic: conditional neural processes. latent: neural processes, a random variable for the whole function.
    both: as Kim et al."""
    attention: bool = False
    """Whether a query looks up examples near it, on the deterministic path, instead of taking their mean."""
    heads: Count = 8
    """Parts of keys and values that look up by themselves, in attention."""
    members: Count = 10
    """Samples of the latent that answer."""
    floor: Annotated[float, Within(0, 1, above=True, below=True)] = 0.1
    """The least deviation of a target."""
    reader: Model | None = field(default=None, metadata={**LATER, **role(Parts())})
    """x, where it has several parts -> rows [n, d], which everything else takes in its place; None: x is one tensor."""
    encoder: Model | None = field(
        default=None, metadata=role(Rows((INPUTS, OUTPUTS), _UNITS, (_UNITS, _UNITS), unless={"path": "latent"}))
    )
    """x and y of an example side by side -> [n, d], for the deterministic path."""
    keys: Model | None = field(default=None, metadata=role(Rows(INPUTS, _UNITS, (_UNITS,), when={"attention": True})))
    """x -> [n, k], of examples and queries, for attention."""
    latent: Model | None = field(
        default=None, metadata=role(Rows((INPUTS, OUTPUTS), _UNITS, (_UNITS, _UNITS), unless={"path": "deterministic"}))
    )
    """As `encoder`, for the latent path."""
    posterior: Model | None = field(
        default=None,
        metadata=role(Rows(Size("latent"), 2 * Size("latent"), (_UNITS,), unless={"path": "deterministic"})),
    )
    """The mean of what `latent` gives -> [1, 2 z], means of the latent's entries and what their deviations are of."""
    decoder: Model = field(
        metadata=role(Rows((INPUTS, Size("encoder"), Size("latent")), 2 * OUTPUTS, (_UNITS, _UNITS, _UNITS)))
    )
    """x, what is known there, and a sample of the latent, side by side -> [n, 2 outputs], means and what deviations
    are of."""

    def __post_init__(self) -> None:
        if self.attention and self.path == "latent":
            raise InputError("attention is over the deterministic path: take path='both', or leave out attention")
        needed = {"encoder": self.deterministic, "keys": self.attention}
        needed |= {"latent": self.stochastic, "posterior": self.stochastic}
        missing = [name for name, need in needed.items() if need and getattr(self, name) is None]
        if missing:
            raise InputError(f"path='{self.path}', attention={self.attention} needs the network {missing[0]}")

    @property
    def deterministic(self) -> bool:
        """Whether there is a deterministic path."""
        return self.path != "latent"

    @property
    def stochastic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.path != "deterministic"

    def init(self, seed: int) -> Params:
        networks = self._networks()
        # A decoder's would take their statistics from the queries, whose answers would then depend on one another.
        normed = [name for name, network in networks.items() if network.norm_weights()]
        if normed:
            raise InputError(f"networks of a neural process have no batch norms, and {normed[0]} has: take layer norms")
        return tree.join(**{name: network.init(seed) for name, network in networks.items()})

    def adapt(self, params: Params, support: Batch) -> Known:
        known = self._known(params, support)
        if not self.stochastic:
            return known
        return known._replace(latents=_samples(self._latent(params, support), support, _ANSWERS, self.members))

    def predict(self, params: Params, adapted: Known, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mean_outputs(self.predictive(params, adapted, x).outputs)

    def predictive(self, params: Params, adapted: Known, x: Tensor | dict[str, Tensor]) -> Predictive:
        x = self._rows(params, x)
        parts = [x]
        if self.deterministic:
            parts.append(self._looked_up(params, adapted, x))
        seen = torch.cat(parts, -1)[None]  # [1, n, ...]
        if adapted.latents is not None:
            m, n = len(adapted.latents), len(x)
            seen = torch.cat([seen.expand(m, -1, -1), adapted.latents[:, None].expand(-1, n, -1)], -1)
        outputs = self.decoder.apply(tree.part(params, "decoder"), seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        means, raw = outputs.chunk(2, -1)  # [m, n, d]
        return Predictive(means, self.floor + (1 - self.floor) * torch.nn.functional.softplus(raw))

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """Negative log-likelihood of support and query, mean over their rows.

        With a latent, it is a bound: the latent is drawn having seen both, and that is paid for by its divergence from
        what the support alone says of it.
        """
        support, query = episode
        both = joined(support, query)
        rows, known = weights(both.y, both.mask), self._known(params, support)
        price, metrics = both.y.new_zeros(()), {}
        if self.stochastic:
            informed = self._latent(params, both)
            known = known._replace(latents=_samples(informed, support, _TRAINING, 1))
            price = _divergence(informed, self._latent(params, support))
            metrics = {"divergence": price.detach()}
        predictive = self.predictive(params, known, both.x)
        assert predictive.std is not None
        outputs, std = predictive.outputs[0], predictive.std[0]
        loss = mean(normal_surprise(both.y, outputs, std).sum(-1), rows) + price / rows.sum().clamp_min(1)
        score = measured(MeanSquaredError(), outputs[len(support.y) :], query)[0]
        return loss, {"score": score, **metrics}

    def _networks(self) -> dict[str, Model]:
        """Those that the path has use for, by name."""
        networks: dict[str, Model | None] = {"reader": self.reader}
        networks |= {"encoder": self.encoder} if self.deterministic else {}
        networks |= {"keys": self.keys} if self.attention else {}
        networks |= {"latent": self.latent, "posterior": self.posterior} if self.stochastic else {}
        return {name: network for name, network in {**networks, "decoder": self.decoder}.items() if network is not None}

    def _rows(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        """Inputs as rows, [n, inputs]."""
        if self.reader is not None:
            return self.reader.apply(tree.part(params, "reader"), x)
        if isinstance(x, dict):
            raise InputError(
                f"a neural process takes inputs of several parts ({', '.join(x)}) by a reader: give it one"
            )
        return x.flatten(1)

    def _known(self, params: Params, support: Batch) -> Known:
        """What the deterministic path takes from a support."""
        x, rows = self._rows(params, support.x), weights(support.y, support.mask)
        values = keys = None
        if self.encoder is not None and self.deterministic:
            values = self.encoder.apply(tree.part(params, "encoder"), _examples(x, support), rows)
            values = values if self.attention else _mean(values, rows)
        if self.keys is not None and self.attention:
            keys = self.keys.apply(tree.part(params, "keys"), x, rows)
        return Known(values, keys, rows, None)

    def _looked_up(self, params: Params, known: Known, x: Tensor) -> Tensor:
        """[n, d] what the deterministic path knows at every query."""
        assert known.values is not None
        if self.keys is None or known.keys is None:
            return known.values.expand(len(x), -1)
        return attend(self.keys.apply(tree.part(params, "keys"), x), known.keys, known.values, known.rows, self.heads)

    def _latent(self, params: Params, batch: Batch) -> Gaussian:
        """What some examples say of the latent; of none, the prior."""
        assert self.latent is not None and self.posterior is not None
        x, rows = self._rows(params, batch.x), weights(batch.y, batch.mask)
        features = _mean(self.latent.apply(tree.part(params, "latent"), _examples(x, batch), rows), rows)
        centre, raw = self.posterior.apply(tree.part(params, "posterior"), features)[0].chunk(2)
        some = rows.any()
        return Gaussian(torch.where(some, centre, 0.0), torch.where(some, 0.1 + 0.9 * torch.sigmoid(raw), 1.0))


def attend(queries: Tensor, keys: Tensor, values: Tensor, rows: Tensor, heads: int) -> Tensor:
    """[n, d] values of the rows that count, by how like their keys are to each query: dot products, softmax by head.

    In plain operators, so that it may be differentiated twice. Where no row counts, it is 0.

    Args:
        queries: [n, k].
        keys: [r, k].
        values: [r, d].
        rows: [r] bool.
        heads: Into how many parts keys and values are cut.

    Raises:
        InputError: They cannot be cut into so many.
    """
    if keys.shape[-1] % heads or values.shape[-1] % heads:
        raise InputError(
            f"{heads} heads cut keys of length {keys.shape[-1]} and values of length {values.shape[-1]} into equal "
            "parts: give another number of heads, or networks with such outputs"
        )
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in (queries, keys, values))  # [heads, ...]
    likeness = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # [heads, n, r]
    likeness = likeness.masked_fill(~rows, torch.finfo(likeness.dtype).min)
    shares = torch.softmax(likeness, -1) * rows.to(values.dtype)
    return (shares @ v).transpose(0, 1).flatten(1)


def _examples(x: Tensor, batch: Batch) -> Tensor:
    """Inputs and targets side by side, [n, inputs + outputs]."""
    if not batch.y.is_floating_point() or batch.y.ndim != 2:
        raise InputError(
            "a neural process learns values: y must be [n, d] floating-point targets, got "
            f"{str(batch.y.dtype).removeprefix('torch.')} {list(batch.y.shape)}; to tell classes apart, take protonet"
        )
    return torch.cat([x, batch.y], -1)


def _mean(features: Tensor, rows: Tensor) -> Tensor:
    """[1, d] over the rows that count; 0 where there are none."""
    counted = rows.to(features.dtype)
    return (counted @ features / counted.sum().clamp_min(1))[None]


def _samples(latent: Gaussian, support: Batch, use: int, count: int) -> Tensor:
    """[count, z], from the support's key alone."""
    drawn = random.normal(random.fold(key_of(support), use), (count, *latent.mean.shape), latent.mean.dtype)
    return latent.mean + latent.std * drawn


def _divergence(a: Gaussian, b: Gaussian) -> Tensor:
    """KL(a || b), in nats."""
    ratio = (a.std / b.std).square()
    return 0.5 * (ratio + ((a.mean - b.mean) / b.std).square() - 1 - ratio.log()).sum()
