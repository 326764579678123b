"""What a study searches: ranges that fields declare, or those that somebody names."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, asdict, dataclass, fields, replace
from typing import Any, NamedTuple, get_args, get_type_hints

from innerloop.core.errors import InputError
from innerloop.core.importing import is_import_path, trusted
from innerloop.core.nearest import nearest
from innerloop.core.ranges import checked
from innerloop.core.searched import Among, Between, Range, range_of
from innerloop.runs.defaults import defaults, learner_class
from innerloop.runs.options import Options
from innerloop.studies.storage import failures, late

Function = Callable[[Any], Mapping[str, Any]]
"""Takes a trial of Optuna, and returns values by the names of options."""
_PROTOCOL = ("inner_steps", "test_steps", "transductive")
"""Fields of learners that decide how its test is met, besides the options of a task."""
_MEASURING = (
    *("steps", "cpu_minutes", "seed", "validate_every", "validation_episodes", "score", "validate_transductive"),
    *("patience", "checkpoint_every", "plan", "retime", "unchecked", "chunk", "threads", "layout", "recompute"),
)
"""How long trials are and how they are measured, which must be the same for all of them."""


class _Place(NamedTuple):
    """Where an option lies."""

    part: str
    """Which part of the options: fields, train, network or task."""
    owner: type
    field: Field[Any]
    usual: Any
    """As the trial of the defaults has it."""


@dataclass(frozen=True)
class Space:
    """Names of options with their ranges, or a function in place of them."""

    ranges: Mapping[str, Range]
    usual: Mapping[str, Any]
    """The defaults, of the same names."""
    protocol: tuple[str, ...] = ()
    """Those that change what is measured: trials that differ in them are of different protocols."""
    function: Function | None = None

    def suggest(self, trial: Any, first: bool) -> dict[str, Any]:
        """Values of a trial of Optuna.

        Args:
            trial: Which has the defaults as its fixed parameters where it is the first.
            first: Whether it is to have the defaults.

        Raises:
            InputError: A function failed, or did not return values by names.
        """
        if self.function is not None:
            return {} if first else _asked(self.function, trial)
        return {name: _suggested(trial, name, one) for name, one in self.ranges.items()}

    def fixed(self) -> dict[str, Any]:
        """The defaults as Optuna keeps parameters."""
        return {name: _kept(one, self.usual[name]) for name, one in self.ranges.items()}

    def to_json(self) -> Any:
        """Plain JSON values, equal for equal spaces."""
        if self.function is not None:
            return f"{self.function.__module__}:{self.function.__qualname__}"
        return {name: str(one) for name, one in self.ranges.items()}

    def __str__(self) -> str:
        if self.function is not None:
            return f"searched by {self.to_json()}"
        width = max(map(len, self.ranges), default=0)
        notes = {name: ", part of the protocol" * (name in self.protocol) for name in self.ranges}
        lines = [
            f"  {name:<{width}}  {one}  (default {_shown(self.usual[name])}{notes[name]})"
            for name, one in self.ranges.items()
        ]
        return "\n".join(["searched:", *lines])

    @property
    def warning(self) -> str | None:
        """What must be said where the protocol is searched."""
        names = ", ".join(self.protocol)
        return (
            f"{names}: part of how a run is measured, so that trials with other values of it are measured otherwise: "
            "leave them out of --space"
            if names
            else None
        )


def space_of(options: Options, asked: str | Function | None = None, allow: tuple[str, ...] = ()) -> Space:
    """The space of a study.

    Args:
        options: Of the run that is tuned. What is set otherwise than by default is searched only if it is
            asked for.
        asked: `inner_lr=0.01:1:log,width=32|64,meta_lr`: these options and no others, a name alone with the range that
            its field declares; or a function, which a text names as `package.module:function`. None: all ranges that
            fields declare.
        allow: Packages whose code may run.

    Raises:
        InputError: No such option, an empty or impossible range, or nothing to search.
    """
    if isinstance(asked, str) and is_import_path(asked):
        asked = trusted(asked, allow)
    if callable(asked):
        return Space({}, {}, function=_checked_function(asked))
    places = dict(_places(options))
    if asked is None:
        ranges = {k: one for k, place in places.items() if (one := _declared(k, place, options)) is not None}
        if not ranges:
            raise InputError(f"no option of {options.learner} says where it is searched: name some with --space")
    else:
        ranges = dict(_named(asked, places))
    return _space(ranges, places)


def applied(options: Options, values: Mapping[str, Any]) -> Options:
    """Options with some of them changed, by their names alone.

    Raises:
        InputError: There is no such option, or it may not be that.
    """
    places = dict(_places(options))
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        place = _place(name, places)
        parts.setdefault(place.part, {})[name] = checked(place.owner.__name__, name, value, _hint(place))
    changed = replace(options, fields=options.fields | parts.get("fields", {}))
    for part in ("train", "network", "task"):
        if part in parts:
            changed = replace(changed, **{part: replace(getattr(changed, part), **parts[part])})
    return changed


def _space(ranges: Mapping[str, Range], places: Mapping[str, _Place]) -> Space:
    usual = {name: places[name].usual for name in ranges}
    # The defaults are the first trial, so the space holds them.
    whole = {
        k: one if usual[k] is None and isinstance(one, Between) else one.with_value(usual[k])
        for k, one in ranges.items()
    }
    unknown = next((k for k, one in whole.items() if not one.holds(usual[k])), None)
    if unknown is not None:
        raise InputError(
            f"--space: the default of {unknown} is {_shown(usual[unknown])}, which is in no range such as "
            f"{whole[unknown]}: set --{unknown.replace('_', '-')} to a value in it, or search among values"
        )
    protocol = tuple(k for k in whole if places[k].part == "task" or k in _PROTOCOL)
    return Space(whole, usual, protocol)


def _places(options: Options) -> Iterator[tuple[str, _Place]]:
    cls = learner_class(options.learner)
    own = {f.name: f for f in fields(cls)}
    for name, value in options.fields.items():
        yield name, _Place("fields", cls, own[name], value)
    for part in ("train", "network", "task"):
        settings = getattr(options, part)
        for f in fields(settings):
            yield f.name, _Place(part, type(settings), f, getattr(settings, f.name))


def _declared(name: str, place: _Place, options: Options) -> Range | None:
    usual = defaults(options.learner, options.task.data, options.task.flags)
    before = usual.fields[name] if place.part == "fields" else getattr(getattr(usual, place.part), name)
    # What somebody set is what they want.
    asked = before != place.usual or place.usual is None
    return None if asked or name in options.task.unread else range_of(place.field)


def _place(name: str, places: Mapping[str, _Place]) -> _Place:
    if name not in places:
        raise InputError(f"there is no option '{name}' to search{nearest(name, places)}")
    if name in _MEASURING or name in ("data", "start"):
        raise InputError(
            f"{name} decides how trials are run and measured, which must be the same for all: leave it out of --space, "
            f"and set --{name.replace('_', '-')} for all of them"
        )
    return places[name]


def _named(text: str, places: Mapping[str, _Place]) -> Iterator[tuple[str, Range]]:
    seen: list[str] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, values = (part.strip() for part in entry.partition("="))
        name = name.replace("-", "_")
        place = _place(name, places)
        if name in seen:
            raise InputError(f"--space names {name} twice: give it one range")
        seen.append(name)
        own = range_of(place.field)
        if equals:
            yield name, _range(name, values, place)
        elif own is not None:
            yield name, own
        else:
            raise InputError(f"{name} has no range of its own: say one, such as {name}=LOW:HIGH, or {name}=A|B")
    if not seen:
        raise InputError("--space is empty: name options, such as inner_lr=0.01:1:log,width=32|64")


def _range(name: str, text: str, place: _Place) -> Range:
    hint = _hint(place)
    kinds = set(_kinds(hint))
    try:
        if ":" in text and "|" not in text:
            ends = text.split(":")
            log = len(ends) == 3 and ends[2].strip() == "log"
            if len(ends) - log != 2:
                raise InputError(f"'{text}' is no range: write LOW:HIGH or LOW:HIGH:log")
            low, high = (_value(end) for end in ends[:2])
            if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
                raise InputError(f"'{text}' is no range: its ends must be numbers")
            low, high = _as(low, kinds), _as(high, kinds)
            one, ends = Between(low, high, log), [low, high]
        else:
            values = tuple(_as(_value(part, tuple in kinds), kinds) for part in text.split("|"))
            one, ends = Among(values), list(values)
        for end in ends:
            checked(place.owner.__name__, name, end, hint)
    except InputError as error:
        raise InputError(f"--space {name}={text}: {error}") from error
    return one


def _as(value: Any, kinds: set[Any]) -> Any:
    """A whole number as a float, where a field takes any number."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and float in kinds else value


