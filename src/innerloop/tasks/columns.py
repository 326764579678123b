"""Which columns of a table hold examples and classes: as named, by their usual names, or by what they hold."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from innerloop.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How tables are read; as it stands, everything is found out."""

    text_column: str | None = None
    """Column of a table that holds the texts, or paths of pictures, or lists of numbers; None: the one that is called
    text (path, features), or the only one that looks so."""
    label_column: str | None = None
    """Column that holds the classes; None: the one that is called label, or the only one whose values come again."""
    encoding: str | None = None
    """What a CSV, JSON or text file is in; None: UTF-8, UTF-16, GB18030 or Windows-1252, as its bytes say."""


class Choice(NamedTuple):
    """The columns that are read."""

    example: str
    label: str | None
    """None: there is none, or it is not wanted."""


USUAL = {"pictures": "path", "sounds": "path", "texts": "text", "features": "features"}
"""What the column of examples is called."""
LABEL = "label"
SAMPLE = 1_000
"""Records that are looked at where no column is called as usual."""
_LONGEST = 60
"""Characters of the name of a column that is not known by its name."""
_NAMED = 12
"""Columns that a message names."""
_SCRIPT = re.compile("[\u2e80-\ud7ff\uf900-\ufaff\u0e00-\u0eff]{4}")
"""Words of writing without spaces between them."""
_FRACTION = re.compile(r"[+-]?\d*[.,]\d+")
_FILE = re.compile(r"[^\n]*\.[A-Za-z0-9]{2,5}")


def choose(
    columns: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    kind: str,
    options: TableOptions,
    name: str,
    labels: bool | None = True,
) -> Choice:
    """The columns of examples and of classes.

    Args:
        columns: Their names, in order.
        sample: The first records, by those names.
        kind: pictures, texts or features.
        options: What the caller says about it.
        name: What errors call the table.
        labels: Whether classes are needed; None: if a column of them is there.

    Raises:
        InputError: There is no such column, or none or several could be it; the message lists them.
    """
    usual = USUAL[kind]
    example = _known(columns, options.text_column, usual, "--text-column", name)
    label = None
    if labels is not False or options.label_column is None:  # where it is not wanted it need not be there
        label = _known(columns, options.label_column, LABEL, "--label-column", name)
    if example is not None and example == label:
        raise InputError(f"{name}: '{example}' is said to hold both the examples and their classes: name two columns")
    values = {column: [record.get(column) for record in sample] for column in columns}
    others = [column for column in columns if column not in (example, label)]
    guessed = []
    if example is None:
        fitting = [column for column in others if _LOOKS[kind](values[column])]
        # Names of classes may be words as well, but the same ones come again and again.
        fitting = [column for column in fitting if len(fitting) == 1 or not _come_again(values[column])]
        # Of two columns the other one is it.
        alone = len(columns) == 1 or (len(columns) == 2 and label is not None)
        example = _only(fitting) or (_only(others) if alone and not fitting else None)
        guessed += [example]
    if label is None and labels is not False and example is not None:
        others = [column for column in others if column != example]
        fitting = [column for column in others if _come_again(values[column])]
        label = _only(fitting) or (_only(others) if labels and len(columns) == 2 else None)
        guessed += [label]
    missing = [usual] if example is None else []
    missing += [LABEL] if label is None and labels else []
    if missing:
        raise InputError(_unknown(columns, missing, labels is True, usual, name))
    for column in guessed:
        if column is not None and not _is_name(column, values[column]):
            raise InputError(
                f"{name}: the first line must name the columns, and '{column[:_LONGEST]}' seems to be an example: put "
                f"a line such as {usual},{LABEL} above it"
            )
    assert example is not None
    return Choice(example, None if labels is False else label)


def listed(columns: Sequence[str]) -> str:
    """The names of columns for a message."""
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    return ", ".join(f"'{column[:_LONGEST]}'" for column in columns[:_NAMED]) + more


def find(columns: Sequence[str], wanted: str) -> str | None:
    """A column by its name as it is, else in small letters and without blanks around it."""
    if wanted in columns:
        return wanted
    plain = wanted.strip().casefold()
    return next((column for column in columns if column.strip().casefold() == plain), None)


def _known(columns: Sequence[str], asked: str | None, usual: str, option: str, name: str) -> str | None:
    column = find(columns, usual if asked is None else asked)
    if column is None and asked is not None:
        raise InputError(f"{name} has no column '{asked[:_LONGEST]}' ({option}): it has {listed(columns) or 'none'}")
    times = 0 if column is None else sum(find([other], column) is not None for other in columns)
    if times > 1:
        raise InputError(f"{name} has {times} columns '{column}': rename or remove all but one")
    return column


def _unknown(columns: Sequence[str], missing: Sequence[str], labels: bool, usual: str, name: str) -> str:
    wanted = f"{usual} and {LABEL}" if labels else usual
    options = " and ".join("--label-column" if what == LABEL else "--text-column" for what in missing)
    which = " and ".join("the classes" if what == LABEL else "the examples" for what in missing)
    return (
        f"{name} must name the columns {wanted}; it names {listed(columns) or 'none'}, and which of them holds {which} "
        f"cannot be told for certain: say it by {options} (in Python TableOptions), or rename it"
    )


def _only(columns: Sequence[str]) -> str | None:
    return columns[0] if len(columns) == 1 else None


def _is_name(column: str, values: Sequence[Any]) -> bool:
    """Whether what stands above values is a name, and no value itself."""
    short = 0 < len(column.strip()) <= _LONGEST and not column.rstrip().endswith((".", "?", "!", "。", "？", "！"))
    return short and column not in values


def _are_texts(values: Sequence[Any]) -> bool:
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    sentences = sum(len(text.split()) > 1 or bool(_SCRIPT.search(text)) for text in texts)
    return 2 * len(texts) > len(values) and 2 * sentences > len(texts)


def _are_paths(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, str) and _FILE.fullmatch(value.strip()) for value in values)


def _are_vectors(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, list | tuple) and value for value in values)


def _come_again(values: Sequence[Any]) -> bool:
    """Whether they are names, each of which comes twice or more on average."""
    names = [value.strip() if isinstance(value, str) else value for value in values if value not in (None, "")]
    plain = all(isinstance(name, int) or (isinstance(name, str) and not _FRACTION.fullmatch(name)) for name in names)
    return bool(names) and plain and 2 * len({str(name) for name in names}) <= len(names)


_LOOKS: dict[str, Callable[[Sequence[Any]], bool]] = {
    "pictures": _are_paths,
    "sounds": _are_paths,
    "texts": _are_texts,
    "features": _are_vectors,
}
