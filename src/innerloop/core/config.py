"""Learners, models and environments as JSON, and back without running foreign code.

Importing what a file names is code execution, so only dataclasses of `Learner`, `Model` and `Environment`, and
functions, are resolved, only from `innerloop.` or a prefix the caller allows, and only if they were defined there
themselves.
"""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from innerloop.core.context import how_to_allow, prefixes, search_here, under
from innerloop.core.environment import Environment
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.nearest import RENAMED_LEARNERS

Json = dict[str, Any] | list[Any] | str | int | float | bool | None
_RENAMED_MODULES = {
    "innerloop.learners.optimizers.hypergradient": "innerloop.learners.gradient.learned_rates",
    "innerloop.learners.optimizers.learning_to_adapt": "innerloop.learners.gradient.learning_to_adapt",
    "innerloop.tasks.optimisation": "innerloop.tasks.functions",
}
"""What earlier releases wrote into files, and what it is called today; likewise below."""
_RENAMED_CLASSES = {"Hypergradient": "LearnedRates"}
_PURE = ("innerloop.core.objectives", "innerloop.tasks.functions", "innerloop.learners")
"""Where functions lie that a file may name without being trusted: objectives, and functions to be minimised. They take
arguments, so that none can be a factory."""
_DEEPEST = 20
"""Levels of a config: learners that hold learners that hold networks have six."""
_RENAMED_DATA = {"optimizees": "functions"}
_RENAMED_OPTIONS = {"cut": "split_scheme", "within": "same_group"}
_APPLIED: dict[str, tuple[str, ...]] = {
    "functions": ("data", "family"),
    "sinusoid": ("data", "shots", "queries", "train_shots"),
    "mass-spring-damper": ("data", "shots", "queries", "train_shots"),
}
"""Options of a task that applied to some data; release 0.1.0 kept those of all kinds of problem with every run."""
_RENAMED_VALUES = {"learner": RENAMED_LEARNERS, "data": _RENAMED_DATA}


_LATER = "innerloop.later"
LATER = MappingProxyType({_LATER: True})
"""Metadata of a field that earlier releases lack: at its default it is left out of what is kept, so that runs of then,
and what was measured of them, are still of the same learner."""


