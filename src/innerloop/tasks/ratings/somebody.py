"""What is known of one who is not among the users, by the columns that users have."""

import math
from collections.abc import Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest
from innerloop.tasks.notices import Say, warn
from innerloop.tasks.ratings.encoding import Encoding
from innerloop.tasks.ratings.features import MOST, SEVERAL
from innerloop.tasks.ratings.table import Features

_LISTED = 10
"""Categories that a notice names."""
_LARGEST = 1e30
"""Beyond it, numbers are not finite once they are scaled in single precision."""
About = Mapping[str, str | float | Sequence[str]]
"""Values by column; several categories as a list, or with `|` between them."""


class Column(NamedTuple):
    """What may be told of somebody."""

    name: str
    kind: Literal["category", "categories", "number"]
    values: tuple[str, ...]
    """Categories that meta-training knows, in order; none of numbers."""


def columns_of(users: Features, encoding: Encoding) -> list[Column]:
    """The columns that are inputs of the network, of the features that users have."""
    single, several = encoding.single.values, encoding.several.values
    return [
        *(Column(name, "category", tuple(single[k])) for k, name in enumerate(users.categories)),
        *(Column(name, "categories", tuple(several[k])) for k, name in enumerate(users.several)),
        *(Column(name, "number", ()) for name in users.numbers),
    ]


def read(words: Sequence[str]) -> dict[str, str]:
    """What was typed as `column=value`.

    Raises:
        InputError: There is no `=`, or a column comes twice.
    """
    values = dict[str, str]()
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.strip():
            raise InputError(f"'{word}' is no feature: give the name of a column and its value, as in age=30")
        if name.strip() in values:
            raise InputError(f"'{name.strip()}' was given twice: give it once, several categories with {SEVERAL}")
        values[name.strip()] = value.strip()
    return values


def knowing(encoding: Encoding, users: Features, about: About, say: Say = warn) -> Encoding:
    """The encoding, whose `rows(None, ...)` are of somebody of whom this is known.

    Args:
        encoding: As of meta-training.
        users: The features of its users, whose columns these are.
        about: What is known; other columns are not.
        say: Where it is said that meta-training has a value of nobody, which is then taken for not known.

    Raises:
        InputError: There is no such column, or a value is none of its kind.
    """
    known = {column.name: column for column in columns_of(users, encoding)}
    for name in about:
        if not known:
            raise InputError(f"'{str(name)[:100]}' is not known of users: the run was trained without --user-features")
        if name not in known:
            raise InputError(f"nothing is called '{str(name)[:100]}' that is known of users{nearest(str(name), known)}")
    cells = {name: _cells(column, about[name]) for name, column in known.items() if name in about}
    for name, values in cells.items():
        listed = known[name].values
        for value in values if known[name].kind != "number" else ():
            if value not in listed:
                others = ", ".join([*listed[:_LISTED], *(["..."] if len(listed) > _LISTED else [])])
                say(f"{name} is {value[:100]} of nobody in training, so it counts as not known; there are {others}")
    somebody = Features(
        categories={name: ["".join(cells.get(name, ()))] for name in users.categories},
        several={name: [tuple(cells.get(name, ()))] for name in users.several},
        numbers={name: np.array([*map(float, cells.get(name, ("nan",)))]) for name in users.numbers},
    )
    return encoding.knowing(somebody)


def _cells(column: Column, value: Any) -> tuple[str, ...]:
    """The values of a cell, as texts.

    Raises:
        InputError: They are none of the column's kind.
    """
    if column.kind == "number":
        try:
            number = float(value) if isinstance(value, str | Real) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not abs(number) <= _LARGEST:
            raise InputError(f"{column.name} is a number, got {_shown(value)}: leave it out where it is not known")
        return (repr(number),)
    if isinstance(value, str):
        values = value.split(SEVERAL) if column.kind == "categories" else [value]
    elif isinstance(value, Real):
        values = [str(value) if isinstance(value, Integral) else f"{value:.15g}"]
    elif isinstance(value, Sequence | Set):
        values = list(value)
    else:
        raise InputError(f"{column.name} is {_kind(column)}, got {_shown(value)}: leave it out where it is not known")
    texts = tuple(filter(None, (str(one).strip() for one in values)))
    if column.kind == "category" and len(texts) != 1:
        raise InputError(f"{column.name} is {_kind(column)}, got {_shown(value)}: leave it out where it is not known")
    if len(texts) > MOST:
        raise InputError(f"{column.name} has {len(texts):,} values, and {MOST} are most: give fewer")
    return texts


def _kind(column: Column) -> str:
    return "one category" if column.kind == "category" else "a list of categories"


def _shown(value: Any) -> str:
    return repr(value)[:100]
