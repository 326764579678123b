import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from innerloop.core.errors import InputError
from innerloop.tasks import images
from innerloop.tasks.exif import upright
from innerloop.tasks.images import image_files, image_folder, read_image


def stroke(mode: str = "L", size: tuple[int, int] = (60, 60)) -> Image.Image:
    """A dark bar in the upper half of a white page."""
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).rectangle((size[0] // 4, size[1] // 6, 3 * size[0] // 4, size[1] // 3), fill=0)
    return picture.convert(mode)


def content(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def make(root: Path, classes: dict[str, int], picture: Image.Image | None = None) -> Path:
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (picture or stroke()).save(root / name / f"{i}.png")
    return root


def looks_like_the_bar(row: torch.Tensor) -> bool:
    return bool(row[0, 7, 14] > 200 and row[0, 20, 14] < 50 and row[0, 7, 1] < 50)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode(mode):
    deep = Image.fromarray(np.asarray(stroke()).astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else stroke(mode)
    row = read_image(content(picture, "TIFF" if mode == "CMYK" else "PNG"), 28)
    assert row.shape == (1, 28, 28) and row.dtype == torch.uint8 and looks_like_the_bar(row)


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("JPEG", "JPEG"), ("WEBP", "webp")])
def test_every_format(tmp_path, kind, suffix):
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(content(stroke("RGB"), kind))
    assert looks_like_the_bar(read_image(path, 28)) and read_image(path, 30, 3).shape == (3, 30, 30)
    assert image_files(tmp_path, size=28).paths == (path,)


def test_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = stroke().transpose(Image.Transpose.ROTATE_180)
    assert looks_like_the_bar(read_image(content(turned, "JPEG", exif=exif), 28))


def test_transparency_is_white():
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert (read_image(content(picture), 8, 3, "light") == 255).all()
    palette = stroke("P")
    palette.info["transparency"] = 0
    assert read_image(content(palette, transparency=palette.getpixel((30, 15))), 28, 1, "light").min() > 200


def test_wide_pictures_are_padded_not_stretched():
    wide = Image.new("L", (80, 20), 255)
    ImageDraw.Draw(wide).rectangle((30, 5, 50, 15), fill=0)
    row = read_image(content(wide), 40)[0]
    ys, xs = (row > 128).nonzero(as_tuple=True)
    assert (ys.max() - ys.min() + 1).item() == pytest.approx(5, abs=1)
    assert (xs.max() - xs.min() + 1).item() == pytest.approx(10, abs=1)
    assert row[0].max() == 0  # the padding is ground, not ink


def test_grey_before_small():
    """A 1-bit picture shrinks to grey levels; shrinking it as it is would keep two values."""
    assert len(read_image(content(stroke("1", (105, 105))), 28).unique()) > 2


def test_ink_is_decided_over_the_whole_folder(tmp_path):
    dark = image_folder(make(tmp_path / "dark", {"a": 2, "b": 3}))
    assert dark.preprocessing == {"size": 28, "channels": 1, "ink": "dark"} and looks_like_the_bar(dark.data[0, 0])
    assert dark.counts.tolist() == [2, 3] and (dark.data[0, 2] == 0).all() and dark.names == ("a", "b")
    inverted = Image.fromarray(255 - np.asarray(stroke()))
    light = image_folder(make(tmp_path / "light", {"a": 2, "b": 2}, inverted))
    assert light.preprocessing is not None and light.preprocessing["ink"] == "light"
    assert torch.equal(light.data[:, :2], dark.data[:, :2])
    forced = image_folder(tmp_path / "dark", **light.preprocessing)
    assert torch.equal(forced.data[1], 255 - dark.data[1])
    with pytest.raises(InputError, match="ink"):
        image_folder(tmp_path / "dark", ink="blue")  # pyright: ignore[reportArgumentType]


def test_colour_is_kept_and_never_inverted(tmp_path):
    white = Image.new("RGB", (50, 50), (255, 250, 240))
    pool = image_folder(make(tmp_path, {"a": 1, "b": 1}, white))
    assert pool.preprocessing == {"size": 84, "channels": 3, "ink": "light"} and pool.shape == (3, 84, 84)
    assert pool.data[0, 0, :, 40, 40].tolist() == [255, 250, 240]
    assert image_folder(tmp_path, size=10, channels=1).shape == (1, 10, 10)


def test_hidden_and_other_files_are_passed_over(tmp_path):
    make(tmp_path, {"b": 2, "a": 2, ".hidden": 1})
    (tmp_path / "a" / ".DS_Store.png").write_bytes(b"no picture")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "readme.md").write_text("no picture")
    pool = image_folder(tmp_path, size=8)
    assert pool.names == ("a", "b") and pool.counts.tolist() == [2, 2] and pool.dataset == tmp_path.name


def test_pictures_to_predict_on(tmp_path):
    make(tmp_path, {"unsorted": 3})
    found = image_files(tmp_path / "unsorted", size=28)
    assert found.x.shape == (3, 1, 28, 28) and found.x.dtype == torch.float32 and found.x.max() == 1
    one = image_files(found.paths[1], size=28)
    assert one.paths == (found.paths[1],) and torch.equal(one.x[0], found.x[1])
    assert image_files(tmp_path, size=28).paths == found.paths  # however deep they lie
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        image_files(tmp_path / "empty", size=28)
    with pytest.raises(InputError, match="no file or folder"):
        image_files(tmp_path / "nothing", size=28)


def test_truncated_png_is_named(tmp_path):
    make(tmp_path, {"a": 2, "b": 2})
    path = tmp_path / "b" / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    path.write_bytes(content(Image.fromarray(noise))[:-1000])
    with pytest.raises(InputError, match=r"b/1\.png is damaged"):
        image_folder(tmp_path, size=28)


@pytest.mark.parametrize("junk", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a\x01\x00"])
def test_junk_is_named(tmp_path, junk):
    make(tmp_path, {"a": 1})
    (tmp_path / "a" / "junk.png").write_bytes(junk)
    with pytest.raises(InputError, match=r"junk\.png"):
        image_folder(tmp_path, size=28)


def header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    shape = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", shape) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_bombs_are_refused_before_decoding(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(header(side, side))
    with pytest.raises(InputError, match=r"bomb\.png has .* pixels; at most 100 million"):
        image_files(path, size=28)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        image_folder(tmp_path / "nothing")
    with pytest.raises(InputError, match="no sub-folders"):
        image_folder(tmp_path)
    make(tmp_path, {"a": 2})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"class 'empty' .* has no picture"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="channels"):
        image_files(tmp_path / "a", size=8, channels=2)
    with pytest.raises(InputError, match="no picture"):
        read_image(tmp_path / "nothing.png", 8)


def test_limit_is_stated_in_the_message():
    assert images.MAX_PIXELS == 100_000_000


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    values = np.random.default_rng(0).integers(0, 255, (12, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((1800, 2400), Image.Resampling.BICUBIC)
    jpeg = read_image(content(picture, "JPEG", quality=95), 84, 3)
    exact = read_image(content(picture), 84, 3)
    assert (jpeg.int() - exact.int()).abs().float().mean() < 2
    with Image.open(io.BytesIO(content(picture, "JPEG"))) as opened:
        assert images._decode(Image, io.BytesIO(content(picture, "JPEG")), "p", 84).size < opened.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone(orientation):
    from PIL import ImageOps

    picture = stroke("RGB", (40, 30))
    exif = picture.getexif()
    exif[0x0112] = orientation
    turned = content(picture, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(turned)))
    assert np.array_equal(np.asarray(upright(Image.open(io.BytesIO(turned)))), np.asarray(expected))


@pytest.mark.parametrize(
    ("entry", "tail"),
    [
        ((0x11A, 10, 1), struct.pack("<ii", -1, 0)),  # a resolution that is a signed rational
        ((0x10F, 5, 1), struct.pack("<II", 1, 2)),  # a maker that is a rational
        ((0x128, 2, 4), b"cm\0\0"),  # a unit that is text
    ],
)
def test_odd_exif_beside_an_orientation_does_not_hide_the_picture(entry, tail):
    after = struct.pack("<I", 8 + 2 + 2 * 12 + 4) if len(tail) > 4 else tail
    entries = sorted([(0x112, 3, 1, struct.pack("<HH", 6, 0)), (*entry, after)])
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2)
    exif += b"".join(struct.pack("<HHI4s", *e) for e in entries) + b"\0\0\0\0" + tail
    assert read_image(content(Image.new("RGB", (20, 10), (255, 0, 0)), "JPEG", exif=exif), 20, 3).shape == (3, 20, 20)


@pytest.mark.parametrize("size", [(40_000, 10), (10, 40_000), (30_000, 20), (3_999, 1), (1, 3_999), (2_000, 200)])
def test_a_long_strip_is_scaled_before_it_is_padded(size, monkeypatch):
    made = []
    new = Image.new
    strip = content(Image.new("L", size, 200))
    monkeypatch.setattr(Image, "new", lambda mode, size, *args: made.append(size) or new(mode, size, *args))
    assert read_image(strip, 28, ink="light").eq(200).all()
    assert made == [(28, 28)]
