"""Streams by the names that `--stream` takes, with the options of each kind."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from innerloop.continual.features import featured
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.core.nearest import nearest
from innerloop.core.ranges import Checked, Count, NotNegative
from innerloop.problems.classes import Classes
from innerloop.tasks import datasets
from innerloop.tasks.class_stream import ClassStream
from innerloop.tasks.domain_stream import Change, DomainStream, Permuted, Rainbow, Rotated
from innerloop.tasks.joined import joined
from innerloop.tasks.pool import Pool
from innerloop.tasks.rotating import RotatingSubspace
from innerloop.tasks.rounds import SinusoidRounds
from innerloop.tasks.row_stream import RowStream
from innerloop.tasks.stream import Stream


@dataclass(frozen=True, kw_only=True)
class StreamOptions(Checked, abc.ABC):
    """What arrives, and in which order."""

    names: ClassVar[Mapping[str, str]] = {}
    """Names of streams of this kind, and what they are."""

    stream: str
    """Name of a stream, a data set with classes, or a folder with a sub-folder of pictures for each class."""
    batch_size: Count = 10
    """Rows that arrive together."""

    @abc.abstractmethod
    def open(self, seed: int, context: Context) -> Stream:
        """The stream that they describe.

        Args:
            seed: Of what is drawn.
            context: Where data sets lie.

        Raises:
            InputError: There are not as many rows or classes.
        """

    @property
    def of_features(self) -> bool:
        """Whether rows are features already, so that the usual network is a linear head."""
        return False

    def shuffled(self) -> "StreamOptions | None":
        """Those of the same rows in random order, without tasks; None: there is no such stream of this kind."""
        return None


@dataclass(frozen=True, kw_only=True)
class RowOptions(StreamOptions):
    """What arrives, and in which order."""

    order: Literal["tasks", "shuffled"] = "tasks"
    """tasks: one after another. shuffled: the same rows in random order, what could be reached without forgetting."""
    visits: Count = 1
    """How often every task comes, each time with other rows of its own."""
    boundaries: bool = True
    """Tell the learner where a task ends."""

    def shuffled(self) -> StreamOptions:
        return type(self)(**(vars(self) | {"order": "shuffled", "visits": 1}))

    @property
    def common(self) -> dict[str, Any]:
        """Fields of the stream that every kind has."""
        return {name: getattr(self, name) for name in ("batch_size", "order", "visits", "boundaries")}


@dataclass(frozen=True, kw_only=True)
class ClassOptions(RowOptions):
    """Classes that arrive one after another."""

    split: Literal["test", "validation", "train", "all"] | None = None
    """Which classes of a data set; None: those of its meta-test, which no shipped run has seen, and of a folder all."""
    split_scheme: str | None = None
    """How the classes are split, where a data set has several ways (omniglot: lake, vinyals, maml)."""
    classes: Count | None = None
    """How many arrive; None: all there are."""
    classes_per_task: Count = 1
    rows: Count | None = None
    """How many of each class arrive; None: all that are not held out."""
    held_out: Count = 5
    """How many of each class never arrive, on which it is measured."""
    features: str | None = None
    """Learn from features of the examples in their place: a run folder with an encoder, a shipped run, or a frozen
    encoder; `innerloop list` names them. None: from the examples themselves."""

    @property
    def of_features(self) -> bool:
        return self.features is not None

    def open(self, seed: int, context: Context) -> RowStream:
        pool = self._pool(context)
        if self.features is not None:
            pool = featured(pool, self.features, context)
        return ClassStream(
            pool=pool,
            seed=seed,
            classes=self.classes,
            classes_per_task=self.classes_per_task,
            rows=self.rows,
            held_out_rows=self.held_out,
            **self.common,
        )

    def _pool(self, context: Context) -> Pool:
        splits = datasets.load(self.stream, context, self.split_scheme)
        usual = "test" if self.stream.replace("_", "-") in datasets.names() else "all"
        split = self.split or usual
        pool = joined(splits) if split == "all" else splits.pools()[split]
        return pool.without_rotations()


@dataclass(frozen=True, kw_only=True)
class DigitOptions(RowOptions):
    """All ten digits in every task, which shows them otherwise than the others."""

    names = {  # noqa: RUF012
        "rotated-digits": "handwritten digits, 8 x 8, every task turned by another angle",
        "permuted-digits": "handwritten digits, every task with its pixels in another order",
        "rainbow-digits": "handwritten digits in 7 colours, 2 sizes and 4 rotations: 56 tasks",
    }

    tasks: Count | None = None
    """How many; None: 10, of rainbow-digits all 56."""
    rows: Count = 1300
    """How many arrive in a task, of the 1,797 less those that are held out."""
    held_out: Count = 497
    """How many never arrive in any task, on which all are measured."""

    def open(self, seed: int, context: Context) -> RowStream:
        return DomainStream(
            pool=joined(datasets.load("digits", context)),
            seed=seed,
            change=self._change(seed),
            rows=self.rows,
            held_out_rows=self.held_out,
            **self.common,
        )

    def _change(self, seed: int) -> Change:
        if self.stream == "rainbow-digits":
            return Rainbow(order_seed=seed, first=self.tasks)
        tasks = 10 if self.tasks is None else self.tasks
        return (
            Rotated(angles=tasks) if self.stream == "rotated-digits" else Permuted(permutations=tasks, order_seed=seed)
        )


@dataclass(frozen=True, kw_only=True)
class SinusoidOptions(StreamOptions):
    """Sinusoids, one after another, each to be learned anew from its points."""

    names = {"sinusoids": "regressions, every round another sinusoid"}  # noqa: RUF012

    rounds: Count = 60
    """How many sinusoids arrive."""
    points: Count = 10
    """Points of each, which the batch size divides. It is measured on 100 others."""

    def open(self, seed: int, context: Context) -> Stream:
        return SinusoidRounds(seed=seed, batch_size=self.batch_size, rounds=self.rounds, points=self.points)


@dataclass(frozen=True, kw_only=True)
class RotatingOptions(StreamOptions):
    """Linear regressions, one after another, whose weights lie in a subspace that slowly turns."""

    names = {"rotating": "linear regressions, every round another one, of a subspace that turns"}  # noqa: RUF012

    batch_size: Count = 25
    """Rows of a round, which arrive together. It is measured on 100 others, without noise."""
    rounds: Count = 300
    """How many regressions arrive."""
    input_size: Count = 50
    """Numbers of an input."""
    dimensions: Count = 3
    """Dimensions of the subspace."""
    degrees: NotNegative = 0.5
    """By which it turns from a round to the next: the largest principal angle."""
    noise: NotNegative = 0.0
    """Standard deviation of what is added to every target."""

    @property
    def of_features(self) -> bool:
        return True

    def open(self, seed: int, context: Context) -> Stream:
        return RotatingSubspace(
            seed=seed,
            batch_size=self.batch_size,
            rounds=self.rounds,
            inputs=self.input_size,
            rank=self.dimensions,
            degrees=self.degrees,
            noise=self.noise,
        )


KINDS: tuple[type[StreamOptions], ...] = (DigitOptions, SinusoidOptions, RotatingOptions, ClassOptions)
"""The last takes every data set of classes, and folders."""


def kind_of(stream: str) -> type[StreamOptions]:
    """The kind of a stream by its name or path.

    Raises:
        InputError: There is none.
    """
    for kind in KINDS:
        if stream in kind.names:
            return kind
    if Classes.claims(stream) or is_folder(expanded(stream)) or is_file(expanded(stream)):
        return ClassOptions
    known = names()
    raise InputError(
        f"there is no stream and no folder '{stream}'{nearest(stream, known)}. Streams: {', '.join(known)}"
    )


def names() -> dict[str, str]:
    """Names that `--stream` takes, and what they are."""
    own = {name: about for kind in KINDS for name, about in kind.names.items()}
    return own | {name: f"classes one after another: {about}" for name, about in Classes.data_sets().items()}


def of_record(entries: Mapping[str, Any]) -> StreamOptions:
    """The options that a run's record keeps.

    Raises:
        InputError: They are damaged, or of another release.
    """
    try:
        return kind_of(entries["stream"])(**entries)
    except (TypeError, LookupError) as error:
        raise InputError(f"the config.json of this run is damaged: its stream is {entries!r:.80} ({error})") from error
