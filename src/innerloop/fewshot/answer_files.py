"""Answers as a file: CSV for spreadsheets, JSONL for programs; whole or not at all."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.errors import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl")


def check(path: str | Path) -> None:
    """Refuse a file that no answers are written to, before any work.

    Raises:
        InputError: Its name has another ending, or it is a folder.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"answers are written as {', '.join(SUFFIXES)}: {path} ends otherwise")
    if files.is_folder(Path(path)):
        raise InputError(f"{path} is a folder: give a file to write")


def write(path: str | Path, entries: Iterable[dict[str, Any]]) -> int:
    """Write answers once all of them are there.

    Args:
        path: What it ends with is what is written.
        entries: As `asking.predictions` gives them.

    Returns:
        How many there are.

    Raises:
        InputError: It cannot be written.
    """
    check(path)
    rows = list(entries)
    form = Path(path).suffix.lower()
    if form == ".jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        out = io.StringIO()
        csv.writer(out, delimiter="\t" if form == ".tsv" else ",", lineterminator="\n").writerows(_table(rows))
        content = out.getvalue()
    files.write(Path(path), content.encode("utf-8", "backslashreplace"))  # half a character cannot be written
    return len(rows)


def _table(rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
    if not rows:
        return
    example, classes = next(iter(rows[0])), sorted(rows[0]["probabilities"])
    yield [example, "class", "accepted", "probability", *(f"p({name})" for name in classes)]
    for row in rows:
        probabilities = row["probabilities"]
        label = "" if row["class"] is None else row["class"]
        most = max(probabilities.values())
        yield [row[example], label, str(row["accepted"]).lower(), most, *(probabilities[name] for name in classes)]
