"""Examples as people have them: folders, CSV, JSONL, `.npz`, standard input.

| kind | a folder | CSV, JSONL | `.npz` | line by line |
| --- | --- | --- | --- | --- |
| pictures | picture files, with labels in a sub-folder for each class | `path` and `label` | `x` and `y` | paths |
| texts | `.txt` files, one text each, likewise | `text` and `label` | `x` and `y` of rows | texts |
| features | – | JSONL: `features` and `label` | `x` and `y` | – |

Paths in a table are relative to its folder. Empty lines are left out. Nothing that is read can run code.
"""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_folder
from innerloop.core.names import of_path, unified
from innerloop.encoders.base import Kind
from innerloop.fewshot.history import Label
from innerloop.tasks import npz, tables
from innerloop.tasks.images import SUFFIXES, class_folders, picked

Chunk = list[str] | list[Path] | np.ndarray
STDIN = "-"
_COLUMN = {"pictures": "path", "texts": "text", "features": "features"}
_CHUNK = 256
_LARGEST_TEXT = 1_000_000
"""Bytes of a `.txt` file."""
_SHOWN = 200
"""Characters of a name in a message."""


def labelled(path: str | Path, kind: Kind) -> tuple[Chunk, list[Label]]:
    """Read examples with their classes.

    Args:
        path: A folder, a file, or "-": CSV or JSONL on standard input.
        kind: What raw examples are.

    Returns:
        n paths, texts or rows, and n labels: strings, or integers where the file has integers.

    Raises:
        InputError: There is nothing to read, or something in it is wrong; the message says where.
    """
    root = expanded(path)
    if str(path) != STDIN and is_folder(root):
        return _folder(root, kind)
    if str(path) != STDIN and root.suffix.lower() == ".npz":
        return _arrays(root, labels=True)
    raw, labels = [], []
    with _opened(path) as (file, name, folder):
        for row, example in _table(file, name, folder, kind, with_labels=True):
            raw.append(example)
            labels.append(_label(row, name))
    if not raw:
        raise InputError(f"{name} holds no example below its header: add lines with {_COLUMN[kind]} and label")
    return _stack(raw, kind, name), labels


def unlabelled(path: str | Path, kind: Kind, chunk: int = _CHUNK) -> Iterator[Chunk]:
    """Read examples to predict on, as they are needed.

    Args:
        path: A folder, a file (a picture, a table whose labels are left out, `.npz`, `.txt` with one text or path a
            line), or "-": standard input, CSV or JSONL if its first line is a header or an object, else one text or
            path a line.
        kind: What raw examples are.
        chunk: At most so many at once.

    Raises:
        InputError: There is nothing to read, or something in it is wrong; the message says where.
    """
    root = expanded(path)
    if str(path) != STDIN and is_folder(root):
        yield from _chunks(iter(_files(root, kind)), chunk, kind, str(root))
    elif str(path) != STDIN and root.suffix.lower() == ".npz":
        x, _ = _arrays(root, labels=False)
        yield from (x[i : i + chunk] for i in range(0, len(x), chunk))
    elif str(path) != STDIN and kind == "pictures" and root.suffix.lower() in SUFFIXES:
        yield [root]
    else:
        with _opened(path) as (file, name, folder):
            examples = (example for _, example in _table(file, name, folder, kind, with_labels=False))
            yield from _chunks(examples, chunk, kind, name)


def _folder(root: Path, kind: Kind) -> tuple[Chunk, list[Label]]:
    folders = class_folders(root, kind)
    raw: list[Any] = []
    labels: list[Label] = []
    for folder, name in zip(folders, unified(map(of_path, folders)), strict=True):
        examples = _files(folder, kind)
        raw += examples
        labels += [name] * len(examples)
    return raw, labels


def _files(folder: Path, kind: Kind) -> list[Any]:
    """Paths of pictures, or the texts, that lie directly in a folder."""
    if kind == "features":
        raise InputError(f"{folder} is a folder; features are read from .npz (x and y) or JSONL (features and label)")
    suffixes = SUFFIXES if kind == "pictures" else (".txt",)
    files = picked(folder, suffixes)
    if not files:
        raise InputError(f"{folder} holds no {', '.join(suffixes)} file; put some directly in it, or remove the folder")
    return files if kind == "pictures" else [_text(file) for file in files]


def _text(file: Path) -> str:
    with _opened(file) as (content, name, _):
        # After opening, so that a file without permission is named as such.
        if file.stat().st_size > _LARGEST_TEXT:
            raise InputError(f"{name} is larger than {_LARGEST_TEXT // 1_000_000} MB: a .txt file is one example")
        text = "".join(tables.open_text(content, name)).strip()
    if not text:
        raise InputError(f"{name} is empty: write the text into it, or remove it")
    return text


