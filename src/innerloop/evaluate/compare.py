"""Results side by side, on the same episodes or not at all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from innerloop.core import notebook
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.evaluate.groups import Group
from innerloop.evaluate.learning import Learning
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.result import ONE_TRAINING, Result, finite, spell

T = TypeVar("T")
SAME = "test both with one sampler, number of episodes and mode"
COSTS = (
    "time: to adapt to a task and answer its queries, a thread for each task; memory: the most that tensors take "
    "at once meanwhile, without the parameters and the task itself"
)

SEEDS = (
    "of several seeds, ± is over tasks for the mean of these trainings, and differences are paired task by task; "
    "between seeds: the standard deviation of the trainings' means, with the lowest and the highest; ± over seeds: how "
    "far other seeds may move the difference (Welch, 95%)"
)
LUCK = (
    "p (Holm): probability of such a difference to the first row by luck alone, over tasks or over seeds, whichever is "
    "larger, corrected for the number of rows (Holm 1979); *: below 5%, all of which hold together"
)
CURVES = (
    "validation: of the parameters of that moment, ± is the standard deviation between seeds; seconds are of a "
    "processor, on all threads together, with validations and the choice of a plan; a run that has ended keeps its last"
)


class Cost(NamedTuple):
    """What a row takes."""

    learner: str
    """Class of the learner, where the row is named after something else."""
    parameters: int
    """Numbers that were meta-trained."""
    memory: int
    """Bytes a task, see `peak_memory`."""


class Row(NamedTuple):
    """One result, and how far it is from the first."""

    result: Result
    difference: Interval | None
    """Paired with the first result, task by task; None for the first itself."""
    cost: Cost | None = None
    """None where only the result is known."""
    stored: bool = False
    """Whether the result, with its time, is from an earlier test."""
    warning: str | None = None
    """What must be said beside a result that is not of its run as it is now, see `evaluate.kept`."""
    beside: tuple[Result, ...] = ()
    """The same learner on the same tasks under other scores."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Learner, number, difference, and the numbers of other scores, as tables print them."""
        score = self.result.protocol.score
        return (
            self.result.learner,
            self.result.number,
            "" if self.difference is None else spell(*self.difference, score, True),
            *(other.number.removesuffix(f" {other.protocol.score.title}") for other in self.beside),
        )

    @property
    def costs(self) -> tuple[str, str, str]:
        """Milliseconds (with a star if measured earlier) and megabytes a task, and parameters."""
        time = f"{1000 * self.result.seconds_per_task:.1f}{'*' * self.stored}"
        if self.cost is None:
            return time, "–", "–"
        return time, f"{self.cost.memory / 1e6:.1f}", f"{self.cost.parameters:,}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of the episodes."""
        result = self.result
        gap = None if self.difference is None else {k: finite(v) for k, v in self.difference._asdict().items()}
        row: dict[str, Any] = {"name": result.learner, "mean": finite(result.mean), "ci95": finite(result.ci95)}
        row |= {"difference": gap}
        if self.beside:
            row["beside"] = {one.protocol.metric: [finite(one.mean), finite(one.ci95)] for one in self.beside}
        row |= {"adaptation_steps": result.protocol.adaptation_steps, "seconds_per_task": result.seconds_per_task}
        if self.cost is not None:
            row |= {"learner": self.cost.learner, "parameters": self.cost.parameters}
            row |= {"memory_per_task_bytes": self.cost.memory}
        return row | {"stored": self.stored, "baseline": result.baseline, "warning": self.warning}


