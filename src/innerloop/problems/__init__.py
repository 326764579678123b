"""Kinds of problem, a file each: what tasks are, where they come from, how they are scored.

Nothing is registered: the classes of this package are its kinds, and `--data` is claimed by one of them.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.problems.base import FOR_VALUES, Problem


@functools.cache
def kinds() -> dict[str, type[Problem]]:
    """All kinds by the name of their file."""
    result = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            here = inspect.isclass(value) and value.__module__ == f"{__name__}.{module.name}"
            if here and issubclass(value, Problem) and not inspect.isabstract(value):
                result[module.name] = value
    return result


def data_sets() -> dict[str, str]:
    """Names that `--data` takes, and what they are."""
    return {name: about for kind in kinds().values() for name, about in kind.data_sets().items()}


def kind_of(data: str, among: Mapping[str, type[Problem]] | None = None) -> type[Problem]:
    """The kind of problem that some data are.

    Args:
        data: A name, or a path; a folder that has the name of data sets or environments is written ./NAME.
        among: Kinds by name; None: all there are.

    Raises:
        InputError: No kind claims the data, or two do.
    """
    claimed = {name: kind for name, kind in (among or kinds()).items() if kind.claims(data)}
    if len(claimed) > 1:
        claimed = {name: kind for name, kind in claimed.items() if kind.knows(data)} or claimed
    if len(claimed) > 1:
        raise InputError(f"'{data}' is claimed by several kinds of problem, {', '.join(claimed)}: only one may")
    if not claimed:
        if is_file(expanded(data)) or is_folder(expanded(data)):
            raise InputError(
                f"nothing here reads '{data}': give an .npz of arrays, a folder or zip with a sub-folder of pictures "
                "for each class, or a table of texts with their labels (.csv, .tsv, .json, .jsonl, .xlsx, .parquet)"
            )
        raise InputError(f"there is no data set and no path '{data}'{nearest(data, data_sets())}")
    return next(iter(claimed.values()))


def first_choice(cls: type[Learner]) -> str:
    """The data that a learner is trained on unless others are named."""
    if cls.usual_data is not None:
        return cls.usual_data
    if cls.targets == ("values",):
        return FOR_VALUES
    stream = cls.trains_on[0]
    return next(kind.usual_data for kind in kinds().values() if stream in kind.usual_for)


def tested(trained: Problem, data: str | None, options: Mapping[str, Any]) -> Problem:
    """The problem that a run is tested on.

    Args:
        trained: What it was trained on.
        data: Other data; None: the same.
        options: Those that were given.

    Raises:
        InputError: An option that does not apply, or data that are scored otherwise.
    """
    kind = type(trained) if data is None else kind_of(data)
    problem = kind.after(trained, trained.data if data is None else data)
    if problem.score != trained.score:
        raise InputError(
            f"the run was trained on {trained.data}, which is scored by {trained.score.title}, and {problem.data} is "
            f"scored by {problem.score.title}: leave out --data, or train on {problem.data}"
        )
    return problem.changed(options)


def of_record(task: Mapping[str, Any]) -> Problem:
    """The problem that a run's record describes.

    Raises:
        InputError: It names data that are not known, or is damaged.
    """
    if not isinstance(task, Mapping) or not isinstance(task.get("data"), str):
        raise InputError("the config.json of this run is damaged: its record names no data. Restore it, or train again")
    try:
        kind = kind_of(task["data"])
    except InputError:  # a folder that is no longer there: its options say what it was
        known = (kind for kind in kinds().values() if {f.name for f in fields(kind)} == set(task))
        kind = next(known, None)
        if kind is None:
            raise
    hints = get_type_hints(kind)
    options = {f.name: task[f.name] for f in fields(kind) if f.name in task}
    for name, value in options.items():
        if not _fits(value, hints[name]):
            raise InputError(
                f"the config.json of this run is damaged: its record has {name}={value!r:.60}. Restore it, or train "
                "again"
            )
    return kind(**options)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a type; what is no plain type is left to the class."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint in (bool, int, str, NoneType):
        return type(value) is hint
    return type(value) in (int, float) if hint is float else True
