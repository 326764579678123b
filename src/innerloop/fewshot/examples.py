"""Examples as people have them: folders, tables, `.npz`, standard input.

| kind | a folder | a table (`tasks.tables`) | `.npz` | line by line |
| --- | --- | --- | --- | --- |
| pictures | picture files, with labels in a sub-folder for each class | `path` and `label` | `x` and `y` | paths |
| sounds | `.wav` and `.flac` files, likewise | `path` and `label` | `x` and `y` | paths |
| texts | `.txt` files, one text each, likewise | `text` and `label` | `x` and `y` of rows | texts |
| features | – | JSON, JSONL, Parquet: `features` and `label` | `x` and `y` | – |

Paths in a table are relative to its folder. Empty lines are left out. Nothing that is read can run code.
"""

import io
import itertools
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.core.nearest import beside
from innerloop.core.texts import FILES, Kind
from innerloop.fewshot.history import Label
from innerloop.tasks import npz, tables
from innerloop.tasks import picture_files as files
from innerloop.tasks.columns import USUAL, TableOptions
from innerloop.tasks.encodings import lines
from innerloop.tasks.notices import Say, warn
from innerloop.tasks.zips import Packed, is_zip

Chunk = list[str] | list[Path] | list[bytes] | np.ndarray
STDIN = "-"
_CHUNK = 256
_LARGEST_TEXT = 1_000_000
"""Bytes of a `.txt` file."""
_SHOWN = 200
"""Characters of a name in a message."""


def labelled(
    path: str | Path, kind: Kind, table: TableOptions = TableOptions(), known: Collection[str] = ()
) -> tuple[Chunk, list[Label]]:
    """Read examples with their classes.

    Args:
        path: A folder, a file, or "-": a table on standard input.
        kind: What raw examples are.
        table: How a table is read.
        known: Classes that are taught already, of which a folder may hold one alone.

    Returns:
        n paths, texts or rows, and n labels: strings, or integers where the file has integers.

    Raises:
        InputError: There is nothing to read, or something in it is wrong; the message says where.
    """
    root = expanded(path)
    if str(path) != STDIN and (is_folder(root) or is_zip(root)):
        return _folder(root, kind, known)
    if str(path) != STDIN and root.suffix.lower() == ".npz":
        return _arrays(root, labels=True)
    if str(path) != STDIN and is_file(root) and _is_one(root, kind):
        raise InputError(
            f"{root} is one {files.ONE[kind]}, without a class: give a folder with a sub-folder for each class, "
            "or a table with path and label"
        )
    raw, labels = [], []
    with _opened(path) as (file, name, folder):
        for row in tables.rows(file, name, kind, table):
            raw.append(_example(row, name, folder, kind))
            labels.append(_label(row, name))
    if not raw:
        raise InputError(f"{name} holds no example below its header: add lines with {USUAL[kind]} and label")
    return _stack(raw, kind, name), labels


def unlabelled(
    path: str | Path,
    kind: Kind,
    chunk: int = _CHUNK,
    table: TableOptions = TableOptions(),
    unread: list[str] | None = None,
) -> Iterator[Chunk]:
    """Read examples to predict on, as they are needed.

    Args:
        path: A folder, a file (a picture, a sound, a table whose labels are left out, `.npz`, `.txt` with one text or
            path a line), or "-": standard input, a table if its first line is a header or an object, else one text or
            path a line.
        kind: What raw examples are.
        chunk: At most so many at once.
        table: How a table is read.
        unread: Where messages about files go that cannot be read; None: the first one is raised.

    Raises:
        InputError: There is nothing to read, or something in it is wrong; the message says where.
    """
    root = expanded(path)
    if str(path) != STDIN and (is_folder(root) or is_zip(root)):
        yield from _chunks(_files(root, kind, unread), chunk, kind, str(root), unread)
    elif str(path) != STDIN and root.suffix.lower() == ".npz":
        x, _ = _arrays(root, labels=False)
        yield from (x[i : i + chunk] for i in range(0, len(x), chunk))
    elif str(path) != STDIN and _is_one(root, kind):
        yield [root]
    else:
        with _opened(path) as (file, name, folder):
            rows = tables.rows(file, name, kind, table, labels=False, plain=True)
            yield from _chunks((_example(row, name, folder, kind) for row in rows), chunk, kind, name)


def of_table(
    content: bytes, name: str, kind: Kind, table: TableOptions = TableOptions(), say: Say = warn
) -> Iterator[tuple[str | list[float], Label | None]]:
    """Examples of a table that is in memory, with their classes where it has a column of them.

    Args:
        content: Of the file.
        name: Of the file.
        kind: texts or features.
        table: How it is read.
        say: Where notices go.

    Raises:
        InputError: Something in it is wrong; the message says where.
    """
    count = 0
    for row in tables.rows(io.BytesIO(content), name, kind, table, labels=None, plain=True, say=say):
        example = _example(row, name, Path(), kind)
        assert not isinstance(example, Path)
        yield example, _label(row, name) if row.labelled else None
        count += 1
    if not count:
        raise InputError(f"{name} holds no example: give one, at least")


