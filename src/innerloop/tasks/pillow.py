"""Pictures of Pillow, which is optional, as what a file of them would be."""

import io
import sys
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.tasks.exif import upright

_LOSSLESS = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
"""Modes of Pillow that a PNG holds as they are."""
_SHOWN = 200
"""Characters of a reason in a message."""


def called(file: Any, index: int) -> str:
    """What errors call a picture, by its path or content."""
    return str(file) if isinstance(file, str | Path) else getattr(file, "name", f"picture {index}")


def is_pillow(value: Any) -> bool:
    """Whether something is a picture of Pillow, which is optional."""
    # Another thread may be importing it this moment: what has no such class yet has made no picture either.
    image = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return image is not None and isinstance(value, image)


def content(picture: Any, name: str) -> Any:
    """A picture of Pillow as the content of a file, without loss; anything else as it is.

    As an array it would skip what files go through: ink, transparency, orientation, and colours of a palette.

    Args:
        picture: Path, content or picture.
        name: What errors call it.

    Raises:
        InputError: Its pixels cannot be read.
    """
    if not is_pillow(picture):
        return picture
    out = io.BytesIO()
    try:
        whole = upright(picture)
        if whole.mode not in _LOSSLESS:
            whole = whole.convert("L" if whole.mode == "F" else "RGB")
        # Pixels were turned already: orientation in the file would turn them twice.
        whole.save(out, "PNG", exif=b"", compress_level=1)
    except Exception as error:  # pixels are decoded only now, and decoders raise whatever they stumble on
        reason = str(error)[:_SHOWN] or type(error).__name__
        raise InputError(f"{name} cannot be read ({reason}); replace or remove it") from error
    return out.getvalue()
