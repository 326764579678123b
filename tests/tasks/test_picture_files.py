"""Folders and zips of pictures as people have them: any format of Pillow, any depth, and a line about the rest."""

import io
import os
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from innerloop.core.errors import InputError
from innerloop.fewshot.examples import labelled, unlabelled
from innerloop.tasks import picture_files, zips
from innerloop.tasks.datasets import load
from innerloop.tasks.images import image_files, image_folder, read_image

FORMATS = {"a.gif": "GIF", "b.tiff": "TIFF", "c.bmp": "BMP", "d.webp": "WEBP", "e.TIF": "TIFF", "f.jfif": "JPEG"}
FORMATS |= {"g.ppm": "PPM", "h.tga": "TGA", "i.jp2": "JPEG2000", "j.pcx": "PCX", "k.ico": "ICO", "l.apng": "PNG"}


def drawing(offset=0, mode="RGB"):
    picture = Image.new("RGB", (40, 40), "white")
    ImageDraw.Draw(picture).rectangle((5 + offset, 5, 15 + offset, 30), fill="black")
    return picture.convert(mode)


def save(path: Path, picture=None, kind=None, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or drawing()).save(path, kind, **more)
    return path


def tree(root: Path):
    for name, offset in (("cat/1.png", 0), ("cat/deep/er/2.bmp", 1), ("dog/3.gif", 12), ("dog/x/4.tiff", 13)):
        save(root / name, drawing(offset))
    return root


def packed(root: Path, path: Path, around: str = "", extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, around + str(file.relative_to(root)))
        for name, content in extra:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_formats_of_pillow_are_read(tmp_path, name):
    save(tmp_path / "a" / name, kind=FORMATS[name])
    save(tmp_path / "b" / "1.png")
    pool = image_folder(tmp_path, size=20)
    assert pool.counts.tolist() == [1, 1]
    difference = (pool.data[0, 0].float() - pool.data[1, 0].float()).abs().mean()
    assert difference < (40 if FORMATS[name] == "ICO" else 6)
    assert labelled(tmp_path, "pictures")[1] == ["a", "b"]
    assert list(unlabelled(tmp_path / "a" / name, "pictures")) == [[tmp_path / "a" / name]]


@pytest.mark.parametrize(("name", "kind"), [("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.tif", "TIFF")])
def test_of_animations_the_first_frame_is_read(tmp_path, name, kind):
    frames = [drawing(0), drawing(20), Image.new("RGB", (40, 40), "red")]
    path = save(tmp_path / name, frames[0], kind, save_all=True, append_images=frames[1:])
    first = read_image(save(tmp_path / "first.png"), 20, 3)
    assert (read_image(path, 20, 3).float() - first.float()).abs().mean() < 3


def test_postscript_starts_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    for name in ("a.png", "a.eps"):
        path = tmp_path / name
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
        with pytest.raises(InputError, match="no picture that can be read"):
            read_image(path, 10)


def test_folders_are_read_into_their_topmost_class(tmp_path):
    root = tree(tmp_path / "pics")
    pool = image_folder(root, size=16)
    assert pool.names == ("cat", "dog") and pool.counts.tolist() == [2, 2]
    files, labels = labelled(root, "pictures")
    assert labels == ["cat", "cat", "dog", "dog"] and root / "cat/deep/er/2.bmp" in files
    assert image_files(root, size=16).x.shape[0] == 4
    assert sum(len(part) for part in unlabelled(root, "pictures")) == 4


def test_a_link_to_a_folder_above_ends(tmp_path):
    root = tree(tmp_path / "pics")
    os.symlink(root / "cat", root / "cat" / "deep" / "again")
    with pytest.warns(UserWarning, match=r"left out 1 file: cat/deep/again \(a link to a folder that it is in\)"):
        assert image_folder(root, size=16).counts.tolist() == [2, 2]


