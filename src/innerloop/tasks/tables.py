"""Tables of examples, one reader for all doors: CSV with commas, semicolons or tabs, JSON, JSONL, Excel, Parquet.

What a file is follows from the ending of its name, else from how it begins.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from innerloop.core.errors import InputError
from innerloop.tasks import sheets
from innerloop.tasks.columns import LABEL, SAMPLE, USUAL, Choice, TableOptions, choose, find, listed
from innerloop.tasks.encodings import lines
from innerloop.tasks.notices import Say, warn

__all__ = ["SUFFIXES", "Row", "TableOptions", "is_table", "rows"]
DELIMITERS = (",", ";", "\t")
"""A CSV file has the one of these with which its header names most columns, the first of several."""
_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_FORMATS |= {".xlsx": "excel", ".xlsm": "excel", ".parquet": "parquet"}
SUFFIXES = tuple(_FORMATS)
_BEGINNINGS = {b"PK\x03\x04": "excel", b"PAR1": "parquet"}


class Row(NamedTuple):
    """One example of a table."""

    place: str
    """Where it stands, such as "line 4"."""
    example: Any
    label: Any
    labelled: bool = True
    """False: labels were not asked for, or there is no column of them."""


def is_table(path: Path) -> bool:
    """Whether a file is called like a table."""
    return path.suffix.lower() in SUFFIXES


def rows(
    file: IO[bytes],
    name: str,
    kind: str,
    options: TableOptions = TableOptions(),
    labels: bool | None = True,
    *,
    plain: bool = False,
    say: Say = warn,
) -> Iterator[Row]:
    """Examples of a table; how many rows hold nothing is said.

    Args:
        file: Text is read as it is needed.
        name: What errors call it; its ending says what it is.
        kind: pictures, texts or features.
        options: Which columns, and the encoding.
        labels: Whether classes are needed; None: if a column of them is there.
        plain: Whether lines are examples where the first one is no header that names the column of examples.
        say: Where notices go.

    Raises:
        InputError: It cannot be read, its columns cannot be told, or a row is not like the others.
    """
    form, content = _form(file, name)
    if form in ("excel", "parquet"):
        columns, cells = (sheets.excel if form == "excel" else sheets.parquet)(content, name)
        if not columns:
            raise InputError(_empty(name, kind, "row"))
        records = ((place, dict(zip(columns, row, strict=False))) for place, row in cells)
    else:
        text = lines(content, name, options.encoding, say)
        # What a stream is can be told by its first line only, and it cannot be read twice.
        number, first = next(((i, line) for i, line in enumerate(text, 1) if line.strip()), (1, ""))
        text = itertools.chain([first], text)
        columns = None  # of JSON: the keys that are met
        if _is_list(first, form):
            records = _json(text, name, kind)
        elif form == "jsonl" or (form in (None, "json") and first.lstrip().startswith("{")):
            records = _json_lines(text, name, kind, number)
        elif form == "json":
            raise InputError(f"{name} is no list of objects such as {_shape(kind)}, and no such object a line")
        elif kind == "features":
            raise InputError(
                f"{name}: features are read from .npz (x and y) or JSON, JSONL, Parquet (features and label)"
            )
        elif plain and form is None and not _is_header(first, kind, options):
            yield from (
                Row(f"line {i}", line.strip(), None, False) for i, line in enumerate(text, number) if line.strip()
            )
            return
        else:
            columns, records = _csv(text, name, kind, options, number)
    sample = list(itertools.islice(records, 1))
    if not _named(columns or _keys(sample), kind, options, labels):
        sample += itertools.islice(records, SAMPLE)
    held = [record for _, record in sample if any(map(_holds, record.values()))]
    names = columns or _keys(sample)
    choice = choose(names, held, kind, options, name, labels)
    if labels is None and choice.label is None and len(names) > 1:
        say(f"{name} is read without classes: none of its columns is certain to hold them, {listed(names)}")
    yield from _rows(itertools.chain(sample, records), choice, name, kind, say)


Records = Iterator[tuple[str, dict[str, Any]]]


def _form(file: IO[bytes], name: str) -> tuple[str | None, IO[bytes]]:
    form = _FORMATS.get(Path(name).suffix.lower())
    if form is not None or isinstance(file, io.BytesIO):
        start = file.getvalue() if isinstance(file, io.BytesIO) else b""
    else:
        file = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[arg-type]
        start = file.peek(4)
    return form or _BEGINNINGS.get(bytes(start[:4])), file


def _is_list(first: str, form: str | None) -> bool:
    # A text may begin with a bracket as well, a file of JSON with nothing else.
    pattern = r"\s*\[" if form == "json" else r"\s*\[\s*(\{|\]?\s*\Z)"
    return form in ("json", None) and re.match(pattern, first) is not None


def _is_header(first: str, kind: str, options: TableOptions) -> bool:
    if options.text_column or options.label_column:
        return True
    return any(find(cells, USUAL[kind]) is not None for cells in _headers(first).values())


def _named(columns: Sequence[str], kind: str, options: TableOptions, labels: bool | None) -> bool:
    """Whether names alone say which columns are meant."""
    wanted = [options.text_column or USUAL[kind], *([] if labels is False else [options.label_column or LABEL])]
    return all(find(columns, one) is not None for one in wanted)


def _keys(sample: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(key for _, record in sample for key in record))


def _rows(records: Records, choice: Choice, name: str, kind: str, say: Say) -> Iterator[Row]:
    empty = 0
    wanted = [column for column in choice if column is not None]
    for place, record in records:
        missing = next((column for column in wanted if column not in record), None)
        if not any(map(_holds, record.values())):
            empty += 1
            continue
        if missing is not None:
            raise InputError(f"{name}, {place} has no '{missing}': write objects such as {_shape(kind)}")
        label = None if choice.label is None else record[choice.label]
        yield Row(place, record[choice.example], label, choice.label is not None)
    if empty:
        say(f"{empty} empty {'row' if empty == 1 else 'rows'} of {name} left out")


def _holds(cell: Any) -> bool:
    return cell is not None and not (isinstance(cell, str) and not cell.strip())


def _csv(text: Iterator[str], name: str, kind: str, options: TableOptions, line: int) -> tuple[list[str], Records]:
    header = next(text, "")
    if not header.strip():
        raise InputError(_empty(name, kind, "line"))
    headers = _headers(header, name)
    wanted = (options.text_column or USUAL[kind], options.label_column or LABEL)

    def fit(delimiter: str) -> tuple[int, int]:
        return sum(find(headers[delimiter], one) is not None for one in wanted), len(headers[delimiter])

    delimiter = max(DELIMITERS, key=fit)
    return headers[delimiter], _csv_records(text, headers[delimiter], delimiter, name, line + 1)


def _csv_records(text: Iterator[str], columns: list[str], delimiter: str, name: str, first: int) -> Records:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = first + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{name}, line {line}: {error}. A text with quotes is written in quotes, those in it twice"
            ) from error
        if cells is None:
            return
        if len(cells) != len(columns) and any(map(_holds, cells)):
            raise InputError(
                f"{name}, line {line} has {len(cells)} cells and the header {len(columns)}: put text that holds "
                f"{delimiter!r} in quotes"
            )
        if cells:
            yield f"line {line}", dict(itertools.zip_longest(columns, cells[: len(columns)]))


def _headers(header: str, name: str | None = None) -> dict[str, list[str]]:
    """The names in a line, if it were the header of a CSV file, for every delimiter."""
    try:
        return {d: [cell.strip() for cell in next(csv.reader([header], delimiter=d), [])] for d in DELIMITERS}
    except csv.Error as error:
        if name is None:  # it is no header
            return {}
        raise InputError(f"{name}: the first line cannot be read ({error})") from error


def _json_lines(text: Iterator[str], name: str, kind: str, first: int) -> Records:
    for number, line in enumerate(text, first):
        if line.strip():
            place = f"line {number}"
            yield place, _object(_parsed(line, f"{name}, {place}", "write one object a line"), name, place, kind)


def _json(text: Iterator[str], name: str, kind: str) -> Records:
    entries = _parsed("".join(text), name, f"write a list of objects such as {_shape(kind)}")
    for number, entry in enumerate(entries, 1):
        yield f"entry {number}", _object(entry, name, f"entry {number}", kind)


def _parsed(text: str, called: str, advice: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{called} is not JSON ({error}): {advice}") from error


def _object(entry: Any, name: str, place: str, kind: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise InputError(f"{name}, {place} is not an object such as {_shape(kind)}")
    return entry


def _shape(kind: str) -> str:
    return json.dumps(dict.fromkeys((USUAL[kind], LABEL), "..."))


def _empty(name: str, kind: str, what: str) -> str:
    return f"{name} is empty; its first {what} must name the columns {USUAL[kind]} and {LABEL}"
