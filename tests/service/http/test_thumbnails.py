import io
import struct
import zlib

import pytest

from innerloop.service.http.errors import HTTPError
from innerloop.service.http.thumbnails import check, thumbnail
from innerloop.tasks import picture_files
from tests.service.served import picture

PIXELS = 1_000_000


def bomb(width, height):
    """A PNG that says it is huge, and is a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_becomes_a_small_plain_picture(mode):
    from PIL import Image

    kind = "JPEG" if mode == "CMYK" else "PNG"
    out = io.BytesIO()
    Image.new(mode, (500, 250), 1 if mode in ("1", "L", "P", "I;16") else None or 0).save(out, kind)
    for side in (thumbnail(out.getvalue(), "x", PIXELS),):
        made = Image.open(io.BytesIO(side[0]))
        assert made.size == (256, 128) and made.mode in ("L", "RGB") and side[1] == "image/jpeg"


def test_small_ones_are_kept_without_loss_and_turned_upright():
    from PIL import Image

    source = Image.new("RGB", (20, 10), "red")
    source.putpixel((0, 0), (0, 0, 255))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    source.save(out, "PNG", exif=exif)
    content, mime = thumbnail(out.getvalue(), "x", PIXELS)
    made = Image.open(io.BytesIO(content))
    assert mime == "image/png" and made.size == (10, 20) and not made.getexif()
    assert made.getpixel((9, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 422, "no picture"),
        (b"GIF89a", 422, "no picture"),
        (bomb(60_000, 60_000), 413, "60,000 x 60,000 pixels|too many pixels"),
        (bomb(2_000, 2_000), 413, "2,000 x 2,000 pixels; at most 1,000,000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", 422, "no picture"),
        (b"\x80\x04\x95", 422, "no picture"),
    ],
)
def test_what_is_refused_by_its_header(content, status, said):
    for look in (check, thumbnail):
        with pytest.raises(HTTPError, match=said) as refused:
            look(content, "x.png", PIXELS)
        assert refused.value.status == status and "x.png" in str(refused.value)


def test_what_only_decoding_shows():
    whole = picture("red", (400, 400), "JPEG")
    for damaged in (whole[: len(whole) // 2], bomb(500, 500), picture()[:-30]):
        with pytest.raises(HTTPError, match=r"x\.png is (damaged|no picture)") as refused:
            thumbnail(damaged, "x.png", PIXELS)
        assert refused.value.status == 422


def test_photographs_of_telephones_are_taken_where_their_package_is_installed():
    pytest.importorskip(
        "pillow_heif", reason="pillow-heif is not installed: pip install 'innerloop[heic]'"
    ).register_heif_opener()
    content, mime = thumbnail(picture("red", (400, 200), "HEIF"), "IMG_1.HEIC", PIXELS)
    assert mime == "image/jpeg" and content[:2] == b"\xff\xd8"


def test_photographs_of_telephones_name_their_package_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(picture_files, "endings", lambda: frozenset({".jpg", ".png"}))
    with pytest.raises(HTTPError, match=r"IMG_1\.HEIC .*the service reads HEIC after pip install 'innerloop\[heic\]'"):
        check(b"x", "IMG_1.HEIC", PIXELS)
    with pytest.raises(HTTPError, match=r"IMG_1\.JPG .* or leave it out$"):
        check(b"x", "IMG_1.JPG", PIXELS)
