"""What a workload consists of, and what it is to show."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.contest import Contender


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One row of the table: two sides of a workload, and the ratio that is asked for."""

    said: str
    """Against whom, and under which condition."""
    ours: str = ""
    """Contender that `auto` would be; told first."""
    others: tuple[str, ...] = ()
    """Contenders of the other side; the one with the best median counts."""
    alternatives: tuple[str, ...] = ()
    """Further ones of ours, the best of which is told beside."""
    least: float | None = None
    aim: float | None = None
    what: Literal["faster", "time", "memory"] = "faster"
    """faster: their time over ours, to be at least `least`. time, memory: ours over theirs, to be at most."""
    missing: str = ""
    """Why there is nothing of ours yet."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Contenders that do the same, and what is claimed of them."""

    name: str
    """What `--only` takes; up to a dot, the group's."""
    title: str
    contenders: tuple[Contender, ...]
    claims: tuple[Claim, ...]
    budget: float = 60
    """Seconds of turns, after which no new round starts."""
    rounds: int = 9
    unit: str = "ms"
    """ms: milliseconds a step; 1/s: steps a second."""
    flops: str = ""
    """Contender that counts operations."""
    note: str = ""
    same: bool = True
    """Whether all contenders must have the same first loss."""
    target: float | None = None
    """A race: turns go on until the value told by a turn has reached it."""
