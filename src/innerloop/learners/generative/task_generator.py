"""p(T), a generator of tasks in front of a learner: examples as in Wang et al., CVPR 2018, classes as in MLTI.

https://arxiv.org/abs/1801.05401, https://arxiv.org/abs/2106.02695. Adaptation is that of the learner behind it, on the
support and further examples of each class that the generator makes of it.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.learner import Adapted, Generative, Learner, Mixing
from innerloop.core.mixed_layers import MixedLayers
from innerloop.core.model import Model
from innerloop.core.objectives import membership
from innerloop.core.predictive import Predictive
from innerloop.core.prototypes import labels, ways
from innerloop.core.ranges import Natural, NotNegative, Positive, Share
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params, joined
from innerloop.core.wrapper import Wrapper

_PREFIX = "generator"
_TASK, _WEIGHT, _EXTRA, _SUPPORT, _QUERY = (n << 16 for n in range(0x7A5, 0x7A5 + 5))
"""Where the numbers of what is drawn begin, which are folded into a task's key."""


@dataclass(frozen=True, kw_only=True)
class TaskGenerator(Wrapper[Adapted]):
    """Any learner of classes, whose tasks a generator adds to; both are trained at once.

    A `share` of meta-training tasks consists of new classes alone, each between two of the task's own: all examples of
    support and query are made, or mixed on their way through the network. The others keep their examples, and only
    those are asked for.

    The generator is trained by its own loss on the tasks as they are drawn, and by the learner's through queries that
    are real. Rewarded for queries of its own it would make easy tasks, so in a task of new classes it is held constant.

    Parameters: the learner's by their names, and the generator's as `generator.*`. Made examples go by `support.key`,
    so the same support gives the same answers.
    """

    trains_on = ("episodes",)
    targets = ("classes",)
    queries_apart = False  # the generator is trained on all examples at once

    generator: Learner[Any]
    """Makes examples of classes, such as `VIML`."""
    extra: Natural = 2
    """Made examples of each class that the support gets besides its own, also at test."""
    share: Share = 0.3
    """How many tasks are of new classes; 0 asks nothing of the generator but to make examples."""
    beta: Positive = 2.0
    """The a of Beta(a, a), from which it is drawn how much of each class a new one is."""
    between: Literal["codes", "layers"] = "codes"
    """Where new classes lie between two: in the generator, which makes all of their examples, or in front of a random
    layer of the learner's network (`encoder` or `model`), where examples of the two are mixed, as MLTI has it."""
    likelihood: NotNegative = 1.0
    """What the generator's own loss is multiplied by; 0: it is trained by the learner's alone."""

    def __post_init__(self) -> None:
        name = type(self.generator).__name__
        if not isinstance(self.generator, Generative):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"{name} does not make examples: the generator must be a learner that does, such as VIML")
        if self._by_codes and not isinstance(self.generator, Mixing):
            raise InputError(f"{name} makes no classes between two others: take VIML, between='layers', or share=0")
        if self._by_layers and self._network is None:
            raise InputError(f"{type(self.learner).__name__} has no network to mix classes in: take between='codes'")

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.share and self.learner.exact_gradient and self.generator.exact_gradient

    @property
    def stochastic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.extra > 0 or self.learner.stochastic

    @property
    def incremental(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.extra and self.learner.incremental

    @property
    def weighs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.extra and self.learner.weighs

    @property
    def low_precision(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.generator.low_precision and self.learner.low_precision

    def init(self, seed: int) -> Params:
        inner = self.inner.init(seed)
        if any(name.startswith(f"{_PREFIX}.") for name in inner):
            raise InputError(f"parameters of {type(self.learner).__name__} are called {_PREFIX} already: rename them")
        return inner | tree.join(**{_PREFIX: self.generator.init(seed)})

    def adapt(self, params: Params, support: Batch) -> Adapted:
        if self.extra:
            psi = tree.part(params, _PREFIX)
            codes = self.generator.adapt(psi, support)
            made = self._made(psi, codes, _keys(support, (_EXTRA, self.extra)))
            support = _with_extra(support, made)
        return self.inner.adapt(_behind(params), support)

    def predict(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.inner.predict(_behind(params), adapted, x)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        psi = tree.part(params, _PREFIX)
        learner = self._mixing if self._by_layers else self.inner
        loss, metrics = learner.loss(_behind(params), self.enriched(psi, episode))
        if not self.likelihood:
            return loss, metrics
        own, about = self.generator.loss(psi, episode)
        about = {f"{_PREFIX}_{name}": value for name, value in (about | {"loss": own.detach()}).items()}
        return loss + self.likelihood * own, metrics | about

    def enriched(self, psi: Params, episode: Episode) -> Episode:
        """The task that the learner behind it is trained on.

        Args:
            psi: Parameters of the generator, by its own names.
            episode: As drawn.
        """
        support, query = episode
        codes, k = self.generator.adapt(psi, support), ways(support)
        drawn = self._drawn(support) if self.share else None
        if drawn is not None and self._by_codes:
            assert isinstance(self.generator, Mixing)
            codes = self.generator.mix(psi, codes, drawn.other, drawn.weight)
            counts = [-(-len(part.y) // k) for part in episode]
            keys = _keys(support, *zip((_SUPPORT, _QUERY), counts, strict=True))
            parts = self._made(stop(psi), stop(codes), keys).split(counts, 1)  # [ways, count, ...] each
            support, query = (_replaced(part, made, drawn.new) for part, made in zip(episode, parts, strict=True))
        if self.extra:
            made = self._made(psi, codes, _keys(support, (_EXTRA, self.extra)))
            support = _with_extra(support, made if drawn is None else torch.where(drawn.new, stop(made), made))
        if drawn is not None and self._by_layers:
            support, query = (_paired(part, drawn) for part in (support, query))
        return Episode(support, query)

    def reference_gradient(self, params: Params, episode: Episode) -> Params | None:
        return None

    def complete(self, params: Params, tasks: Any) -> Params:
        tasks = list(tasks)
        behind, psi = self.inner.complete(_behind(params), tasks), tree.part(params, _PREFIX)
        return behind | tree.join(**{_PREFIX: self.generator.complete(psi, tasks)})

    def annealed(self, progress: float) -> Self:
        return replace(self, learner=self.learner.annealed(progress), generator=self.generator.annealed(progress))

    def update(self, params: Params, adapted: Adapted, more: Batch) -> Adapted:
        return self.inner.update(_behind(params), adapted, more)

    def predictive(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Predictive:
        return self.inner.predictive(_behind(params), adapted, x)

    def _made(self, psi: Params, codes: Any, keys: Tensor) -> Tensor:
        """[ways, count, ...] an example of each class for each of [count] keys, whatever else is made with it."""
        generator = self.generator
        assert isinstance(generator, Generative)
        made = torch.vmap(lambda key: generator.generate(psi, codes, key, 1)[:, 0])(keys)  # [count, ways, ...]
        return made.transpose(0, 1)

    @property
    def _by_codes(self) -> bool:
        return self.share > 0 and self.between == "codes"

    @property
    def _by_layers(self) -> bool:
        return self.share > 0 and self.between == "layers"

    @property
    def _network(self) -> str | None:
        """The field of the learner whose network sees the examples."""
        return next((k for k in ("encoder", "model") if isinstance(getattr(self.learner, k, None), Model)), None)

    @functools.cached_property
    def _mixing(self) -> Learner[Adapted]:
        """The learner behind the generator, whose network takes pairs of rows."""
        name = str(self._network)
        return replace(self.inner, **{name: MixedLayers(network=getattr(self.learner, name))})

    def _drawn(self, support: Batch) -> "_Drawn":
        which, further, at = random.uniform(random.fold(key_of(support), _TASK), (3,), torch.float64).unbind(-1)
        present, new = _present(support), which < self.share
        k, own = len(present), torch.arange(len(present), device=present.device)
        other = (own + 1 + (further * (k - 1)).long()) % k  # one step for all: no two have the same two parents
        weight = random.symmetric_beta(_keys(support, (_WEIGHT, k)), self.beta)
        # A class without examples has nothing to give to another.
        return _Drawn(new, torch.where(present[other], other, own), torch.where(new, weight, 1.0), at)


class _Drawn(NamedTuple):
    """What is drawn of a task."""

    new: Tensor  # [] bool, whether it is of new classes
    other: Tensor  # [ways] with which class each is mixed
    weight: Tensor  # [ways] how much of it is its own; 1 unless the task is of new ones
    at: Tensor  # [] from 0 to 1, in front of which layer


def _keys(support: Batch, *parts: tuple[int, int]) -> Tensor:
    """[count] keys of a task, of parts that each begin at a number and have so many."""
    numbers = [torch.arange(first, first + count, device=support.y.device) for first, count in parts]
    return random.fold(key_of(support), torch.cat(numbers))


def _behind(params: Params) -> Params:
    """Parameters of the learner behind the generator."""
    return {name: value for name, value in params.items() if not name.startswith(f"{_PREFIX}.")}


def _present(support: Batch) -> Tensor:
    """[ways] bool, which classes have examples."""
    return membership(labels(support), ways(support), dtype=torch.bool).any(0)


def _with_extra(support: Batch, made: Tensor) -> Batch:
    """A support and [ways, extra, ...] further examples of its classes, except of those that it has none of."""
    assert isinstance(support.x, Tensor)
    each = made.shape[1]
    y = torch.arange(len(made), device=made.device).repeat_interleave(each)
    more = Batch(made.flatten(0, 1).to(support.x.dtype), y, _present(support).repeat_interleave(each))
    return joined(support._replace(weight=None), more)


def _places(y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """[n] how many rows of its class come before each, and [k] how many each class has."""
    member = membership(y, k, dtype=torch.int64)
    return ((member.cumsum(0) - 1) * member).sum(1), member.sum(0)


def _replaced(batch: Batch, made: Tensor, new: Tensor) -> Batch:
    """A batch in whose place [ways, count, ...] examples of the same classes are put where the task is of new ones.

    Where a class has more examples than `count` some come twice: no sampler's has.
    """
    assert isinstance(batch.x, Tensor)
    y = labels(batch)
    place = _places(y, len(made))[0] % made.shape[1]
    there = (new & (y >= 0)).view(-1, *[1] * (batch.x.dim() - 1))
    return batch._replace(x=torch.where(there, made[y.clamp_min(0), place].to(batch.x.dtype), batch.x))


def _paired(batch: Batch, drawn: _Drawn) -> Batch:
    """A batch whose rows go with rows of the other classes, to be mixed in front of a layer; see `MixedLayers`."""
    assert isinstance(batch.x, Tensor)
    y, other = labels(batch), drawn.other
    place, counts = _places(y, len(other))
    mine = y.clamp_min(0)
    match = (y == other[mine][:, None]) & (place == (place % counts[other][mine].clamp_min(1))[:, None])  # [n, n]
    weights = torch.where(match.any(1) & (y >= 0), drawn.weight[mine], 1.0).to(batch.x.dtype)
    x = {"x": batch.x, "other": batch.x[match.long().argmax(1)], "weight": weights, "at": drawn.at.expand(len(y))}
    return batch._replace(x=x)
