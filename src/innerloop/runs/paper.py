"""A row of a table of reproductions: what a paper reports, how it measured that, and a training of ours beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from innerloop.core.context import Context
from innerloop.runs.build import build
from innerloop.runs.defaults import defaults
from innerloop.runs.measure import MetaTestOptions
from innerloop.runs.options import Options
from innerloop.runs.run import Run

Budget = Literal["cpu-hour", "paper"]
"""cpu-hour: a small training that fits a fraction of a processor hour. paper: the paper's own, which wants a GPU."""
Cell = tuple[int | None, int]
"""Ways (None: there are no classes) and shots."""

SIZES = ((5, 1), (5, 5), (20, 1), (20, 5))
"""Ways and shots that papers on Omniglot report."""
CPU_MINUTES = 2.0
"""Processor minutes of a small training: forty rows with three seeds are four hours, without the tests."""
FAIR_TASKS, FAIR_QUERIES, FAIR_POINTS = 600, 15, 100
"""Sizes of a test that is fair to all; queries are of a class, points of a curve."""


class Figure(NamedTuple):
    """A number that somebody reports."""

    value: float
    """In the unit that tables print: percent, or that of the score."""
    spread: float | None
    """What stands behind its plus-minus."""
    source: str
    """Who reports it, and where."""
    read_at: str | None
    """Where it was read; None: it is quoted from memory, was not looked up, and claims nothing."""

    @property
    def provenance(self) -> str:
        """The source, and how it is known."""
        return f"{self.source}: " + (
            "from memory, not looked up" if self.read_at is None else f"read in {self.read_at}"
        )

    def __str__(self) -> str:
        return f"{self.value:g}" if self.spread is None else f"{self.value:g} ± {self.spread:g}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The numbers of one source, by ways and shots."""

    source: str
    read_at: str | None = None
    numbers: Mapping[Cell, float | tuple[float, float]]
    """Values, or values with what stands behind their plus-minus."""

    def figure(self, cell: Cell) -> Figure | None:
        """The number of a cell; None: the source has none."""
        number = self.numbers.get(cell)
        if number is None:
            return None
        value, spread = number if isinstance(number, tuple) else (number, None)
        return Figure(value, spread, self.source, self.read_at)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a learner on some data, with so many ways and shots."""

    data: str
    method: str
    """How tables call it: the learner, or a variant of it such as fomaml."""
    ways: int | None
    shots: int
    small: Options
    """The training of the budget `cpu-hour`."""
    full: Options
    """The paper's training, as far as it is known and can be had here."""
    as_paper: MetaTestOptions
    """The test as the paper made it."""
    fair: MetaTestOptions
    """The test that is fair to all: inductive, 600 tasks, 15 queries a class (100 points of a curve)."""
    paper: Figure | None
    """None: the paper has no number of this row."""
    others: tuple[Figure, ...] = ()
    """What other reproductions report."""
    differs: str
    """What of the paper is otherwise here even at its own size."""

    @property
    def name(self) -> str:
        """Such as protonet-5w1s, or maml-10s where there are no classes."""
        return f"{self.method}-{'' if self.ways is None else f'{self.ways}w'}{self.shots}s"

    def options(self, budget: Budget, seed: int = 0, minutes: float | None = None) -> Options:
        """What is trained.

        Args:
            budget: Which of the two sizes.
            seed: Of the training.
            minutes: Processor minutes after which it ends; None: as the size has it.
        """
        options = self.small if budget == "cpu-hour" else self.full
        train = replace(options.train, seed=seed)
        return replace(options, train=train if minutes is None else replace(train, cpu_minutes=minutes))

    def run(self, budget: Budget, seed: int = 0, minutes: float | None = None, context: Context = Context()) -> Run:
        """The run of this row; arguments as of `options`, context and errors as of `build`."""
        run = build(self.options(budget, seed, minutes), context)
        # Probabilities are calibrated where a run is to be used.
        return replace(run, calibrate_on=None)

    def tests(self, most: int | None = None) -> dict[str, MetaTestOptions]:
        """Both tests, by `fair` and `paper`.

        Args:
            most: Tasks of a test at most; None: as many as each has.
        """
        tests = {"fair": self.fair, "paper": self.as_paper}
        if most is None:
            return tests
        return {name: replace(test, episodes=min(test.episodes or most, most)) for name, test in tests.items()}


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is otherwise than the defaults of a learner on some data."""

    task: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)

    def of(self, learner: str, data: str) -> Options:
        """The options with these changes; errors as of `defaults`."""
        usual = defaults(learner, data)
        return replace(
            usual,
            task=replace(usual.task, **self.task),
            fields=usual.fields | dict(self.fields),
            network=replace(usual.network, **self.network),
            train=replace(usual.train, **self.train),
        )

    def __or__(self, other: "Changes") -> "Changes":
        return Changes(
            task={**self.task, **other.task},
            fields={**self.fields, **other.fields},
            network={**self.network, **other.network},
            train={**self.train, **other.train},
        )


def unseen_tasks(queries: int, tasks: int, transductive: bool = False, steps: int | None = None) -> MetaTestOptions:
    """A test without baselines.

    Args:
        queries: Of each class; of a curve, points.
        tasks: How many.
        transductive: Whether predictions use the other queries' statistics.
        steps: Inner steps; None: those of the training.
    """
    return MetaTestOptions(
        queries=queries, episodes=tasks, transductive=transductive, steps=steps, baselines=False, curve=False
    )


def row(
    data: str,
    learner: str,
    cell: Cell,
    *,
    small: Changes,
    full: Changes,
    as_paper: MetaTestOptions,
    paper: tuple[Report, ...],
    others: tuple[Report, ...] = (),
    differs: str,
    method: str | None = None,
) -> Row:
    """A row from what differs from the defaults.

    Args:
        data: What it is trained and tested on.
        learner: Name in the catalogue.
        cell: Ways and shots of its tests.
        small: The training that fits a fraction of a processor hour; without steps of its own, `CPU_MINUTES` end it.
        full: The paper's training.
        as_paper: The paper's test.
        paper: The paper's numbers, as far as each report has them; the first that has one counts.
        others: Those of other reproductions.
        differs: What is otherwise than in the paper even at its size.
        method: How tables call it; None: as the learner.
    """
    ways, shots = cell
    size = Changes(task={"shots": shots} | ({} if ways is None else {"ways": ways}))
    whole = (size | full).of(learner, data)
    brief = Changes(train={"steps": whole.train.steps, "cpu_minutes": CPU_MINUTES, "schedule": "cosine"})
    reported, elsewhere = ([one for r in reports if (one := r.figure(cell)) is not None] for reports in (paper, others))
    return Row(
        data=data,
        method=method or learner,
        ways=ways,
        shots=shots,
        small=(size | brief | small).of(learner, data),
        full=whole,
        as_paper=as_paper,
        fair=unseen_tasks(FAIR_POINTS if ways is None else FAIR_QUERIES, FAIR_TASKS, steps=as_paper.steps),
        paper=reported[0] if reported else None,
        others=tuple(elsewhere),
        differs=differs,
    )
