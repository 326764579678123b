"""Tables of ratings as CSV: user, item, rating, perhaps time; with files of what is known of users and items."""

import csv
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.core.files import check_file, expanded, is_file
from innerloop.tasks.encodings import lines
from innerloop.tasks.notices import Say, warn
from innerloop.tasks.ratings.features import read_features, with_others
from innerloop.tasks.ratings.table import Ratings, Scale, tabled

COLUMNS = {"user": ("user", "userid"), "item": ("item", "itemid"), "rating": ("rating",), "time": ("time", "timestamp")}
"""What the columns may be called, in any case and with or without blanks and underscores."""
_NEEDED = ("user", "item", "rating")
_OF_TEXTS = {"text", "label"}
"""Columns of tables of another kind."""
_SUFFIXES = (".csv", ".tsv")
Record = tuple[int, dict[str, str]]
"""The number of a line, and its cells by column."""


@dataclass(frozen=True, kw_only=True)
class RatingOptions:
    """What is known of a table of ratings beside its rows."""

    user_features: str | None = None
    """CSV file with a column user and a column for each feature; None: nothing is known of users."""
    item_features: str | None = None
    """The same with a column item; a column title has what people call them."""
    categories: tuple[str, ...] = ()
    """Columns of features whose numbers are names of categories, such as codes."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest rating; None: those that occur."""
    behaviour: bool = False
    """Whether rows are what somebody did, such as clicks, whatever they are rated; a rating need not be there."""
    least: float | None = None
    """From which rating on a row counts as such; None: every row does."""
    texts: bool = False
    """Whether items that nobody has rated, and the file of items has, are items as well."""


def is_ratings(path: Path) -> bool:
    """Whether a file is called like a table and its first line names user and item, and not texts with their labels.

    Or is a rating itself, where somebody forgot the header.
    """
    if path.suffix.lower() not in _SUFFIXES or not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            first = next(lines(file, str(path), say=lambda _: None), "")
    except (InputError, OSError):  # whoever reads it as something else says why
        return False
    try:
        header = next(csv.reader([first], delimiter=_delimiter(first)), [])
    except csv.Error:
        return False
    other = _OF_TEXTS & {cell.casefold().strip() for cell in header}
    named = _columns(header).keys()
    # One without a header is claimed as well: whoever reads it says what is missing.
    return ({"user", "item"} <= named and ("rating" in named or not other)) or _begins_with_a_rating(header)


def from_file(path: Path, options: RatingOptions = RatingOptions(), say: Say = warn) -> Ratings:
    """Read a table of ratings.

    Args:
        path: A CSV file; its first line names the columns user, item, rating and perhaps time, which is a number or a
            date as ISO 8601 writes it.
        options: Files of features, and the scale.
        say: Where notices go, such as how many ratings were replaced by later ones.

    Raises:
        InputError: There is no header, or a line is not what it should be; the message names the line.
    """
    users, items, values, times = [], [], [], []
    needed = _NEEDED[:2] if options.behaviour and options.least is None else _NEEDED
    rows = rating_rows(path, None if options.behaviour else options.scale, needed)
    for user, item, value, time in rows:
        users.append(sys.intern(user))  # names come again and again: one copy of each is kept
        items.append(sys.intern(item))
        values.append(value)
        times.append(time)
    if not values:
        raise InputError(f"{path} has no rating: give at least one line of user, item and rating below its header")
    timed = times[0] is not None
    scale = Scale(min(values), max(values)) if options.scale is None else Scale(*options.scale)
    table = tabled(path.stem, users, items, values, times if timed else None, scale)
    if table.repeated:
        what = ("rows", "is there again") if options.behaviour else ("ratings", "was rated again later")
        say(f"{path}: {table.repeated} {what[0]} of a pair that {what[1]} were left out")
    return with_features(table.as_behaviour(options.least) if options.behaviour else table, options, say)


def rating_rows(
    path: Path, scale: tuple[float, float] | None, needed: Sequence[str] = _NEEDED
) -> Iterator[tuple[str, str, float, float | None]]:
    """User, item, rating and time of every line; the user is empty where no such column is needed, the rating 1.

    Raises:
        InputError: As of `from_file`.
    """
    header, records = _table(path)
    where = _columns(header)
    missing = [name for name in needed if name not in where]
    if missing:
        listed = ", ".join(f"'{cell[:40]}'" for cell in header[:8]) or "nothing"
        raise InputError(
            f"{path}: the first line must name the columns {', '.join(needed)}; it has {listed}. Put such a header "
            f"above the ratings, or rename the column that holds {missing[0]}"
            + (
                "; where rows are clicks or purchases, add --implicit"
                if missing == ["rating"] and "user" in needed
                else ""
            )
        )
    dates: bool | None = None
    for number, record in records:
        place = f"{path}, line {number}"
        cells = {name: record[column].strip() for name, column in where.items()}
        empty = next((name for name in needed if not cells[name]), None)
        if empty is not None:
            raise InputError(f"{place} has no {empty}: fill it in, or remove the line")
        value = _number(cells["rating"], place, scale) if "rating" in needed else 1.0
        time = None
        if "time" in where:
            time, date = _time(cells["time"], place)
            if dates is not None and date is not dates:
                this, others = ("date", "numbers") if date else ("number", "dates")
                raise InputError(
                    f"{place}: the time '{cells['time'][:40]}' is a {this}, and those before are {others}: write all "
                    "of them in one way"
                )
            dates = date
        yield cells.get("user", ""), cells["item"], value, time


