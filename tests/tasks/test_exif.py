"""Whatever a camera wrote into EXIF, the picture is read: its pixels are whole."""

import io
import random
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.tasks.exif import without_exif
from innerloop.tasks.images import read_image

SEED = 20240701
_ROWS, _COLUMNS = np.mgrid[0:24, 0:31]
PIXELS = np.stack([10 * _ROWS, 8 * _COLUMNS, 4 * (_ROWS + _COLUMNS)], -1).astype(np.uint8)
TAGS = (0x0112, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0132, 0x8769, 0x8825, 0xA005, 0x927C, 0x9286, 0xC4A5, 0x0002)
KINDS = range(14)
KNOWN = (0, 1, 6, 8, 9, 42, 255, 2**16 - 1, 2**31, 2**32 - 1)


def block(draw: random.Random) -> bytes:
    """A directory of entries of any tag, type, count and value, of which some point anywhere; or bytes."""
    if draw.random() < 0.1:
        return b"Exif\0\0" + draw.randbytes(draw.randrange(60))
    order = draw.choice("<>")
    entries = b""
    for _ in range(count := draw.randint(1, 6)):
        tag = draw.choice(TAGS) if draw.random() < 0.8 else draw.randrange(2**16)
        number = draw.choice(KNOWN) if draw.random() < 0.5 else draw.randrange(2**32)
        entries += struct.pack(f"{order}HHII", tag, draw.choice(KINDS), draw.choice((0, 1, 1, 2, 3, 9, 2**31)), number)
    count = count if draw.random() < 0.8 else draw.randrange(2**16)
    mark = b"II" if order == "<" else b"MM"
    data = (
        mark + struct.pack(f"{order}HIH", 42, 8, count) + entries + struct.pack(f"{order}I", draw.choice((0, 8, 2**31)))
    )
    return b"Exif\0\0" + data[: draw.choice((len(data), len(data), draw.randrange(len(data))))] + draw.randbytes(20)


def with_block(content: bytes, exif: bytes) -> bytes:
    """A JPEG with these bytes as its EXIF, whatever they are."""
    assert content[:2] == b"\xff\xd8"
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


def saved(kind: str, exif: bytes) -> bytes:
    out = io.BytesIO()
    if kind == "JPEG":
        Image.fromarray(PIXELS).save(out, kind, quality=95)
        return with_block(out.getvalue(), exif)
    more = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(PIXELS).save(out, kind, exif=exif, **more)
    return out.getvalue()


def turned() -> list[np.ndarray]:
    """What the picture may be: as it lies, or turned or mirrored."""
    ways = [np.rot90(side, k) for side in (PIXELS, PIXELS[:, ::-1]) for k in range(4)]
    rows = []
    for values in ways:
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(values)).save(out, "PNG")
        rows.append(read_image(out.getvalue(), 16, 3).numpy().astype(int))
    return rows


def _fuzz(kind: str, count: int) -> None:
    draw, known = random.Random(f"{SEED} {kind}"), turned()
    for number in range(count):
        content = saved(kind, block(draw))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = read_image(content, 16, 3).numpy().astype(int)
        assert min(np.abs(row - one).mean() for one in known) < 4, number


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_any_exif_leaves_the_picture(kind):
    _fuzz(kind, 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_lot_of_any_exif_leaves_the_picture(kind):
    _fuzz(kind, 2_000)


def test_a_jpeg_that_pillow_gives_up_at_is_read():
    """A resolution in bytes that are none: Pillow 13 takes the IndexError for another format."""
    entries = struct.pack("<HHII", 0x0128, 3, 1, 2) + struct.pack("<HHII", 0x011A, 7, 1, 42)
    exif = b"Exif\0\0II" + struct.pack("<HIH", 42, 8, 2) + entries + bytes(4)
    content = saved("JPEG", exif)
    assert without_exif(content) == saved("JPEG", exif).replace(
        b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif, b""
    )
    row = read_image(content, 16, 3).numpy().astype(int)
    assert np.abs(row - turned()[0]).mean() < 4
    with pytest.raises(InputError, match="no picture"):
        read_image(b"\xff\xd8" + bytes(40), 16, 3, name="p")
    assert without_exif(b"GIF") == b"GIF" and without_exif(b"\xff\xd8\xff") == b"\xff\xd8\xff"
