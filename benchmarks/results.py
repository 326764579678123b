"""What was measured, kept as JSON: a row a workload, so that they may be measured one by one."""

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.claim import Claim, Workload

PLACE = Path(__file__).with_name("results.json")
Row = dict[str, Any]


class Spread(NamedTuple):
    """A median and what it lies between."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))


class Ratio(NamedTuple):
    """What a claim came to."""

    ours: str
    theirs: str
    found: Spread


def read(place: Path = PLACE) -> dict[str, Row]:
    return json.loads(place.read_text()) if place.exists() else {}


def write(rows: dict[str, Row], place: Path = PLACE) -> None:
    """Replace the file as a whole: a run that is stopped leaves the rows it has."""
    beside = place.with_suffix(".tmp")
    beside.write_text(json.dumps(rows, indent=1) + "\n")
    beside.replace(place)


def put(rows: dict[str, Row], name: str, row: Row, busy: bool) -> None:
    """Keep a workload's row, beside that of the machine as it is where one core was taken."""
    if busy:
        rows.setdefault(name, {})["busy"] = row
    else:
        rows[name] = row | {k: v for k, v in rows.get(name, {}).items() if k == "busy"}


def speed(row: Row, name: str, target: float | None = None) -> Spread | None:
    """Seconds of a contender's step, or of its whole race; None: it has none."""
    facts = row["contenders"].get(name, {})
    seconds = facts.get("seconds") or []
    if "error" in facts or not seconds:
        return None
    if target is None:
        return Spread.of(seconds)
    reached = any(value >= target for value in facts["values"])
    total = sum(seconds)
    return Spread(total, total, total) if reached else None


def best(row: Row, names: tuple[str, ...], target: float | None = None) -> str | None:
    """Whose median is the least."""
    found = {name: spread.middle for name in names if (spread := speed(row, name, target))}
    return min(found, key=found.__getitem__) if found else None


def ratio(row: Row, workload: Workload, claim: Claim, ours: str = "") -> Ratio | None:
    """A claim's ratio, pair by pair of the same round; None where a side is missing.

    Args:
        row: What was measured.
        workload: Of the claim.
        claim: What is compared.
        ours: A contender of ours; empty: the claim's.
    """
    ours = ours or claim.ours
    theirs = best(row, claim.others, workload.target)
    if theirs is None or speed(row, ours, workload.target) is None:
        return None
    one, other = row["contenders"][ours], row["contenders"][theirs]
    if claim.what == "memory":
        value = one["peak"] / other["peak"] if other["peak"] else float("nan")
        return Ratio(ours, theirs, Spread(value, value, value))
    pairs = list(zip(one["seconds"], other["seconds"], strict=False))
    each = Spread.of([a / b if claim.what == "time" else b / a for a, b in pairs])
    if workload.target is not None:
        each = each._replace(middle=sum(other["seconds"]) / sum(one["seconds"]))
    return Ratio(ours, theirs, each)


def reached(claim: Claim, found: Spread) -> str:
    """Whether a claim holds, in a word."""
    if claim.least is None and claim.aim is None:
        return ""

    def holds(bound: float | None) -> bool:
        return bound is not None and (found.middle >= bound if claim.what == "faster" else found.middle <= bound)

    if holds(claim.aim):
        return "aim"
    return "yes" if holds(claim.least) else "**no**"
