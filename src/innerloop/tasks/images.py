"""Picture files as rows: any common format, mode, orientation and size; one clear error for what cannot be read."""

import errno
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.core.names import of_path
from innerloop.core.nearest import beside
from innerloop.core.plain import is_whole, plain
from innerloop.tasks.exif import open_picture, upright
from innerloop.tasks.notices import warn
from innerloop.tasks.picture_files import File, labelled, listing, notice, opened, pillow
from innerloop.tasks.pool import Pool, from_rows
from innerloop.tasks.progress import track
from innerloop.tasks.zips import Packed, is_zip

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
Ink = Literal["auto", "dark", "light"]
"""What strokes look like in the files. `dark`: on a light ground, so values are inverted and strokes become 1; `light`:
values stay as they are, as in photographs; `auto`: dark if pictures are grey and most of them have light paper, see
`ink_of`."""

MAX_PIXELS = 100_000_000
"""More are refused before anything is decoded: 100 million take 300 MB as RGB."""
LARGEST_SIDE = 4_096
"""Pixels of a row's side."""
_SMALL, _LARGE = 28, 84
"""Default sizes of grey and of colour pictures, as in Omniglot and mini-imagenet."""
_BRIGHT = 0.5
_MANY = 500
_THUMB = 28
"""Side of the copy, in pixels, on which paper and colour are looked at."""
_EDGE = 5
"""Pixels of that copy that a dark edge of a scan may take."""
_HUE = 40
"""Difference of two channels, of 255, that makes another colour."""
_LONGEST = 4_000
"""Side from which a picture is scaled before it is padded: the square of a long strip would not fit into memory."""
_THIN, _CHEAP = 8, 2**20
"""A square of so many times a picture's pixels, and of more than so many, is scaled before it is padded as well: what a
picture costs follows from its pixels, of which a strip has few."""
_UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
"""Errors of the file system that say nothing about the picture."""
_SHOWN = 200
"""Characters of a name or reason in a message."""
_KEPT = 2
"""How much larger than its row a picture is decoded at least."""


class Pictures(NamedTuple):
    """Pictures to predict on."""

    paths: tuple[Path, ...]
    x: Tensor
    """[n, channels, size, size] float32 in [0, 1]."""


class Scan(NamedTuple):
    """One picture as it was read, before anything is decided about its ink."""

    row: Tensor
    """[channels, size, size] uint8, values as they are."""
    paper: float
    """Brightness of what the strokes are on, in [0, 1]: of the border, or of what lies inside of a scan's dark edge."""
    colour: float
    """Share of other hues than that of most of it: small for ink on paper of any colour, large for photographs."""


def scan(source: Path | str | bytes, size: int, channels: int = 1, name: str = "") -> Scan:
    """Read one picture as a row, as `read_image` does, with what tells drawings and their paper.

    Raises:
        InputError: It is not there, is no picture, is damaged, or has more than `MAX_PIXELS`.
    """
    _check(size, channels, "auto")
    return _scan(_open(source, name, size), size, channels)


