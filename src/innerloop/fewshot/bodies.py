"""What can be tuned of a source: the last blocks of an encoder, or the encoder of a run.

Encoders learn from pairs of examples, near if they are of one class, as in SetFit (Tunstall et al. 2022,
https://arxiv.org/abs/2209.11055). An example is compared with all others at once, which are kept as they were seen
last (Wang et al. 2020, https://arxiv.org/abs/1912.06798), by the loss of Khosla et al. 2020
(https://arxiv.org/abs/2004.11362). A run learns from episodes of the support, as it was trained.

Everything is a function of the examples and of how many steps are taken.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor

from innerloop.core.dry_run import support
from innerloop.core.errors import InputError
from innerloop.core.learner import EpisodicClassifier
from innerloop.core.model import Model
from innerloop.core.objectives import normalize
from innerloop.core.types import Episode, Params
from innerloop.encoders.base import Tunable
from innerloop.encoders.replay import Replay
from innerloop.encoders.tuned import Tuned
from innerloop.fewshot import class_names
from innerloop.fewshot.class_names import Named
from innerloop.fewshot.rows import floats
from innerloop.fewshot.sources import Source
from innerloop.fewshot.task import Task

PASSES, LEAST = 3, 40
"""Times that every example is learned from, where there is time, and the steps that few examples take at least."""
_BATCH, _CHUNK = 32, 64
_RATE, _DECAY, _TEMPERATURE = 3e-4, 0.01, 0.1
"""Rate and decay of AdamW, temperature of the pairs; with `PASSES` chosen on training sentences of BANKING77 alone."""
_EPISODES, _RUN_RATE, _WAYS = 60, 3e-4, 20
"""Episodes that a run is tuned on, its rate, and the most classes in an episode."""
_TIMED = 6
"""Steps that are timed."""
_WARM, _LAST = 0.1, 0.02
"""Share of the steps in which the rate rises, and of it that is left at the end."""


class Late(Exception):
    """The time is over."""


class Clock:
    """What is left of the time.

    Args:
        deadline: When it is over, as `time.monotonic` counts.
    """

    def __init__(self, deadline: float):
        self._deadline = deadline
        self.seen: list[float] = []

    def look(self) -> None:
        """Note the time.

        Raises:
            Late: It is over.
        """
        self.seen.append(time.monotonic())
        if self.seen[-1] > self._deadline:
            raise Late


class Body(Protocol):
    """What is tuned."""

    def steps(self, count: int) -> int:
        """That tuning to so many examples takes where there is time."""
        ...

    def learned(self, places: list[int], steps: int, clock: Clock) -> Params:
        """The weights after so many steps on some of the examples; `clock` is looked at before each.

        Raises:
            Late: The time is over before.
        """
        ...

    def source(self, weights: Params) -> Source:
        """The source with these weights."""
        ...

    def seen(self, weights: Params) -> tuple[Tensor, Named | None]:
        """[n, ...] float32 rows of all examples, in the order of the task, and those of names, with these weights."""
        ...


class LastBlocks:
    """An encoder.

    Args:
        task: With the encoder as it comes.
        examples: As the encoder takes them, in the order of the task's rows.
        clock: Looked at before each of them.

    Raises:
        InputError: It cannot be tuned.
        Late: The time is over before all examples were seen.
    """

    def __init__(self, task: Task, examples: Any, clock: Clock):
        source = task.source
        if isinstance(source.encoder, Tuned):
            raise InputError(f"the encoder was tuned to other examples: begin with '{source.name}' as it comes")
        if not isinstance(source.encoder, Tunable):
            raise InputError(
                f"'{source.name}' cannot be tuned, since it is no network of torch: leave tune_encoder out, or take "
                "minilm, efficientnet-lite0, an hf: model or a network of your own"
            )
        named = task.named if task.use is not None and task.use.used else None
        # Labels of names are texts: `completed` takes no others.
        texts = [] if named is None else [class_names.text(str(label), source.descriptions) for label in named.labels]
        self._source, self._named, self._count = source, named, len(task.rows)
        whose = [] if named is None else [task.classes.index(label) for label in named.labels]
        self._y = torch.cat([classes_of(task), torch.tensor(whose, dtype=torch.long)])
        self._replay = Replay(source.encoder, [*examples, *texts] if texts else examples, clock.look)
        self._first = self._all(self._replay.network()[0])

    def steps(self, count: int) -> int:
        return max(LEAST, PASSES * -(-(count + len(self._y) - self._count) // _BATCH))

    def learned(self, places: list[int], steps: int, clock: Clock) -> Params:
        chosen = [*places, *range(self._count, len(self._y))]  # names stay
        network, weights = self._replay.network()
        y, bank = self._y[chosen], normalize(self._first[chosen])
        optimizer = torch.optim.AdamW(weights.values(), lr=_RATE, weight_decay=_DECAY)
        for rate, part in zip(_rates(_RATE, steps), _batches(len(chosen)), strict=False):
            clock.look()
            with torch.enable_grad():
                z = normalize(self._replay.rows(network, [chosen[i] for i in part]))
                loss = _pairs(z, bank, part, y)
            _step(optimizer, loss, rate)
            bank[part] = z.detach()
        return {name: value.detach() for name, value in weights.items() if value.grad is not None}

    def source(self, weights: Params) -> Source:
        assert self._source.encoder is not None
        return replace(self._source, encoder=Tuned(self._source.encoder, weights))

    def seen(self, weights: Params) -> tuple[Tensor, Named | None]:
        own = dict(self._replay.network()[1])
        network, _ = self._replay.network({name: weights.get(name, value.detach()) for name, value in own.items()})
        rows = self._all(network)
        named = None if self._named is None else Named(self._named.labels, rows[self._count :])
        return rows[: self._count], named

    @torch.no_grad()
    def _all(self, network: Any) -> Tensor:
        places = torch.arange(len(self._y)).split(_CHUNK)
        return torch.cat([self._replay.rows(network, part.tolist()).float() for part in places])


class OwnEncoder:
    """The encoder of a run, with whatever else it meta-learned.

    Args:
        task: Of the run.

    Raises:
        InputError: It has none, or does not learn by its features alone.
    """

    def __init__(self, task: Task):
        source = task.source
        encoder = getattr(source.learner, "encoder", None)
        if not isinstance(encoder, Model) or not isinstance(source.learner, EpisodicClassifier):
            raise InputError(
                f"'{source.name}' has no encoder that could be tuned ({type(source.learner).__name__}): leave "
                "tune_encoder out, or take a frozen encoder or a run of a metric learner such as protonet"
            )
        self._source, self._rows, self._y = source, floats(task.rows), classes_of(task)

    def steps(self, count: int) -> int:
        return _EPISODES

    def learned(self, places: list[int], steps: int, clock: Clock) -> Params:
        params = {name: value.detach().clone().requires_grad_(True) for name, value in self._source.params.items()}
        optimizer = torch.optim.AdamW(params.values(), lr=_RUN_RATE, weight_decay=_DECAY)
        x, y = self._rows[places], self._y[places]
        g = torch.Generator().manual_seed(0)
        for rate in _rates(_RUN_RATE, steps):
            clock.look()
            with torch.enable_grad():
                loss, _ = self._source.learner.loss(params, _episode(x, y, g))
            _step(optimizer, loss, rate)
        return {name: value.detach() for name, value in params.items()}

    def source(self, weights: Params) -> Source:
        return replace(self._source, params=weights)

    def seen(self, weights: Params) -> tuple[Tensor, Named | None]:
        return self._rows, None


def seconds_of_a_step(body: Body, places: list[int], deadline: float) -> float:
    """How long a step takes, by the median of a few."""
    clock = Clock(deadline)
    body.learned(places, _TIMED + 1, clock)
    return median(after - before for before, after in itertools.pairwise(clock.seen))


def classes_of(task: Task) -> Tensor:
    """[n] the classes of all rows of a task, of which each has one, 0 to ways - 1."""
    y = torch.zeros(len(task.rows), dtype=torch.long)
    for i, rows in enumerate(task.history.members().values()):
        y[list(rows)] = i
    return y


def _pairs(z: Tensor, bank: Tensor, part: Tensor, y: Tensor) -> Tensor:
    """How far those of one class are from being each other's nearest, of the pairs of some with all others.

    Args:
        z: [b, d] directions of some, with gradients.
        bank: [n, d] of all, as they were seen last.
        part: [b] which they are.
        y: [n] classes.
    """
    itself = torch.zeros(len(part), len(bank), dtype=torch.bool)
    itself[torch.arange(len(part)), part] = True
    alike = (y[part][:, None] == y) & ~itself
    logits = (z @ bank.index_put((part,), z).T / _TEMPERATURE).masked_fill(itself, torch.finfo(z.dtype).min)
    share = logits - logits.logsumexp(1, keepdim=True)
    # Of a class with one example there is no pair.
    return -(share.masked_fill(~alike, 0).sum(1) / alike.sum(1).clamp_min(1)).mean()


def _episode(x: Tensor, y: Tensor, g: torch.Generator) -> Episode:
    """Some of the classes, about half of the examples of each as the query; single ones are learned from alone."""
    present = y.unique()
    chosen = present[torch.randperm(len(present), generator=g)[:_WAYS]].tolist()
    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    for label in chosen:
        places = (y == label).nonzero()[:, 0]
        places = places[torch.randperm(len(places), generator=g)]
        half = len(places) - len(places) // 2
        rows[0].append(places[:half])
        rows[1].append(places[half:])
    place = {label: i for i, label in enumerate(chosen)}
    batches = []
    for part in map(torch.cat, rows):
        labels = torch.tensor([place[int(label)] for label in y[part]], dtype=torch.long)
        batches.append(support(x[part], labels, len(chosen)))
    return Episode(*batches)


def _batches(count: int) -> Iterator[Tensor]:
    g = torch.Generator().manual_seed(0)
    while True:
        yield from torch.randperm(count, generator=g).split(_BATCH)


def _rates(rate: float, steps: int) -> Iterator[float]:
    for step in range(steps):
        yield rate * min((step + 1) / max(_WARM * steps, 1), max(_LAST, 1 - step / steps))


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def of(task: Task, examples: Any, clock: Clock) -> Body:
    """What is tuned of a task's source.

    Raises:
        InputError: Nothing can be.
        Late: The time is over.
    """
    return OwnEncoder(task) if task.source.head is None else LastBlocks(task, examples, clock)
