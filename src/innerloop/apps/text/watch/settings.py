"""What a watch is told, in numbers that are checked once."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from innerloop.apps.text.watch.charts import KINDS, Kind
from innerloop.core.errors import InputError

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FEWEST = 2
_LONGEST = 1e9
"""A run length, in windows; Markov chains of longer ones are lost in rounding."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a stream is watched. Another one makes other alerts, so that a state goes on with the same alone."""

    window: str = "1h"
    """Length of a window, such as 90s, 15m, 1h or 1d; windows begin at multiples of it since 1970, UTC."""
    late: str = "10m"
    """How late an event may come: a window is closed when an event is so much later than its end."""
    jump: str = "1d"
    """A time further than this from the stream's is believed once 10 events in a row are near it."""
    remember: str = "2d"
    """How long ids are remembered, by which an event that comes twice is counted once."""
    warmup: int = 24
    """Windows that the usual share of each label is learned from; nothing alerts meanwhile."""
    run_length: float = 1_000.0
    """Windows until something alerts that did not change, on average, over all charts together."""
    surge: float = 2.0
    """Times by which the odds of a label go up in the surge that is looked for."""
    charts: tuple[Kind, ...] = KINDS
    """cusum tells a lasting rise soonest, ewma is nearer to what people see."""

    def __post_init__(self) -> None:
        for name in ("window", "late", "jump", "remember"):
            milliseconds(getattr(self, name), name, least=0 if name == "late" else 1)
        if self.lateness > self.far:
            raise InputError(f"--late {self.late} is more than --jump {self.jump}: give a jump that is longer")
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int) or self.warmup < _FEWEST:
            raise InputError(f"a usual share takes {_FEWEST} or more windows; got --warmup {self.warmup!r}")
        if not (math.isfinite(self.run_length) and 2 <= self.run_length <= _LONGEST):
            raise InputError(f"--run-length is windows, from 2 to {_LONGEST:g}; got {self.run_length!r}")
        if not (math.isfinite(self.surge) and 1.1 <= self.surge <= 1e6):
            raise InputError(f"--surge is how many times the odds go up, 1.1 or more; got {self.surge!r}")
        if not self.charts or len(set(self.charts)) < len(self.charts) or not set(self.charts) <= set(get_args(Kind)):
            raise InputError(f"--charts names {' and '.join(KINDS)}, one or both; got {self.charts!r}")

    @property
    def length(self) -> int:
        """Milliseconds of a window."""
        return milliseconds(self.window, "window")

    @property
    def lateness(self) -> int:
        """`late` in milliseconds."""
        return milliseconds(self.late, "late", least=0)

    @property
    def far(self) -> int:
        """`jump` in milliseconds."""
        return milliseconds(self.jump, "jump")

    @property
    def memory(self) -> int:
        """`remember` in milliseconds."""
        return milliseconds(self.remember, "remember")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"charts": list(self.charts)}


def milliseconds(text: str, name: str, least: int = 1) -> int:
    """A duration such as 90s, 15m, 1h or 1d.

    Args:
        text: What was given.
        name: Of the option.
        least: Milliseconds.

    Raises:
        InputError: It is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)", str(text).strip())
    found = round(float(match[1]) * _UNITS[match[2]]) if match else -1
    if found < least:
        raise InputError(f"--{name} is a duration, such as 90s, 15m, 1h or 1d; got {text!r}")
    return found


def differences(kept: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What differs between two records, in words."""
    keys = [*kept, *(key for key in given if key not in kept)]
    return [
        f"{key} was {_said(kept.get(key))}, now {_said(given.get(key))}"
        for key in keys
        if kept.get(key) != given.get(key)
    ]


def _said(value: Any) -> str:
    return (
        "none"
        if value is None
        else ", ".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )


OPTIONS = tuple(field.name for field in fields(Settings))