def _table(
    file: IO[bytes], name: str, folder: Path, kind: Kind, with_labels: bool
) -> Iterator[tuple[tables.Row, str | Path | list[float]]]:
    """Rows of CSV, JSONL or plain lines, with the example in each."""
    column = _COLUMN[kind]
    needed = (column, "label") if with_labels else (column,)
    lines = tables.open_text(file, name)
    # What a stream is can be told by its first line only, and it cannot be read twice.
    number, first = next(((i, line) for i, line in enumerate(lines, 1) if line.strip()), (1, ""))
    # The line that was looked at is the header, or an example.
    lines = itertools.chain([first], lines)
    path = Path(name)
    if tables.is_jsonl(path) or (not tables.is_csv(path) and first.lstrip().startswith("{")):
        rows = tables.json_rows(lines, name, needed, number)
    elif kind == "features":
        raise InputError(f"{name}: features are read from .npz (x and y) or JSONL (features and label)")
    elif with_labels or tables.is_csv(path) or any(column in cells for cells in tables.columns(first)):
        rows = tables.csv_rows(lines, name, needed, number)
    else:
        rows = (tables.Row(i, {column: line.strip()}) for i, line in enumerate(lines, number) if line.strip())
    for row in rows:
        yield row, _example(row, name, folder, kind)


def _example(row: tables.Row, name: str, folder: Path, kind: Kind) -> str | Path | list[float]:
    value = row.cells[_COLUMN[kind]]
    if kind == "features":
        # `type`, not `isinstance`: true and false are no numbers in JSON.
        good = isinstance(value, list) and value and all(type(v) in (int, float) for v in value)
        if not good:
            raise InputError(f"{name}, line {row.line}: features are a list of numbers")
        return value
    if not isinstance(value, str) or not value.strip():
        fault = "is empty" if value in ("", None) or isinstance(value, str) else f"is {type(value).__name__}, not text"
        raise InputError(f"{name}, line {row.line}: {_COLUMN[kind]} {fault}")
    return folder / expanded(value.strip()) if kind == "pictures" else value


def _label(row: tables.Row, name: str) -> Label:
    label = row.cells["label"]
    if isinstance(label, str) and label.strip():
        return label.strip()
    if isinstance(label, int):
        return label
    fault = "is missing" if label is None or isinstance(label, str) else f"is {type(label).__name__}"
    raise InputError(f"{name}, line {row.line}: the label {fault}; labels are texts or whole numbers")


def _stack(raw: list[Any], kind: Kind, name: str) -> Chunk:
    if kind != "features":
        return raw
    lengths = {len(row) for row in raw}
    if len(lengths) > 1:
        raise InputError(f"{name} has rows of {min(lengths)} and of {max(lengths)} features: give all the same")
    try:
        return np.asarray(raw, dtype=np.float64)  # not float32: what that would lose is noticed where rows are read
    except OverflowError as error:
        raise InputError(f"{name} holds a feature that is too large ({error}): scale it down") from error


def _chunks(examples: Iterator[Any], size: int, kind: Kind, name: str) -> Iterator[Chunk]:
    count = 0
    while part := list(itertools.islice(examples, size)):
        count += len(part)
        yield _stack(part, kind, name)
    if not count:
        raise InputError(f"{name} holds no example")


def _arrays(path: Path, labels: bool) -> tuple[np.ndarray, list[Label]]:
    arrays = npz.load(path)
    needed = ("x", "y") if labels else ("x",)
    missing = next((key for key in needed if key not in arrays), None)
    if missing is not None:
        raise InputError(
            f"{path} has no array '{missing}' (it has {', '.join(arrays) or 'none'}): save it with "
            "np.savez(file, x=rows, y=labels)"
        )
    x, y = arrays["x"], npz.words(arrays["y"]) if labels else np.zeros(0)
    if x.ndim < 2 or not len(x):
        raise InputError(f"{path}: x must have shape [n, ...] with at least one example, it has {list(x.shape)}")
    if x.dtype.kind not in "buif":
        raise InputError(f"{path}: x must hold numbers, it is of type {x.dtype}")
    if labels and (y.shape != (len(x),) or y.dtype.kind not in "Uiu"):
        raise InputError(
            f"{path}: y must hold a text or a whole number for each of the {len(x)} examples, it has shape "
            f"{list(y.shape)} and type {y.dtype}"
        )
    plain: list[Any] = y.tolist()
    return npz.pictures_first(x, path), plain


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[IO[bytes], str, Path]]:
    """A file or standard input, what errors call it, and where its relative paths begin."""
    if str(path) == STDIN:
        yield sys.stdin.buffer, "standard input", Path()
        return
    root = expanded(path)
    try:
        file = root.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"there is no file or folder {root}") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {str(root)[:_SHOWN]}: {reason}") from error
    with file:
        try:
            yield file, str(root), root.parent
        except OSError as error:  # such as a folder, or a disk that fails
            raise InputError(f"cannot read {root}: {error.strerror or error}") from error
