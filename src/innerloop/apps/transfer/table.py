"""What a transfer gave: a table for every target and number of labels, of rows on the same tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from innerloop.apps.transfer.training import LINEAR_PROBE, Entry
from innerloop.evaluate.compare import SAME, SEEDS, aligned, refuse_unlike
from innerloop.evaluate.groups import Group, grouped
from innerloop.evaluate.result import Result, spell


class Measured(NamedTuple):
    """A row of one seed."""

    entry: Entry
    seed: int | None
    """Seed of its training; None: it was not trained here."""
    result: Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All rows at one number of labels a class."""

    source: str
    target: str
    shots: int
    groups: tuple[Group, ...]
    """From scratch first, to which the others' differences are."""
    meta: frozenset[str]
    """Names of those that were meta-learned on the source."""

    @property
    def best(self) -> Group:
        """The best of what was meta-learned on the source."""
        return max((group for group in self.groups if group.name in self.meta), key=lambda group: group.tasks.mean)

    @property
    def against_probe(self) -> str:
        """The best meta-learned row against ordinary pre-training with a linear probe, paired, whichever way."""
        probe = next(group for group in self.groups if group.name == LINEAR_PROBE)
        gap = self.best.score.difference_of_means(
            [r.scores for r in self.best.results], [r.scores for r in probe.results]
        )
        return f"{self.best.name} against {LINEAR_PROBE}: {spell(*gap, self.best.score, True)}"

    def __str__(self) -> str:
        first, one = self.groups[0], self.groups[0].results[0]
        heads = ("row", "seeds", "accuracy", "between seeds", f"against {first.name}")
        title = f"{self.source} to {self.target}: {one.conditions}"
        return (
            f"{title}\n{aligned([heads, *(group.cells for group in self.groups)])}\n"
            f"best of the meta-learned rows on these tasks, {self.against_probe}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        protocol = self.groups[0].results[0].protocol
        about = {"source": self.source, "target": self.target, "shots": self.shots, "hash": protocol.hash}
        rows = [group.to_json() | {"meta_learned": group.name in self.meta} for group in self.groups]
        return about | {"protocol": protocol.to_json(), "rows": rows, "best": self.against_probe}


@dataclass(frozen=True, eq=False)
class Transfer:
    """Tables of every target and number of labels."""

    tables: tuple[Table, ...]

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.tables), f"± is a 95% interval over tasks; {SEEDS}"])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"tables": [table.to_json() for table in self.tables]}


def table(source: str, target: str, shots: int, rows: Sequence[Measured]) -> Table:
    """Rows of one protocol, those of several seeds as one.

    Raises:
        InputError: They are not of one protocol.
    """
    first = rows[0].result
    for row in rows[1:]:
        refuse_unlike(first.learner, first.protocol, row.result.learner, row.result.protocol, SAME)
    names = [row.entry.name for row in rows]
    groups = grouped([row.result for row in rows], names, names, [row.seed for row in rows])
    meta = frozenset(row.entry.name for row in rows if row.entry.meta)
    return Table(source=source, target=target, shots=shots, groups=groups, meta=meta)