def ink_of(scans: Iterable[Scan]) -> Ink:
    """Whether strokes are dark: they are where the paper of most grey pictures is light."""
    papers = sorted(one.paper for one in scans)
    return "dark" if papers and papers[len(papers) // 2] > _BRIGHT else "light"


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
    one = _scan(_open(source, name, size), size, channels)
    return 255 - one.row if _decide(ink, channels, [one]) == "dark" else one.row


def image_folder(
    path: Path | str,
    *,
    size: int | None = None,
    channels: int | None = None,
    ink: Ink = "auto",
    dataset: str | None = None,
    split: str = "all",
) -> Pool:
    """Read a folder of classes, or a zip of one: a sub-folder each, holding pictures that Pillow opens, however deep.

    Classes may be uneven. What is no picture is left out, and said.

    What was decided for `size`, `channels` and `ink` stands in the pool's `preprocessing`, which are this function's
    keyword arguments: `image_folder(theirs, **pool.preprocessing)` reads other files the same way.

    Args:
        path: The folder or zip.
        size: Height and width, in pixels; None: 28 for grey pictures, 84 for colour.
        channels: 1 or 3; None: 1 if every picture is grey.
        ink: See `Ink`.
        dataset: Name of the data; None: the folder's.
        split: Name of the pool's split.

    Raises:
        InputError: There is no such folder, no class in it, no picture in a class, or a file that cannot be read.
    """
    root = expanded(path)
    if not is_folder(root) and not is_zip(root):
        raise InputError(f"there is no folder {root}; give one with a sub-folder of pictures for each class")
    pillow()
    inside = listing(root)
    classes = labelled(inside, root, "pictures")
    if inside.left:
        warn(notice(inside.left))
    files = [(file, label) for label, (_, paths) in enumerate(classes.items()) for file in paths]
    name = of_path(root.resolve().with_suffix("") if is_zip(root) else root.resolve())
    return pictures_pool(
        [file for file, _ in files],
        opened,
        [label for _, label in files],
        list(classes),
        size=size,
        channels=channels,
        ink=ink,
        dataset=name if dataset is None else dataset,
        split=split,
    )


def pictures_pool(
    pictures: Sequence[T],
    opening: Callable[[T], Path | bytes],
    labels: Sequence[int],
    classes: Sequence[str],
    *,
    size: int | None,
    channels: int | None,
    ink: Ink,
    dataset: str,
    split: str = "all",
) -> Pool:
    """A pool of pictures; `image_folder` says what is decided about them.

    Args:
        pictures: [n] of them.
        opening: A picture as a file or its content.
        labels: [n] places of their classes.
        classes: Names.
        size: As of `image_folder`, likewise the others.
        channels: 1 or 3, or None.
        ink: See `Ink`.
        dataset: Name of the data.
        split: Name of the pool's split.

    Raises:
        InputError: One cannot be read.
    """
    if channels is None:
        channels = 1 if all(_grey(_open(opening(one))) for one in pictures) else 3
    if size is None:
        size = _SMALL if channels == 1 else _LARGE
    _check(size, channels, ink)
    scans = [_scan(_open(opening(one), size=size), size, channels) for one in _listed(pictures, dataset)]
    rows, decided = torch.stack([one.row for one in scans]), _decide(ink, channels, scans)
    return from_rows(
        255 - rows if decided == "dark" else rows,
        labels,
        list(classes),
        dataset=dataset,
        split=split,
        preprocessing={"size": size, "channels": channels, "ink": decided},
    )


def image_files(path: Path | str, *, size: int, channels: int = 1, ink: Ink = "auto") -> Pictures:
    """Read one picture, or all those in a folder or a zip, however deep, to predict on.

    Args:
        path: The file, the folder or the zip.
        size: As in `image_folder`.
        channels: As in `image_folder`.
        ink: See `Ink`; pass what the training pool's `preprocessing` says for pictures of the same kind.

    Raises:
        InputError: There is no picture, or one cannot be read.
    """
    root = expanded(path)
    if not is_file(root) and not is_folder(root):
        raise InputError(f"there is no file or folder {str(root)[:_SHOWN]}{beside(root)}")
    _check(size, channels, ink)
    files: list[File] = [root]
    if is_folder(root) or is_zip(root):
        inside = listing(root)
        files = inside.files
        if inside.left:
            warn(notice(inside.left))
    if not files:
        raise InputError(f"{root} holds no picture; put some in it")
    scans = [_scan(_open(opened(file), size=size), size, channels) for file in _listed(files, root.name)]
    rows = torch.stack([one.row for one in scans])
    rows = 255 - rows if _decide(ink, channels, scans) == "dark" else rows
    return Pictures(tuple(Path(file.name) if isinstance(file, Packed) else file for file in files), rows / 255)


def _decide(ink: Ink, channels: int, scans: Sequence[Scan]) -> Ink:
    if ink != "auto":
        return ink
    return ink_of(scans) if channels == 1 else "light"


def _scan(picture: "Image", size: int, channels: int) -> Scan:
    if channels != 1:
        return Scan(_row(picture, size, channels), 0.0, 0.0)
    thumb = (_THUMB, _THUMB), pillow().Resampling.BOX
    grey = picture.convert("L")
    values = np.asarray(grey.resize(*thumb), dtype=np.float64) / 255
    paper = float(_border(values).mean())
    if paper <= _BRIGHT:
        # Inside of a dark edge lies light paper, most of it free; light strokes on a dark ground leave it mostly dark.
        inside = [values[i : _THUMB - i, i : _THUMB - i] for i in range(1, _EDGE + 1)]
        paper = max(paper, *(min(float(_border(part).mean()), float(np.median(part))) for part in inside))
    colour = 0.0
    if picture.mode == "RGB":
        hues = np.diff(np.asarray(picture.resize(*thumb), dtype=np.int16), axis=-1)
        colour = (np.abs(hues - np.median(hues, axis=(0, 1))).max(-1) > _HUE).mean()
    return Scan(_row(grey, size, 1), paper, float(colour))


def _listed(files: Sequence[T], name: str) -> Iterable[T]:
    return files if len(files) < _MANY else track(files, f"reading {name}", len(files))


def _check(size: int, channels: int, ink: Ink) -> None:
    if not is_whole(plain(size), 1) or size > LARGEST_SIDE:
        raise InputError(f"size must be a whole number of pixels, at least 1 and at most {LARGEST_SIDE}, got {size!r}")
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    if ink not in ("auto", "dark", "light"):
        raise InputError(f"ink must be 'auto', 'dark' or 'light', got {ink!r}")


def _open(source: Path | str | bytes, name: str = "", size: int | None = None) -> "Image":
    """A decoded RGB or L picture, upright and opaque; if it is to become of `size`, perhaps smaller than it was."""
    pil = pillow()
    called = name or (getattr(source, "name", "the picture") if isinstance(source, bytes) else str(source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pil.DecompressionBombWarning)  # the limit below is ours
        content = io.BytesIO(source) if isinstance(source, bytes) else source
        return _explained(called, lambda: _decode(pil, content, called, size))


def _explained(called: str, read: Callable[[], "Image"]) -> "Image":
    pil = pillow()
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
    except MemoryError as error:
        raise InputError(f"there is not enough memory for {called}; scale it down, or remove it") from error
    except Exception as error:  # what the decoders raise has no bound: struct.error, KeyError, ZeroDivisionError, ...
        if isinstance(error, OSError) and error.errno in _UNREADABLE:
            raise InputError(f"cannot read {called[:_SHOWN]}: {error.strerror}") from error
        reason = str(error) or type(error).__name__
        raise InputError(f"{called[:_SHOWN]} is damaged ({reason[:_SHOWN]}); replace or remove it") from error


def _decode(pil, source, called: str, size: int | None) -> "Image":
    with open_picture(source) as file:
        width, height = file.size
        if width * height > MAX_PIXELS:
            raise InputError(_too_large(called, f"{width:,} x {height:,}"))
        if size is not None:
            # JPEG can be decoded at 1/2, 1/4 or 1/8: a photograph in 15 ms instead of 350. Twice the size is kept.
            file.draft(None, (_KEPT * size, _KEPT * size))
        file.load()
        picture = upright(file)
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
    pil = pillow()
    picture = picture.convert("L" if channels == 1 else "RGB")
    width, height = picture.size
    side = max(width, height)
    if width != height and (side > _LONGEST or side**2 > max(_THIN * width * height, _CHEAP)):
        width, height = (max(1, round(edge * size / side)) for edge in (width, height))
        picture, side = picture.resize((width, height), pil.Resampling.BOX), size
    if width != height:
        square = pil.new(picture.mode, (side, side), _mean_border(picture))
        square.paste(picture, ((side - width) // 2, (side - height) // 2))
        picture = square
    if picture.size != (size, size):
        picture = picture.resize((size, size), pil.Resampling.LANCZOS)
    values = from_numpy(np.array(picture, dtype=np.uint8))
    return values[None] if channels == 1 else values.permute(2, 0, 1).contiguous()


def _mean_border(picture: "Image") -> int | tuple[int, ...]:
    edges = _border(np.asarray(picture)).mean(0).round().astype(int)
    return int(edges) if picture.mode == "L" else tuple(edges.tolist())


def _border(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