@dataclass(frozen=True)
class Comparison:
    """A table whose rows were measured under one protocol."""

    protocol: Protocol
    rows: tuple[Row, ...]
    groups: tuple[Group, ...] = ()
    """The same results, with those that differ in the seed of their training alone as one."""
    by_seed: bool = False
    """Whether groups are what was asked for, not runs."""
    learning: Learning | None = None
    """How groups learned, where that was asked for and logged."""

    @property
    def seeded(self) -> bool:
        """Whether some learner was trained with several seeds."""
        return any(len(group.results) > 1 for group in self.groups)

    @property
    def step_name(self) -> str:
        """What a step of adaptation is in this table, of the rows which have any; where they differ, just a step."""
        names = {row.result.step_name for row in self.rows if row.result.protocol.adaptation_steps is not None}
        return "step" if len(names) > 1 else next(iter(names), self.rows[0].result.step_name)

    @property
    def costed(self) -> bool:
        """Whether there is more to say of the rows than their numbers."""
        return any(row.cost is not None for row in self.rows)

    @property
    def notes(self) -> str:
        """How it was measured, and what must be said of rows, a line each."""
        intervals = f"± is a 95% interval over episodes; differences are paired; {ONE_TRAINING}"
        lines = [f"{self.rows[0].result.conditions}; {intervals}"]
        if self.seeded:
            lines += [SEEDS]
        if self.by_seed:
            lines += [LUCK]
            alone = [group.name for group in self.groups if group.runs and len(group.results) == 1]
            if alone:
                lines += [f"of one seed, so that nothing is known of others: {', '.join(alone)}"]
        if self.learning is not None:
            lines += [CURVES, *self.learning.notes]
        if self.costed:
            lines += [f"{COSTS}{'; *: measured earlier' if any(row.stored for row in self.rows) else ''}"]
        return "\n".join([*lines, *(f"attention: {row.warning}" for row in self.rows if row.warning)])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [row.to_json() for row in self.rows]
        about = {"hash": self.protocol.hash, "protocol": self.protocol.to_json(), "rows": rows, "measured": self.notes}
        about |= {"groups": [group.to_json() for group in self.groups]} if self.seeded else {}
        return about | ({"learning": self.learning.to_json()} if self.learning is not None else {})

    def __str__(self) -> str:
        tables = "\n\n".join(map(aligned, self.tables))
        return f"{tables}\n{self.notes}" if not self.by_seed else f"{tables}\n\n{self.notes}"

    def _repr_html_(self) -> str:
        return notebook.shown(self.notes, *self.tables)

    @property
    def tables(self) -> list[Sequence[Sequence[str]]]:
        """What it prints, as cells: runs; with several seeds what they make together, and how they learned."""
        if not self.seeded:
            return [self._of_runs()]
        heads = ("learner", "seeds", self.protocol.score.title, "between seeds", f"against {self.groups[0].name}")
        if not self.by_seed:
            return [[heads, *(group.cells for group in self.groups)], self._of_runs()]
        return [[(*heads, "p (Holm)"), *((*group.cells, group.verdict) for group in self.groups)], *self.curves]

    @property
    def curves(self) -> list[list[list[str]]]:
        """Tables of the learning curves: by steps, by processor seconds."""
        curves_of = self.learning
        if curves_of is None:
            return []
        by = ((False, curves_of.by_steps), (True, curves_of.by_seconds))
        return [curves_of.table(seconds) for seconds, curves in by if curves]

    def _of_runs(self) -> list[Sequence[str]]:
        first = self.rows[0].result.learner
        others = (one.protocol.score.title for one in self.rows[0].beside)
        heads = ("learner", self.protocol.score.title, f"against {first}", *others)
        cells: list[Sequence[str]] = [heads, *(row.cells for row in self.rows)]
        if self.costed:
            heads = [("learner", "ms a task", "MB a task", "parameters")]
            more = heads + [("" if row.cost is None else row.cost.learner, *row.costs) for row in self.rows]
            cells = [
                ("run" if i == 0 else a[0], b[0], *a[1:], *b[1:])
                for i, (a, b) in enumerate(zip(cells, more, strict=True))
            ]
        return cells


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Lines of a table, its first one underlined."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def compare(first: Result, *others: Result) -> Comparison:
    """Put results in one table, with paired differences to the first.

    Raises:
        InputError: Protocols differ; the message says where.
    """
    for other in others:
        refuse_unlike(first.learner, first.protocol, other.learner, other.protocol, SAME)
    gap = first.protocol.score.difference
    rows = [Row(first, None), *(Row(other, gap(other.scores, first.scores)) for other in others)]
    return Comparison(first.protocol, tuple(rows))


def comparable(entries: Iterable[T], result: Callable[[T], Result]) -> list[list[T]]:
    """Groups that `compare` takes, in the order of the first of each.

    Args:
        entries: What is to be grouped.
        result: The result of an entry.
    """
    groups: dict[tuple[str, int], list[T]] = {}
    for i, entry in enumerate(entries):
        protocol = result(entry).protocol
        groups.setdefault((protocol.hash, -1 if protocol.covers_data else i), []).append(entry)
    return list(groups.values())


def refuse_unlike(name: str, protocol: Protocol, other_name: str, other: Protocol, advice: str) -> None:
    """Two protocols that do not allow a comparison.

    Raises:
        InputError: One does not cover the data that it was measured on, or their hashes differ; the message says where,
            and ends with the advice.
    """
    old = [n for n, p in ((name, protocol), (other_name, other)) if not p.covers_data]
    if old:  # also where both are: the same hash then tells nothing of the pictures behind it
        raise InputError(
            f"the result of {' and of '.join(old)} is of an earlier release and does not say which data it was "
            "measured on: renew it by `innerloop test RUN`"
        )
    if other.hash != protocol.hash:
        where = "; ".join(protocol.differences(other))
        raise InputError(
            f"{name} and {other_name} are not tested on the same episodes in the same way ({where}): {advice}"
        )
