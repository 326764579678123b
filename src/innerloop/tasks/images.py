"""Picture files as rows: any common format, mode, orientation and size; one clear error for what cannot be read."""

import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.tasks.pool import Pool, from_rows
from innerloop.tasks.progress import track

if TYPE_CHECKING:
    from PIL.Image import Image

Ink = Literal["auto", "dark", "light"]
"""What strokes look like in the files. `dark`: on a light ground, so values are inverted and strokes become 1; `light`:
values stay as they are, as in photographs; `auto`: dark if pictures are grey and, on average over all of them, their
borders are brighter than 0.5."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 100_000_000
"""More are refused before anything is decoded: 100 million take 300 MB as RGB."""
_SMALL, _LARGE = 28, 84
"""Default sizes of grey and of colour pictures, as in Omniglot and mini-imagenet."""
_BRIGHT = 0.5
_MANY = 500
_KEPT = 2
"""How much larger than its row a picture is decoded at least."""


class Pictures(NamedTuple):
    """Pictures to predict on."""

    paths: tuple[Path, ...]
    x: Tensor
    """[n, channels, size, size] float32 in [0, 1]."""


def read_image(source: Path | str | bytes, size: int, channels: int = 1, ink: Ink = "auto", name: str = "") -> Tensor:
    """Read one picture as a row.

    It is turned as EXIF says, transparency is laid on white, 16 bits become 8, colour becomes grey before it is
    resized, and what is not square is padded to a square by the mean of its border, so that nothing is cut or
    stretched.

    Args:
        source: A file, or its content.
        size: Height and width of the result, in pixels.
        channels: 1 for grey, 3 for colour.
        ink: See `Ink`; `auto` decides from this picture alone.
        name: What errors call the picture; empty: its path.

    Returns:
        [channels, size, size] uint8.

    Raises:
        InputError: It is not there, is no picture, is damaged, or has more than `MAX_PIXELS`.
    """
    _check(size, channels, ink)
    picture = _open(source, name, size)
    row = _row(picture, size, channels)
    return 255 - row if _decide(ink, channels, row[None]) == "dark" else row


def image_folder(
    path: Path | str,
    *,
    size: int | None = None,
    channels: int | None = None,
    ink: Ink = "auto",
    dataset: str | None = None,
    split: str = "all",
) -> Pool:
    """Read a folder of classes: one sub-folder each, holding jpg, jpeg, png or webp files. Classes may be uneven.

    What was decided for `size`, `channels` and `ink` stands in the pool's `preprocessing`, which are this function's
    keyword arguments: `image_folder(theirs, **pool.preprocessing)` reads other files the same way.

    Args:
        path: The folder.
        size: Height and width, in pixels; None: 28 for grey pictures, 84 for colour.
        channels: 1 or 3; None: 1 if every picture is grey.
        ink: See `Ink`.
        dataset: Name of the data; None: the folder's.
        split: Name of the pool's split.

    Raises:
        InputError: There is no such folder, no class in it, no picture in a class, or a file that cannot be read.
    """
    root = Path(path).expanduser()
    classes = _classes(root)
    files = [(file, label) for label, (_, found) in enumerate(classes.items()) for file in found]
    if channels is None:
        channels = 1 if all(_grey(_open(file)) for file, _ in files) else 3
    if size is None:
        size = _SMALL if channels == 1 else _LARGE
    _check(size, channels, ink)
    rows = torch.stack(
        [_row(_open(file, size=size), size, channels) for file in _listed([file for file, _ in files], root)]
    )
    decided = _decide(ink, channels, rows)
    return from_rows(
        255 - rows if decided == "dark" else rows,
        [label for _, label in files],
        list(classes),
        dataset=root.resolve().name if dataset is None else dataset,
        split=split,
        preprocessing={"size": size, "channels": channels, "ink": decided},
    )


def image_files(path: Path | str, *, size: int, channels: int = 1, ink: Ink = "auto") -> Pictures:
    """Read one picture, or all those that lie directly in a folder, to predict on.

    Args:
        path: The file or the folder.
        size: As in `image_folder`.
        channels: As in `image_folder`.
        ink: See `Ink`; pass what the training pool's `preprocessing` says for pictures of the same kind.

    Raises:
        InputError: There is no picture, or one cannot be read.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise InputError(f"there is no file or folder {root}")
    _check(size, channels, ink)
    files = _pictures(root) if root.is_dir() else [root]
    if not files:
        raise InputError(f"{root} holds no picture; put {', '.join(SUFFIXES)} files directly in it")
    rows = torch.stack([_row(_open(file, size=size), size, channels) for file in _listed(files, root)])
    rows = 255 - rows if _decide(ink, channels, rows) == "dark" else rows
    return Pictures(tuple(files), rows / 255)


