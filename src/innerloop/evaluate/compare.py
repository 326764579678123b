"""Results side by side, on the same episodes or not at all."""

from dataclasses import dataclass
from typing import NamedTuple

from innerloop.core.errors import InputError
from innerloop.evaluate.interval import Interval, difference
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.result import Result, spell


class Row(NamedTuple):
    """One result, and how far it is from the first."""

    result: Result
    difference: Interval | None
    """Paired with the first result, task by task; None for the first itself."""

    @property
    def cells(self) -> tuple[str, str, str]:
        """Learner, number, difference, as tables print them."""
        metric = self.result.protocol.metric
        return (
            self.result.learner,
            self.result.number,
            "" if self.difference is None else spell(*self.difference, metric, True),
        )


@dataclass(frozen=True)
class Comparison:
    """A table whose rows were measured under one protocol."""

    protocol: Protocol
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        cells = [("learner", self.protocol.metric, f"against {self.rows[0].result.learner}")]
        cells += [row.cells for row in self.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(3)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        lines.insert(1, "  ".join("-" * w for w in widths))
        first = self.rows[0].result
        return "\n".join([*lines, f"{first.conditions}; ± is a 95% interval over episodes; differences are paired"])


def compare(first: Result, *others: Result) -> Comparison:
    """Put results in one table, with paired differences to the first.

    Raises:
        InputError: Protocols differ; the message says where.
    """
    for other in others:
        if other.protocol.hash != first.protocol.hash:
            where = "; ".join(first.protocol.differences(other.protocol))
            raise InputError(
                f"{first.learner} and {other.learner} were not tested on the same episodes in the same way ({where}): "
                "test both with one sampler, number of episodes and mode"
            )
    rows = [Row(first, None), *(Row(other, difference(other.scores, first.scores)) for other in others)]
    return Comparison(first.protocol, tuple(rows))