def _folder(root: Path, kind: Kind, known: Collection[str]) -> tuple[Chunk, list[Label]]:
    inside = _listing(root, kind)
    files.refuse_parent(inside, root, known)
    classes = files.labelled(inside, root, kind)
    if inside.left:
        warn(files.notice(inside.left))
    raw = [_content(file, kind) for each in classes.values() for file in each]
    return raw, [name for name, each in classes.items() for _ in each]


def _files(root: Path, kind: Kind, unread: list[str] | None) -> Iterator[Any]:
    """Pictures, sounds, or texts, of a folder and of those in it."""
    inside = _listing(root, kind)
    if inside.left:
        warn(files.notice(inside.left))
    if not inside.files:
        raise InputError(f"{root} holds no {files.ONE[kind]}: put some in it")
    for file in inside.files:
        try:
            yield _content(file, kind)
        except InputError as error:
            if unread is None:
                raise
            unread.append(str(error))


def _listing(root: Path, kind: Kind) -> files.Listing[files.File]:
    if kind == "features":
        raise InputError(f"{root} is a folder; features are read from .npz (x and y) or a table (features and label)")
    found = files.listing(root, files.endings_of(kind))
    if kind == "sounds":
        files.refuse_mixed(found, root)
    return found


def _is_one(file: Path, kind: Kind) -> bool:
    """Whether a file is an example itself, not a table of them."""
    return files.is_picture(file) if kind == "pictures" else kind == "sounds" and file.suffix.lower() in files.SOUNDS


def _content(file: files.File, kind: Kind) -> Any:
    return files.opened(file) if kind in FILES else _text(file)


def _text(file: files.File) -> str:
    with _opened(file) as (content, name, _):
        held = content.read(_LARGEST_TEXT + 1)
    if len(held) > _LARGEST_TEXT:
        raise InputError(f"{name} is larger than {_LARGEST_TEXT // 1_000_000} MB: a .txt file is one example")
    text = "".join(lines(io.BytesIO(held), name)).strip()
    if not text:
        raise InputError(f"{name} is empty: write the text into it, or remove it")
    return text


def _example(row: tables.Row, name: str, folder: Path, kind: Kind) -> str | Path | list[float]:
    value = row.example
    if kind == "features":
        # `type`, not `isinstance`: true and false are no numbers in JSON.
        good = isinstance(value, list) and value and all(type(v) in (int, float) for v in value)
        if not good:
            raise InputError(f"{name}, {row.place}: features are a list of numbers")
        return value
    if not isinstance(value, str) or not value.strip():
        fault = "is empty" if value in ("", None) or isinstance(value, str) else f"is {type(value).__name__}, not text"
        raise InputError(f"{name}, {row.place}: {USUAL[kind]} {fault}")
    return folder / expanded(value.strip()) if kind in FILES else value


def _label(row: tables.Row, name: str) -> Label:
    label = row.label
    if isinstance(label, str) and label.strip():
        return label.strip()
    if isinstance(label, int):
        return label
    fault = "is missing" if label is None or isinstance(label, str) else f"is {type(label).__name__}"
    raise InputError(f"{name}, {row.place}: the label {fault}; labels are texts, whole numbers, or true and false")


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


def _chunks(
    examples: Iterator[Any], size: int, kind: Kind, name: str, unread: list[str] | None = None
) -> Iterator[Chunk]:
    count = 0
    while part := list(itertools.islice(examples, size)):
        count += len(part)
        yield _stack(part, kind, name)
    if not count and not unread:
        raise InputError(f"{name} holds no example: give one, at least")


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
def _opened(path: str | files.File) -> Iterator[tuple[IO[bytes], str, Path]]:
    """A file or standard input, what errors call it, and where its relative paths begin."""
    if isinstance(path, Packed):
        yield io.BytesIO(path.read()), path.name, Path()
        return
    if str(path) == STDIN:
        yield sys.stdin.buffer, "standard input", Path()
        return
    root = expanded(path)
    try:
        file = root.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"there is no file or folder {root}{beside(root)}") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {str(root)[:_SHOWN]}: {reason}") from error
    with file:
        try:
            yield file, str(root), root.parent
        except OSError as error:  # such as a folder, or a disk that fails
            raise InputError(f"cannot read {root}: {error.strerror or error}") from error


def listed(classes: str | None) -> list[str]:
    """Names of classes, with commas between them, one by one."""
    return [] if classes is None else [name.strip() for name in classes.split(",") if name.strip()]


def described(table: str | Path) -> dict[str, str]:
    """What classes are, by their names, in a table of `label` and `text`.

    Raises:
        InputError: It cannot be read, or describes one twice.
    """
    texts, labels = labelled(table, "texts")
    about: dict[str, str] = {}
    for label, text in zip(map(str, labels), texts, strict=True):
        if label in about:
            raise InputError(f"{table} describes '{label}' twice: give each class one text")
        about[label] = str(text)
    return about