def encode(value: Any) -> Json:
    """Plain JSON that `decode` turns back into an equal value.

    Raises:
        InputError: A callable or object that cannot be found again by its name.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [encode(v) for v in value]}
    if isinstance(value, list):
        return [encode(v) for v in value]
    if isinstance(value, Learner | Model | Environment) and is_dataclass(value):
        entries = {f.name: getattr(value, f.name) for f in fields(value)}
        new = {f.name for f in fields(value) if f.metadata.get(_LATER) and entries[f.name] == f.default}
        return {"class": _name(type(value)), "fields": {k: encode(v) for k, v in entries.items() if k not in new}}
    if callable(value):
        return {"callable": _name(value)}
    raise InputError(
        f"a {type(value).__name__} cannot be saved in a config: use numbers, strings, tuples, models, functions"
    )


def identify(value: Any) -> Json:
    """Plain JSON that tells a dataclass from others: its name, and the fields that count in a comparison.

    It is not decoded again, so a file that has it may name anything.

    Raises:
        InputError: It is no dataclass, or `encode` does not know how to keep one of its fields.
    """
    if isinstance(value, type) or not is_dataclass(value):
        raise InputError(
            f"{type(value).__name__} must be a dataclass, whose fields are its settings: a run keeps them, so that it "
            "does not go on with others"
        )
    entries = {f.name: getattr(value, f.name) for f in fields(value) if f.compare}
    inner = {k: is_dataclass(v) and not isinstance(v, type | Learner | Model | Environment) for k, v in entries.items()}
    return {
        "class": _name(type(value)),
        "fields": {k: (identify if inner[k] else encode)(v) for k, v in entries.items()},
    }


def decode(value: Json, allow: Sequence[str] = ()) -> Any:
    """The inverse of `encode`.

    Args:
        value: Parsed JSON; untrusted.
        allow: Module prefixes besides `innerloop.` whose classes and functions may be imported.

    Raises:
        InputError: A name outside the allowed modules, or one that does not exist, or fields that do not fit.
    """
    if _deeper(value, _DEEPEST):
        raise InputError(f"not a config: it is nested deeper than {_DEEPEST} levels")
    return _decoded(value, allow)


def _decoded(value: Json, allow: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_decoded(v, allow) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"tuple"}:
        if not isinstance(value["tuple"], list):
            raise InputError(f"not a config: a tuple of {type(value['tuple']).__name__}")
        return tuple(_decoded(v, allow) for v in value["tuple"])
    if set(value) == {"callable"}:
        target = _resolve(value["callable"], allow)
        trusted = inspect.isclass(target) and (issubclass(target, nn.Module) or under(target.__module__, allow))
        if not (inspect.isfunction(target) or trusted):
            raise InputError(
                f"'{value['callable']}' is neither a function nor a network, which alone a file may name so"
            )
        _check_pure(target, value["callable"], allow)
        return target
    if set(value) == {"class", "fields"}:
        target = _resolve(value["class"], allow)
        if not (inspect.isclass(target) and issubclass(target, Learner | Model | Environment) and is_dataclass(target)):
            raise InputError(
                f"'{value['class']}' is not a learner, a model or an environment, which alone a file may name so"
            )
        try:
            return target(**{k: _decoded(v, allow) for k, v in value["fields"].items()})
        except InputError:
            raise
        except Exception as error:  # whatever a class makes of values that are not meant
            raise InputError(f"the fields of '{value['class']}' do not fit this version: {error}") from error
    raise InputError(f"not a config: expected 'class' and 'fields', got {sorted(value)}")


def _deeper(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper(v, levels - 1) for v in inside if isinstance(v, dict | list))


def _check_pure(target: Any, name: Any, allow: Sequence[str]) -> None:
    """Refuse functions of this package that do more than to compute: a file could have them run as its factory."""
    home = target.__module__
    if inspect.isclass(target) or under(home, allow):
        return
    if not under(home, _PURE) or not _needs_arguments(target):
        raise InputError(f"'{name}' is not a function that a file may name: only losses, functions and networks are")


def _needs_arguments(target: Any) -> bool:
    parameters = inspect.signature(target).parameters.values()
    return any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def renewed(config: dict[str, Any]) -> dict[str, Any]:
    """The parsed config of a run of this or an earlier release, with the names of today."""

    def value(old: Any, record: bool) -> Any:
        if isinstance(old, list):
            return [value(v, record) for v in old]
        if not isinstance(old, dict):
            return old
        return {_RENAMED_OPTIONS.get(k, k) if record else k: entry(k, v, record) for k, v in old.items()}

    def entry(key: str, old: Any, record: bool) -> Any:
        if isinstance(old, str):
            return _today(old) if key in ("class", "callable") else _RENAMED_VALUES.get(key, {}).get(old, old)
        return value(old, record or key == "record")

    config = value(config, False)
    task = (config.get("record") or {}).get("task")
    if isinstance(task, dict) and {"data", "family"} <= set(task):
        applied = _APPLIED.get(task["data"], tuple(k for k in task if k != "family"))
        config["record"]["task"] = {k: v for k, v in task.items() if k in applied}
        if task["data"] in _APPLIED:  # whose networks nobody chooses
            config["record"]["network"] = {"start": (config["record"].get("network") or {}).get("start")}
    return config


def _today(name: str) -> str:
    """`module:attribute` of an earlier release by its name of today."""
    module, colon, attribute = name.partition(":")
    if module not in _RENAMED_MODULES:
        return name
    return _RENAMED_MODULES[module] + colon + _RENAMED_CLASSES.get(attribute, attribute)


def _name(subject: Any) -> str:
    module, name = getattr(subject, "__module__", None), getattr(subject, "__qualname__", None)
    if not module or not name or "<" in name or "." in name or module == "__main__":
        raise InputError(
            f"{name or subject!r} cannot be found again by its name: define it at the top of an importable module, "
            "not as a lambda, in a function or in a script"
        )
    return f"{module}:{name}"


def _resolve(name: Any, allow: Sequence[str]) -> Any:
    module, _, attribute = _today(name).partition(":") if isinstance(name, str) else ("", "", "")
    rooms = ("innerloop", *prefixes(allow))
    if not under(module, rooms):
        raise InputError(
            f"this file names '{name}', outside of {', '.join(p + '.' for p in rooms)}: loading it would run "
            f"foreign code. {how_to_allow(module)}"
        )
    if not under(module, "innerloop"):
        search_here()
    try:
        target = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: an empty part of a name
        raise InputError(f"'{name}' does not exist in this version: {error}") from error
    if not under(getattr(target, "__module__", None) or "", rooms):
        raise InputError(
            f"'{name}' is defined elsewhere, in {getattr(target, '__module__', None)}: name it where it is defined"
        )
    return target