@pytest.mark.parametrize("around", ["", "pics/"])
def test_a_zip_is_read_as_its_folder_is(tmp_path, around):
    root = tree(tmp_path / "pics")
    path = packed(root, tmp_path / "packed.zip", around, [("__MACOSX/cat/._1.png", b"x"), (".hidden/1.png", b"x")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = image_folder(root, size=16), image_folder(path, size=16)
        assert one.names == other.names and torch.equal(one.data, other.data) and other.dataset == "packed"
        files, labels = labelled(path, "pictures")
        assert labels == labelled(root, "pictures")[1] and all(isinstance(file, bytes) for file in files)
        assert torch.equal(image_files(path, size=16).x, image_files(root, size=16).x)
        (part,) = unlabelled(path, "pictures")
        assert [str(getattr(file, "name", "")).removeprefix(f"{path}/") for file in part][:2] == [
            "cat/1.png",
            "cat/deep/er/2.bmp",
        ]


def test_a_zip_trains(tmp_path):
    for name in "abc":
        save(tmp_path / "pics" / name / "1.png")
        save(tmp_path / "pics" / name / "2.png")
    assert len(load(packed(tmp_path / "pics", tmp_path / "p.zip")).train) == 1


def test_what_is_no_picture_in_a_zip_is_left_out_in_one_line(tmp_path):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    extra = [("cat/notes.txt", b"x"), (link, b"/etc/passwd"), ("top.png", b"x")]
    path = packed(tree(tmp_path / "pics"), tmp_path / "p.zip", "", extra)
    with pytest.warns(UserWarning, match="left out") as warned:
        labelled(path, "pictures")
    (message,) = (str(one.message) for one in warned)
    inside = "cat/link.png (a link), cat/notes.txt (not a picture)"
    assert message == f"left out 3 files: {inside}, top.png (beside the folders of classes)"


@pytest.mark.parametrize("name", ["../out.png", "/etc/x.png", "a/../../x.png", "C:\\x.png", "..\\x.png"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, name):
    path = packed(tree(tmp_path / "pics"), tmp_path / "p.zip", "", [(name, b"x")])
    for read in (
        image_folder,
        lambda path: labelled(path, "pictures"),
        lambda path: list(unlabelled(path, "pictures")),
    ):
        with pytest.raises(InputError, match=r"p\.zip holds .* leads out of it"):
            read(path)


def test_a_zip_that_is_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = packed(tree(tmp_path / "pics"), tmp_path / "p.zip")
    for name, most, says in (
        ("_MEMBER", 100, r"p\.zip holds 'cat/1\.png' of .* 100 is most"),
        ("_UNPACKED", 300, r"p\.zip unpacks to .* and 300 is most"),
        ("COUNT", 3, r"p\.zip holds 4 files, and 3 are most"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(zips, name, most)
            for read in (image_folder, lambda path: labelled(path, "pictures")):
                with pytest.raises(InputError, match=says):
                    read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(zips._SMALL + 1))
    with pytest.raises(InputError, match=r"p\.zip unpacks from .* bytes to 100,000,001, as pictures do not"):
        image_folder(path)


def test_a_zip_with_a_password_is_refused(tmp_path):
    path = packed(tree(tmp_path / "pics"), tmp_path / "p.zip")
    content = bytearray(path.read_bytes())
    for start, flags in ((content.index(b"PK\3\4"), 6), (content.index(b"PK\1\2"), 8)):
        content[start + flags] |= 1
    path.write_bytes(content)
    for read in (image_folder, lambda path: labelled(path, "pictures"), lambda path: [*unlabelled(path, "pictures")]):
        with pytest.raises(InputError, match=r"p\.zip is encrypted, at least its 'cat/1\.png': pack it without"):
            read(path)


def damaged(path: Path) -> Path:
    content = path.read_bytes()
    at = content.index(b"IDAT")
    path.write_bytes(content[:at] + b"????" + content[at + 4 :])
    return path


def test_of_a_damaged_zip_the_rest_is_taught_and_what_is_damaged_is_listed(tmp_path):
    path = damaged(packed(tree(tmp_path / "pics"), tmp_path / "p.zip"))
    with pytest.warns(UserWarning, match=r"^left out 1 file: cat/1\.png \(damaged: BadZipFile: Bad CRC"):
        assert image_folder(path, size=16).counts.tolist() == [1, 2]
    with pytest.warns(UserWarning, match=r"cat/1\.png \(damaged"):
        assert labelled(path, "pictures")[1] == ["cat", "dog", "dog"]
    # Who asks hears of it beside the answers.
    unread: list[str] = []
    assert sum(len(part) for part in unlabelled(path, "pictures", unread=unread)) == 3
    assert len(unread) == 1 and "p.zip/cat/1.png is damaged" in unread[0]


def test_a_class_of_which_nothing_can_be_read_is_named(tmp_path):
    save(tmp_path / "pics" / "cat" / "1.png")
    save(tmp_path / "pics" / "dog" / "2.gif")
    path = damaged(packed(tmp_path / "pics", tmp_path / "p.zip"))
    with pytest.raises(InputError, match=r"class 'cat' of .*p\.zip has no picture in it: .*cat/1\.png \(damaged"):
        image_folder(path)


def test_what_is_no_zip_is_one_message(tmp_path):
    path = tmp_path / "p.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"p\.zip is no zip that can be read"):
        image_folder(path)
    with pytest.raises(InputError, match="no folder"):
        image_folder(tmp_path / "none")


def test_heic_where_its_package_is_installed(tmp_path):
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="pillow-heif is not installed: pip install 'innerloop[heic]'"
    )
    pillow_heif.register_heif_opener()
    path = save(tmp_path / "photo.heic", kind="HEIF")
    assert (read_image(path, 20, 3).float() - read_image(save(tmp_path / "p.png"), 20, 3).float()).abs().mean() < 6


def test_heic_names_its_package_where_that_is_missing(tmp_path, monkeypatch):
    root = tree(tmp_path / "pics")
    (root / "cat" / "photo.HEIC").write_bytes(b"x")
    monkeypatch.setattr(picture_files, "endings", lambda: frozenset({".png", ".bmp", ".gif", ".tiff"}))
    with pytest.warns(UserWarning, match=r"left out 1 file: cat/photo.HEIC \(needs pip install 'innerloop\[heic\]'\)"):
        labelled(root, "pictures")


def test_a_picture_without_its_ending_is_no_file_of_a_class(tmp_path):
    out = io.BytesIO()
    drawing().save(out, "PNG")
    root = tree(tmp_path / "pics")
    (root / "cat" / "noending").write_bytes(out.getvalue())
    with pytest.warns(UserWarning, match=r"noending \(not a picture\)"):
        assert len(labelled(root, "pictures")[0]) == 4


def test_without_pillow_a_folder_of_pictures_is_refused_by_the_extra(tmp_path, monkeypatch):
    root = tree(tmp_path / "pics")
    monkeypatch.setitem(sys.modules, "PIL", None)
    for known in (picture_files.formats, picture_files.endings):
        known.cache_clear()
    with pytest.raises(InputError, match=r"needs Pillow: pip install 'innerloop\[images\]'"):
        labelled(root, "pictures")
