"""What the fields of a model, a learner, a sampler, a config may be: read from their annotations, checked when built.

    width: Count = 64
    pool: Literal["max", "stride"] = "max"

A wrong value is one `InputError` with class, field, value and what is allowed, instead of whatever torch says of it
later. A text in an `Annotated` says in words what is allowed. The default of a field is always allowed. Rates (`*_lr`)
and `inner_steps` have their range by their name.
"""

import functools
import inspect
import math
import types
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from innerloop.core.errors import InputError
from innerloop.core.plain import normalise, plain


@dataclass(frozen=True)
class Within:
    """Bounds of a number, both allowed unless they are said to be open."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    """Whether `low` itself is too low."""
    below: bool = False
    """Whether `high` itself is too high."""
    noun: str = ""

    def holds(self, value: float) -> bool:
        """Whether a number lies between them."""
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def text(self, noun: str) -> str:
        """Such as "a whole number of at least 1"."""
        noun = self.noun or noun
        if self.high == math.inf:
            if self.above:
                return f"more than {self.low:g}"
            return f"{noun} of at least {self.low:g}" if self.low else f"{noun} from 0 up"
        if self.above or self.below:
            low, high = "more than" if self.above else "at least", "less than" if self.below else "at most"
            return f"{noun}, {low} {self.low:g} and {high} {self.high:g}"
        return f"{noun} from {self.low:g} to {self.high:g}"


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Rate = Annotated[float, Within(0, noun="a rate")]
NotNegative = Annotated[float, Within(0)]
Positive = Annotated[float, Within(0, above=True)]
Share = Annotated[float, Within(0, 1)]
Decay = Annotated[float, Within(0, 1, below=True)]


class Checked:
    """A dataclass whose fields are made plain and checked before its own `__post_init__`, whatever that calls."""

    wanted: ClassVar[str] = ""
    """What a field `{name}` that holds one must be, for messages."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("__post_init__")
        if own is not None:

            @functools.wraps(own)
            def after(self: Any) -> None:
                check(self)
                own(self)

            cls.__post_init__ = after

    def __post_init__(self) -> None:
        check(self)


def check(instance: Any) -> None:
    """Make the fields of a dataclass plain (see `core.plain`), and refuse values that are not allowed.

    Raises:
        InputError: Naming the first.
    """
    normalise(instance)
    hints = _hints(type(instance))
    for f in fields(instance):
        value = getattr(instance, f.name, None)
        if f.name in hints and not _default(f, value) and not _fits(value, hints[f.name]):
            raise InputError(f"{type(instance).__name__}: {_refusal(f.name, value, hints[f.name])}")


def checked(owner: str, name: str, value: Any, hint: Any) -> Any:
    """A value made plain, for classes that are no dataclasses.

    Args:
        owner: Name of the class.
        name: Of what holds the value.
        value: The value.
        hint: What it may be, as an annotation.

    Raises:
        InputError: It is something else.
    """
    value, hint = plain(value), _by_name(name, hint)
    if not _fits(value, hint):
        raise InputError(f"{owner}: {_refusal(name, value, hint)}")
    return value


def _refusal(name: str, value: Any, hint: Any) -> str:
    choices = [choice for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal for choice in get_args(kind)]
    shown = repr(value)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
    if choices and isinstance(value, str):
        return f"there is no {name} {shown}: use {', '.join(map(str, choices))}"
    return f"{name} must be {_text(hint).replace('{name}', name)}, got {shown} ({type(value).__name__})"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # annotations of anyone's class, which may name what only a type checker imports
        return {}
    return {name: _by_name(name, hint) for name, hint in hints.items()}


def _by_name(name: str, hint: Any) -> Any:
    if hint is float and name.endswith("_lr"):
        return Rate
    return Natural if hint is int and name == "inner_steps" else hint


def _default(f: Field[Any], value: Any) -> bool:
    """Whether a field was left alone, whose default may be what its annotation does not say."""
    same = type(value) is type(f.default) and not isinstance(value, tuple)  # (True,) equals (1,)
    return value is f.default or (same and value == f.default)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        within = [bounds for bounds in args[1:] if isinstance(bounds, Within)]
        return _fits(value, args[0]) and all(bounds.holds(value) for bounds in within)
    if origin in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in args)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in args)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = (args[0],) * len(value) if args[1:] == (...,) else args
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if origin is Callable:
        return callable(value) and (args[0] is ... or _takes(value, len(args[0])))
    return _is(value, origin or hint)


def _takes(f: Any, count: int) -> bool:
    """Whether a function can be called with so many arguments; of classes, only those that make what is asked for."""
    if isinstance(f, type) and count:
        return False
    try:
        # A module hides what it takes behind its `__call__`.
        inspect.signature(f if isinstance(f, type) else getattr(f, "forward", f)).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a function without a signature, such as one of C
        return True
    return True


def _is(value: Any, kind: Any) -> bool:
    if kind in (None, type(None)):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Callable:
        return callable(value)
    # Of other classes nothing is known: a path may be given as a text.
    known = kind in (bool, str) or (isinstance(kind, type) and issubclass(kind, Checked))
    return isinstance(value, kind) if known else True


def _text(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        texts = [part.text(_text(args[0])) if isinstance(part, Within) else part for part in args[1:]]
        return next((text for text in texts if isinstance(text, str)), _text(args[0]))
    if origin in (Union, types.UnionType):
        return ", or ".join(_text(kind) for kind in args)
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(map(repr, args))
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return f"a tuple, each part of it {_text(args[0])}"
        return f"a tuple of {len(args)} ({', '.join(_text(kind) for kind in args)})"
    kind = origin or hint
    if isinstance(kind, type) and issubclass(kind, Checked):
        return kind.wanted or f"a {kind.__name__}"
    names = {None: "None", type(None): "None", bool: "True or False", int: "a whole number", float: "a number"}
    return (names | {str: "a text", Callable: "a function"}).get(kind, getattr(kind, "__name__", str(kind)))