def _kinds(hint: Any) -> Iterator[Any]:
    """The plain types in an annotation."""
    yield getattr(hint, "__origin__", hint)
    for part in get_args(hint):
        yield from _kinds(part)


def _hint(place: _Place) -> Any:
    return get_type_hints(place.owner, include_extras=True)[place.field.name]


def _value(text: str, rows: bool = False) -> Any:
    text = text.strip()
    if rows and re.fullmatch(r"\d+(x\d+)*", text):
        return tuple(map(int, text.split("x")))
    plain = {"true": True, "false": False, "none": None}
    if text.lower() in plain:
        return plain[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if not text:
        raise InputError("a value is empty: write A|B, or LOW:HIGH")
    return text


def _suggested(trial: Any, name: str, one: Range) -> Any:
    match one:
        case Between() if one.whole:
            return trial.suggest_int(name, one.low, one.high, log=one.log)
        case Between():
            return trial.suggest_float(name, one.low, one.high, log=one.log)
        case Among():
            labels = [_kept(one, value) for value in one.values]
            return one.values[labels.index(trial.suggest_categorical(name, labels))]


def _kept(one: Range, value: Any) -> Any:
    """A value as Optuna keeps it: of values that are no scalars, their text."""
    return str(value) if isinstance(one, Among) and isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _asked(function: Function, trial: Any) -> dict[str, Any]:
    try:
        values = function(trial)
        if not isinstance(values, Mapping):
            raise TypeError(f"it returned {values!r:.60} in place of values by the names of options")
        return dict(values)
    except (*failures(), *late()):  # the storage's, which are told of elsewhere
        raise
    except Exception as error:  # whatever somebody's code does
        name = f"{function.__module__}:{function.__qualname__}"
        raise InputError(f"the space {name} failed: {type(error).__name__}: {error}") from error


def _checked_function(function: Function) -> Function:
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise InputError(
            "a space that is a function takes one argument, a trial of Optuna, and returns values by the names of "
            f"options: {error}"
        ) from error
    return function


def identity(options: Options, space: Space) -> dict[str, Any]:
    """What a study is of, as plain JSON: trials of two that differ in it are not to be compared."""
    train = {
        k: v for k, v in asdict(options.train).items() if k not in ("checkpoint_every", "unchecked", "retime", "plan")
    }
    about = {"task": asdict(options.task), "network": asdict(options.network), "train": train}
    return {"learner": options.learner, "space": space.to_json(), "fields": dict(options.fields)} | about
