"""Pictures as clients send them: checked before they are decoded, and kept only as small copies of our own."""

import functools
import io
import sys
import warnings
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.service.http.errors import HTTPError
from innerloop.tasks import picture_files
from innerloop.tasks.exif import open_picture, upright
from innerloop.tasks.picture_files import Listing, T

if TYPE_CHECKING:
    from PIL.Image import Image

# No others: each of Pillow's readers is a way in, and that of EPS starts another program.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_HEIC = "HEIF"
"""Photographs of telephones, where the extra `heic` is installed."""
_SIDE = 256
_OTHER = "send JPEG, PNG, WebP, GIF, BMP or TIFF"
_SMALL = 64
"""Pictures up to this side are kept as PNG, without loss."""


@functools.cache
def taken() -> tuple[str, ...]:
    """Formats that clients may send."""
    return (*_FORMATS, _HEIC) if _HEIC in picture_files.formats() else _FORMATS


@functools.cache
def endings() -> frozenset[str]:
    """Endings of their files, in small letters."""
    from PIL import Image

    known = taken()
    return frozenset(ending.lower() for ending, name in Image.registered_extensions().items() if name in known)


def leave_out_others(found: Listing[T], root: str) -> None:
    """Add pictures of other formats, which Python and the command line read, to what is left out.

    Args:
        found: A folder or zip; it is changed.
        root: What it is called.
    """
    picture_files.leave_out(found, root, lambda file: None if _ending(file.name) in endings() else _OTHER)


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def check(content: bytes, name: str, pixels: int) -> None:
    """Refuse what is no picture or has too many pixels; only its header is read.

    Raises:
        HTTPError: It is not acceptable.
    """
    _opened(content, name, pixels).close()


def size(content: bytes) -> tuple[int, int]:
    """Width and height of a picture as its header has them, (0, 0) where it is none."""
    try:
        with _opened(content, "", sys.maxsize) as picture:
            return picture.size
    except HTTPError:
        return 0, 0


def thumbnail(content: bytes, name: str, pixels: int) -> tuple[bytes, str]:
    """A small copy, upright and without anything that the file brought along, and its media type.

    Raises:
        HTTPError: It is not acceptable, or damaged.
    """
    from PIL import Image

    picture = _opened(content, name, pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about odd files; what cannot be read raises
            picture.draft("RGB", (2 * _SIDE, 2 * _SIDE))  # JPEGs are decoded at a fraction of their size
            # Of 16 bits: converted as they are, all that is brighter than 255 would be white.
            if picture.mode.startswith("I"):
                picture = picture.point(lambda value: value / 257).convert("L")
            picture.load()
            picture = upright(picture)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = picture.convert("L" if picture.mode in ("1", "L", "LA", "F") else "RGB")
            picture.thumbnail((_SIDE, _SIDE))
            # A new picture of nothing but pixels: profiles, comments and EXIF of the upload stay behind.
            kept = Image.frombytes(picture.mode, picture.size, picture.tobytes())
            out = io.BytesIO()
            if max(kept.size) <= _SMALL:
                kept.save(out, "PNG")
                return out.getvalue(), "image/png"
            kept.save(out, "JPEG", quality=85)
            return out.getvalue(), "image/jpeg"
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        raise HTTPError(422, f"{name} is damaged ({_short(error)}): replace it or leave it out") from error


def of_row(row: Tensor) -> bytes:
    """A PNG of [1 or 3, height, width] uint8."""
    from PIL import Image

    out = io.BytesIO()
    values = row[0] if len(row) == 1 else row.permute(1, 2, 0)
    Image.fromarray(values.contiguous().numpy()).save(out, "PNG")
    return out.getvalue()


def _opened(content: bytes, name: str, pixels: int) -> "Image":
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("reading pictures needs Pillow: pip install 'innerloop[images]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            picture = open_picture(io.BytesIO(content), formats=taken())
    except Image.DecompressionBombError as error:
        raise HTTPError(413, f"{name} has too many pixels; at most {pixels:,} are read: scale it down first") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        reads = f"; the service reads HEIC after {more}" if (more := picture_files.lacking(name)) else ""
        raise HTTPError(422, f"{name} is no picture that can be read; {_OTHER}, or leave it out{reads}") from error
    width, height = picture.size
    if width * height > pixels or not width * height:
        raise HTTPError(
            413, f"{name} has {width:,} x {height:,} pixels; at most {pixels:,} are read: scale it down first"
        )
    return picture


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