def ratings_of_one(path: Path, scale: tuple[float, float]) -> list[tuple[str, float]]:
    """Items and ratings of a file of one person, the latest last: columns item and rating, perhaps time and user.

    Raises:
        InputError: As of `from_file`, or it has ratings of several users.
    """
    rows = _of_one(path, scale, ("item", "rating"))
    rows.sort(key=lambda row: row[2] or 0.0)  # stays as it stands where there are no times
    return [(item, value) for item, value, _ in rows]


def items_of_one(path: Path) -> list[tuple[str, float]]:
    """Items of a file of one person with the column item, each with the value 1; other columns but user say nothing.

    Raises:
        InputError: As of `from_file`, or it has items of several users.
    """
    return [(item, value) for item, value, _ in _of_one(path, None, ("item",))]


def _of_one(
    path: Path, scale: tuple[float, float] | None, needed: Sequence[str]
) -> list[tuple[str, float, float | None]]:
    rows = list(rating_rows(path, scale, needed))
    users = sorted({user for user, *_ in rows})
    if len(users) > 1:
        raise InputError(
            f"{path} has ratings of {len(users)} users, such as '{users[0][:40]}' and '{users[1][:40]}': give those of "
            "one"
        )
    return [row[1:] for row in rows]


def with_features(table: Ratings, options: RatingOptions, say: Say = warn) -> Ratings:
    """The table with what files say of users and items.

    Raises:
        InputError: A file cannot be read, or names somebody twice.
    """
    changes, columns = {}, []
    for of, names in (("user", table.user_names), ("item", table.item_names)):
        path = getattr(options, f"{of}_features")
        if path is not None:
            file = expanded(path)
            header, records = _table(file)
            columns += header
            lines_of = header, records
            if options.texts and of == "item":
                names, lines_of = with_others(names, lines_of)
                changes["item_names"] = tuple(names)
            features, titles = read_features(file, of, names, lines_of, options.categories, say)
            changes |= {f"{of}_features": features} | ({"titles": titles} if titles and of == "item" else {})
    if unknown := [name for name in options.categories if name not in columns]:
        raise InputError(f"no file of features has a column '{unknown[0]}' (--categories): {', '.join(columns)}")
    return replace(table, **changes)


def _table(path: Path) -> tuple[list[str], Iterator[Record]]:
    """The header of a CSV file, and its lines, read as they are asked for."""
    check_file(path, "give a CSV file of ratings")
    rows = _rows(path)
    header = [cell.strip() for cell in next(rows, (1, []))[1]]
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        raise InputError(f"{path}: the first line names the column '{twice[:40]}' twice; remove or rename one of them")

    def records() -> Iterator[Record]:
        for number, cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, line {number} has {len(cells)} cells, and the header names {len(header)} columns: "
                    "give as many"
                )
            yield number, dict(zip(header, cells, strict=True))

    return header, records()


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Cells of every line, each with its number; never wholly in memory."""
    with path.open("rb") as file:
        text = lines(file, str(path))
        first = next(text, "")
        reader = csv.reader(chain([first], text), delimiter=_delimiter(first), strict=True)
        before = 0
        try:
            for cells in reader:
                before = reader.line_num
                yield before, cells
        except csv.Error as error:
            raise InputError(
                f"{path}, line {before + 1}: {error}. A cell with quotes is written in quotes, those in it twice"
            ) from error


def _begins_with_a_rating(cells: Sequence[str]) -> bool:
    """Whether a first line is user, item, a number, and perhaps a number more."""
    return len(cells) in (3, 4) and all(cells) and all(cell.replace(".", "", 1).isdigit() for cell in cells[2:])


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _columns(header: Sequence[str]) -> dict[str, str]:
    """The columns of a header that are known, by what they hold."""
    plain = {cell.casefold().replace("_", "").replace(" ", ""): cell for cell in header}
    columns = {name: next((plain[k] for k in known if k in plain), None) for name, known in COLUMNS.items()}
    return {name: column for name, column in columns.items() if column is not None}


def _number(cell: str, place: str, scale: tuple[float, float] | None) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: the rating '{cell[:40]}' is no number")
    if scale is not None and not scale[0] <= value <= scale[1]:
        raise InputError(f"{place}: the rating {value:g} is outside of the scale from {scale[0]:g} to {scale[1]:g}")
    return value


def _time(cell: str, place: str) -> tuple[float, bool]:
    """Seconds, or any number that grows, and whether a date stood there."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value, False
    try:
        when = datetime.fromisoformat(cell)
    except ValueError:
        raise InputError(
            f"{place}: the time '{cell[:40]}' is neither a number nor a date such as 2026-11-28T14:00"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), True
