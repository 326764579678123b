"""CSV and JSONL as rows of cells, with the number of the line that each began at."""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from innerloop.core.errors import InputError

DELIMITERS = (",", ";", "\t")
"""A CSV file has the first of these with which its header names the columns."""


_GZIP = b"\x1f\x8b"


class Row(NamedTuple):
    """What one line, or one quoted record, holds of the columns that were asked for."""

    line: int
    cells: dict[str, Any]


def open_text(file: IO[bytes], name: str) -> Iterator[str]:
    """Lines with their ends, decoded as UTF-8 (with or without a mark), or UTF-16 where a mark says so.

    Args:
        file: Read as it goes; never wholly in memory.
        name: What errors call it.

    Raises:
        InputError: A line is in another encoding, or the file is compressed.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[arg-type]
    start = buffered.peek(3)[:3]
    if start[:2] == _GZIP:
        raise InputError(f"{name} is compressed (gzip): unpack it first")
    wide = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if wide else "utf-8-sig"
    text = io.TextIOWrapper(buffered, encoding, newline="")
    line = 1
    try:
        while row := text.readline():
            yield row
            line += 1
    except UnicodeDecodeError as error:
        # A block is decoded at once, and only when every line before it was read.
        wrong = line + error.object[: error.start].count(b"\n")
        byte = error.object[error.start]
        called = "UTF-16" if wide else "UTF-8"
        raise InputError(f"{name} is not {called}: byte 0x{byte:02x} in line {wrong}. Save it as UTF-8") from error
    except UnicodeError as error:  # UTF-16 whose mark is gone
        raise InputError(f"{name} cannot be decoded ({error}). Save it as UTF-8") from error
    finally:
        if not buffered.closed:
            text.detach()  # the file is the caller's to close


def csv_rows(lines: Iterator[str], name: str, needed: Sequence[str], line: int = 1) -> Iterator[Row]:
    """Rows of a CSV file, whose first line names its columns.

    Args:
        lines: As of `open_text`.
        name: What errors call it.
        needed: Columns, in lower case; others are left out.
        line: The number of the first one, which is the header.

    Raises:
        InputError: No header with these columns, a name twice, a row of another length, or quotes that do not close.
    """
    header = next(lines, "")
    if not header.strip():
        raise InputError(f"{name} is empty; its first line must name the columns {' and '.join(needed)}")
    headers = {d: _cells(header, d, name) for d in DELIMITERS}
    delimiter = next((d for d, cells in headers.items() if set(needed) <= set(cells)), None)
    if delimiter is None:
        raise InputError(
            f"{name}: the first line must name the columns {' and '.join(needed)}, it is {header.strip()[:80]!r}"
        )
    columns = headers[delimiter]
    twice = next((c for c in needed if columns.count(c) > 1), None)
    if twice is not None:
        raise InputError(f"{name} has {columns.count(twice)} columns '{twice}': rename or remove all but one")
    reader, first = csv.reader(lines, delimiter=delimiter, strict=True), line + 1
    while True:
        line = first + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{name}, line {line}: {error}. A text with quotes is written in quotes, those in it twice"
            ) from error
        if any(cell.strip() for cell in cells):
            if len(cells) != len(columns):
                raise InputError(
                    f"{name}, line {line} has {len(cells)} cells and the header {len(columns)}: put text that holds "
                    f"{delimiter!r} in quotes"
                )
            yield Row(line, {c: cells[columns.index(c)] for c in needed})


def json_rows(lines: Iterator[str], name: str, needed: Sequence[str], line: int = 1) -> Iterator[Row]:
    """Rows of a JSONL file: one object a line.

    Args:
        lines: As of `open_text`.
        name: What errors call it.
        needed: Keys; others are left out.
        line: The number of the first one.

    Raises:
        InputError: A line that is no JSON object, or lacks a key.
    """
    for number, text in enumerate(lines, line):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, line {number} is not JSON ({error}): write one object a line") from error
        if not isinstance(entry, dict):
            raise InputError(f"{name}, line {number} is not an object such as {_shape(needed)}")
        missing = next((key for key in needed if key not in entry), None)
        if missing is not None:
            raise InputError(f"{name}, line {number} has no '{missing}': write objects such as {_shape(needed)}")
        yield Row(number, {key: entry[key] for key in needed})


def columns(header: str) -> list[list[str]]:
    """The names in a line, if it were the header of a CSV file, for every delimiter."""
    try:
        return [_cells(header, d, "") for d in DELIMITERS]
    except InputError:  # it is no header
        return []


def is_csv(path: Path) -> bool:
    """Whether a file is called like CSV."""
    return path.suffix.lower() in (".csv", ".tsv")


def is_jsonl(path: Path) -> bool:
    """Whether a file is called like JSONL."""
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _cells(header: str, delimiter: str, name: str) -> list[str]:
    try:
        return [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter), [])]
    except csv.Error as error:
        raise InputError(f"{name}: the first line cannot be read ({error})") from error


def _shape(needed: Sequence[str]) -> str:
    return json.dumps(dict.fromkeys(needed, "..."))
