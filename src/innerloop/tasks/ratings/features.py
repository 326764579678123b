"""What is known of users or items, from a CSV file: categories, several categories, numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from innerloop.core.errors import InputError
from innerloop.tasks.notices import Say
from innerloop.tasks.ratings.table import Features

SEVERAL = "|"
"""What stands between several values of one cell, as in Comedy|Drama."""
MOST = 200
"""Values of one cell: every rating of an item has a row as long as the longest cell."""
TITLE = "title"
TEXTS = ("description", "summary", "text")
"""Columns that are read, not taken for categories."""


def read_features(
    path: Path,
    of: str,
    names: Sequence[str],
    table: tuple[Sequence[str], Iterator[tuple[int, Mapping[str, str]]]],
    categories: Sequence[str],
    say: Say,
) -> tuple[Features, tuple[str, ...]]:
    """Columns in the order of `names`, and titles where there is such a column.

    A column of `TEXTS` has texts; one with a `|` in any cell has several categories a cell; one whose cells are all
    numbers has numbers, unless it is among `categories`; any other has one category a cell. Which is which is said.

    Args:
        path: What errors call the file.
        of: user or item, the column of names.
        names: Who is needed; who has no line knows nothing, and further lines are left out.
        table: Header and lines of the file.
        categories: Columns whose numbers are names.
        say: Where notices go.

    Raises:
        InputError: There is no column of names, a name comes twice, nobody who is needed is there, or a cell has more
            than `MOST` values.
    """
    header, lines = table
    key = _key(header, of)
    if key is None:
        raise InputError(f"{path}: the first line must name a column {of}; it names {', '.join(map(repr, header))}")
    known: dict[str, Mapping[str, str]] = {}
    for number, line in lines:
        name = line[key].strip()
        if name in known:
            raise InputError(f"{path}, line {number}: {of} '{name}' is there twice; remove one of its lines")
        known[name] = line
    if not known.keys() & set(names):
        raise InputError(f"{path} names none of the {len(names)} {of}s that are rated: are its names those of ratings?")
    columns = {c: [known[n][c].strip() if n in known else "" for n in names] for c in header if c != key}
    titles = columns.pop(next((c for c in columns if c.casefold() == TITLE), ""), None) if of == "item" else None
    features = sorted_out(columns, categories)
    kinds = {"categories": features.categories, "several categories": features.several, "numbers": features.numbers}
    kinds |= {"texts": features.texts}
    about = [f"{kind}: {', '.join(cells)}" for kind, cells in kinds.items() if cells]
    if missing := sum(name not in known for name in names):
        about.append(f"{missing} of {len(names)} {of}s have no line, of whom nothing is known")
    say(f"{path}: " + "; ".join(about))
    named = () if titles is None else tuple(title or name for title, name in zip(titles, names, strict=True))
    return features, named


def sorted_out(columns: Mapping[str, Sequence[str]], categories: Sequence[str] = ()) -> Features:
    """Columns of texts as what they hold, by the rule of `read_features`.

    Raises:
        InputError: A cell has more than `MOST` values.
    """
    features = Features()
    for name, cells in columns.items():
        if name.casefold() in TEXTS and name not in categories:
            features.texts[name] = list(cells)
        elif any(SEVERAL in cell for cell in cells):
            several = [tuple(filter(None, map(str.strip, cell.split(SEVERAL)))) for cell in cells]
            if (longest := max(map(len, several))) > MOST:
                raise InputError(f"column '{name}' has {longest:,} values in one cell, and {MOST} are most: keep fewer")
            features.several[name] = several
        elif name not in categories and all(map(_is_number, filter(None, cells))):
            features.numbers[name] = np.array([float(cell) if cell else math.nan for cell in cells])
        else:
            features.categories[name] = list(cells)
    return features


def with_others(
    names: Sequence[str], table: tuple[Sequence[str], Iterator[tuple[int, Mapping[str, str]]]]
) -> tuple[list[str], tuple[Sequence[str], Iterator[tuple[int, Mapping[str, str]]]]]:
    """The names, then those that only the file of items has; and the file's lines once more."""
    header, lines = table
    rows, key = list(lines), _key(header, "item")
    others = dict.fromkeys(row[key].strip() for _, row in rows) if key is not None else {}
    return [*dict.fromkeys([*names, *filter(None, others)])], (header, iter(rows))


def _key(header: Sequence[str], of: str) -> str | None:
    """The column of names of users, or of items."""
    return next((c for c in header if c.casefold().replace("_", "").removesuffix("id") == of), None)


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
