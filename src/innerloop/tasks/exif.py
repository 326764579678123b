"""What cameras write beside the pixels, often wrongly: which side is up is taken from it, where that can be read."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from innerloop.tasks import picture_files

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF orientations as Pillow's numbers of what undoes them."""
_COMMON = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats whose readers are there without a search for all others."""
_JPEG, _EXIF, _PIXELS = b"\xff\xd8", 0xE1, 0xDA
"""How a JPEG begins, and markers of its parts."""


def open_picture(source: Path | str | io.BytesIO, formats: Sequence[str] | None = None) -> "Image":
    """Open a picture file; a JPEG at whose EXIF Pillow gives up is opened without it.

    Args:
        source: The file, or its content.
        formats: Those that are taken; None: all that Pillow reads by itself (`picture_files.formats`).

    Raises:
        PIL.UnidentifiedImageError: It is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    known = _COMMON if formats is None else tuple(formats)
    try:
        return Image.open(source, formats=known)
    except UnidentifiedImageError:
        if formats is None:
            return open_picture(source, picture_files.formats())
        # Pillow looks for the resolution in EXIF while it opens a file, and takes any error there for another format.
        content = _jpeg(source)
        bare = without_exif(content)
        if bare == content:
            raise
    return Image.open(io.BytesIO(bare), formats=known)


def without_exif(content: bytes) -> bytes:
    """A JPEG without its EXIF; anything else as it is."""
    if not content.startswith(_JPEG):
        return content
    kept, at = [_JPEG], len(_JPEG)
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != _PIXELS:
        size = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        kept += [content[at : at + size]] if content[at + 1] != _EXIF else []
        at += size
    return b"".join([*kept, content[at:]])


def upright(picture: "Image") -> "Image":
    """The picture turned as EXIF says; what else EXIF says is not looked at, because cameras write it wrongly."""
    from PIL.Image import Transpose

    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises whatever its parser stumbles on; the pixels are read all the same
        turn = None
    return picture.copy() if turn is None else picture.transpose(Transpose(turn))


def _jpeg(source: Path | str | io.BytesIO) -> bytes:
    """The content of a file that begins as a JPEG does; of any other only its beginning."""
    if isinstance(source, io.BytesIO):
        return source.getvalue()
    with open(source, "rb") as file:
        start = file.read(len(_JPEG))
        return start + file.read() if start == _JPEG else start
