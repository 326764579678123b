"""Where a study searches a field of a learner, a network or a recipe: said in the field's metadata.

    inner_lr: float = field(default=0.4, metadata=between(1e-3, 1.0, log=True))
    distance: Distance = field(default="cosine", metadata=among("cosine", "squared_euclidean"))

A field without a range is not searched unless somebody asks for it.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass
from types import MappingProxyType
from typing import Any

from innerloop.core.errors import InputError

_KEY = "innerloop.searched"
_DECADE = 10.0


@dataclass(frozen=True)
class Between:
    """A number between two, both of them allowed.

    Raises:
        InputError: The low end is above the high one, or a logarithm of 0 or less would be taken.
    """

    low: float
    high: float
    log: bool = False
    """Whether equal ratios are equally likely, as suits rates."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InputError(f"a range needs two finite ends, got {self.low:g} and {self.high:g}")
        if self.low > self.high:
            raise InputError(
                f"the low end {self.low:g} is above the high end {self.high:g}: write the smaller one first"
            )
        if self.log and self.low <= 0:
            raise InputError(f"a logarithmic range begins above 0, got {self.low:g}: leave out log, or begin higher")

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def with_value(self, value: Any) -> "Between":
        """The range that also holds this number, with room beyond it: a decade, or as much as it is away."""
        if self.holds(value) or isinstance(value, bool) or not isinstance(value, int | float):
            return self
        if self.log:
            if value <= 0:
                return self
            low, high = min(self.low, value / _DECADE), max(self.high, value * _DECADE)
        else:
            low, high = min(self.low, value), max(self.high, 2 * value)
        return Between(round(low), round(high), self.log) if self.whole else Between(low, high, self.log)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' * self.log}"


@dataclass(frozen=True)
class Among:
    """One of some values."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return any(type(value) is type(one) and value == one for one in self.values)

    def with_value(self, value: Any) -> "Among":
        """The values with this one."""
        return self if self.holds(value) else Among((value, *self.values))

    def __str__(self) -> str:
        return "|".join("x".join(map(str, one)) if isinstance(one, tuple) else str(one).lower() for one in self.values)


Range = Between | Among


def between(low: float, high: float, log: bool = False) -> Mapping[str, Any]:
    """Metadata of a field that is searched between two numbers; of whole ones, whole ones."""
    return MappingProxyType({_KEY: Between(low, high, log)})


def among(*values: Any) -> Mapping[str, Any]:
    """Metadata of a field that is searched among some values."""
    return MappingProxyType({_KEY: Among(values)})


def range_of(field: Field[Any]) -> Range | None:
    """Where a field is searched; None: it is not, unless somebody asks for it."""
    return field.metadata.get(_KEY)


INNER_LR = between(1e-3, 1.0, log=True)
"""Rates of steps within a task."""
INNER_STEPS = between(1, 5)
"""Steps, which are also how long a task is adapted to at test, unless the learner says otherwise."""
TEMPERATURE = between(1.0, 100.0, log=True)
"""What cosines are multiplied by."""
DECAY = between(1e-2, 1e2, log=True)
"""How strongly weights that are solved for are drawn towards 0."""
