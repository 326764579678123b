"""Examples as a client sends them: as JSON, so many at a time that a request is never too large."""

import base64
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.texts import FILES

T = TypeVar("T")
Example = str | Path | bytes | np.ndarray | Sequence[float]
"""A picture or a sound (path, or bytes of a file), a text, or a vector of features; where a task is of
files, strings are paths."""
Examples = Sequence[Example] | np.ndarray
# Less than the 256 examples and 32 MB that a service takes: labels and what stands around the values come on top.
_AT_ONCE = 200
_BYTES = 16_000_000
_NUMBER = 25
"""Bytes of the longest number in JSON, "-2.2250738585072014e-308" with its comma."""


def parts(examples: Sequence[Example] | np.ndarray, kind: str) -> Iterator[tuple[list[dict[str, Any]], list[int]]]:
    """Requests' worth of examples, each as its JSON with its place.

    Args:
        examples: All that are to be sent.
        kind: Of the task; strings are paths where it is "pictures" or "sounds".

    Raises:
        InputError: One is no example, or a file that cannot be read.
    """
    # A string is a sequence as well: every letter would be sent.
    if isinstance(examples, str | bytes | Path):
        raise InputError("this is one example: give a list of them")
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    size = 0
    for i, example in enumerate(examples):
        row = _row(example, kind)
        bulk = sum(_NUMBER * len(value) if isinstance(value, list) else len(value) for value in row.values())
        # A request has examples of one kind.
        if rows and (len(rows) == _AT_ONCE or size + bulk > _BYTES or row.keys() != rows[0].keys()):
            yield rows, places
            rows, places, size = [], [], 0
        rows.append(row)
        places.append(i)
        size += bulk
    if rows:
        yield rows, places


def in_one_change(requests: Iterator[T]) -> Iterator[tuple[T, dict[str, Any] | None]]:
    """Requests that are one change together, each with what its address says of that.

    Args:
        requests: In their order; one alone needs no name.
    """
    name: str | None = None
    before = next(requests, None)
    while before is not None:
        after = next(requests, None)
        if name is None and after is not None:
            name = secrets.token_hex(16)
        yield before, None if name is None else {"change": name} | ({"more": 1} if after is not None else {})
        before = after


def body(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """A request's worth of examples without labels, as the body of a request."""
    kind = next(iter(rows[0]))
    return {f"{kind}s" if kind != "features" else kind: [row[kind] for row in rows]}


def _row(example: Example, kind: str) -> dict[str, Any]:
    field = "sound" if kind == "sounds" else "image"
    if isinstance(example, bytes):
        return {field: base64.b64encode(example).decode()}
    if isinstance(example, Path) or (isinstance(example, str) and kind in FILES):
        try:
            return {field: base64.b64encode(Path(example).read_bytes()).decode()}
        except OSError as error:
            raise InputError(f"{example} cannot be read: {error.strerror or error}") from error
    if isinstance(example, str):
        return {"text": example}
    try:
        values = np.asarray(example, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"an example is a picture, a text or a vector of numbers, got {example!r:.60}") from error
    if not np.isfinite(values).all():
        raise InputError("an example holds NaN or infinite values: remove or fill them")
    return {"features": values.tolist()}


def whole(path: str | Path) -> dict[str, tuple[str, bytes, str]]:
    """A file as a form sends it; whole, since what is read while it is sent could not be sent again.

    Raises:
        InputError: It cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return {"file": (Path(path).name, content, "application/octet-stream")}