def decide_ink(rows: Tensor) -> Ink:
    """Whether grey pictures [n, channels, h, w] uint8 are of dark strokes, by the mean brightness of their borders."""
    edges = [rows[..., 0, :], rows[..., -1, :], rows[..., 1:-1, 0], rows[..., 1:-1, -1]]
    return "dark" if torch.cat([e.flatten() for e in edges]).float().mean() > _BRIGHT * 255 else "light"


def _decide(ink: Ink, channels: int, rows: Tensor) -> Ink:
    if ink != "auto":
        return ink
    return decide_ink(rows) if channels == 1 else "light"


def _classes(root: Path) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give one with a sub-folder of pictures for each class")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise InputError(f"{root} has no sub-folders; make one for each class and put its pictures in it")
    classes = {folder.name: _pictures(folder) for folder in folders}
    empty = [name for name, found in classes.items() if not found]
    if empty:
        raise InputError(
            f"class '{empty[0]}' of {root} has no picture ({', '.join(SUFFIXES)}); add some, or remove the folder"
            + (f" ({len(empty) - 1} more are like it)" if len(empty) > 1 else "")
        )
    return classes


def _pictures(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file())


def _listed(files: Sequence[Path], root: Path) -> Iterable[Path]:
    return files if len(files) < _MANY else track(files, f"reading {root.name}", len(files))


def _check(size: int, channels: int, ink: Ink) -> None:
    if size < 1:
        raise InputError(f"size must be at least 1 pixel, got {size}")
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    if ink not in ("auto", "dark", "light"):
        raise InputError(f"ink must be 'auto', 'dark' or 'light', got {ink!r}")


def _open(source: Path | str | bytes, name: str = "", size: int | None = None) -> "Image":
    """A decoded RGB or L picture, upright and opaque; if it is to become of `size`, perhaps smaller than it was."""
    pil = _pil()
    called = name or ("the picture" if isinstance(source, bytes) else str(source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pil.DecompressionBombWarning)  # the limit below is ours
        content = io.BytesIO(source) if isinstance(source, bytes) else source
        return _explained(called, lambda: _decode(pil, content, called, size))


def _explained(called: str, read: Callable[[], "Image"]) -> "Image":
    pil = _pil()
    try:
        return read()
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no picture {called}") from error
    except pil.DecompressionBombError as error:
        raise InputError(_too_large(called, "too many")) from error
    except pil.UnidentifiedImageError as error:
        raise InputError(f"{called} is no picture that can be read; replace or remove it") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:  # what Pillow's decoders raise
        raise InputError(f"{called} is damaged ({error}); replace or remove it") from error


def _decode(pil, source, called: str, size: int | None) -> "Image":
    from PIL import ImageOps

    with pil.open(source) as opened:
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise InputError(_too_large(called, f"{width:,} x {height:,}"))
        if size is not None:
            # JPEG can be decoded at 1/2, 1/4 or 1/8: a photograph in 15 ms instead of 350. Twice the size is kept.
            opened.draft(None, (_KEPT * size, _KEPT * size))
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float64)
        picture = pil.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = pil.alpha_composite(pil.new("RGBA", picture.size, "white"), picture).convert("RGB")
    if picture.mode in ("L", "RGB"):
        return picture
    return picture.convert("L" if picture.mode in ("1", "LA", "F") else "RGB")


def _too_large(called: str, pixels: str) -> str:
    return f"{called} has {pixels} pixels; at most {MAX_PIXELS // 1_000_000} million are read. Scale it down first"


def _grey(picture: "Image") -> bool:
    if picture.mode == "L":
        return True
    values = np.asarray(picture)
    return bool((values == values[..., :1]).all())


def _row(picture: "Image", size: int, channels: int) -> Tensor:
    pil = _pil()
    picture = picture.convert("L" if channels == 1 else "RGB")
    width, height = picture.size
    if width != height:
        side = max(width, height)
        square = pil.new(picture.mode, (side, side), _border(picture))
        square.paste(picture, ((side - width) // 2, (side - height) // 2))
        picture = square
    if picture.size != (size, size):
        picture = picture.resize((size, size), pil.Resampling.LANCZOS)
    values = from_numpy(np.array(picture, dtype=np.uint8))
    return values[None] if channels == 1 else values.permute(2, 0, 1).contiguous()


def _border(picture: "Image") -> int | tuple[int, ...]:
    values = np.asarray(picture)
    edges = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]).mean(0).round().astype(int)
    return int(edges) if picture.mode == "L" else tuple(edges.tolist())


def _pil():
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("reading pictures needs Pillow: pip install innerloop[images]") from error
    return Image
