"""Folders and zips on the page: their folders are the classes, and what is taught at once is one version."""

import base64
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from innerloop.service.client import Client
from tests.service.live import SHAPES, draw
from tests.service.tabs import chooser, eventually, facts, make

pytestmark = pytest.mark.slow


def folder_of(root: Path, count: int) -> Path:
    """Three classes, one of them with a folder in it, files of the same names, and what is no picture."""
    for shape, inside in zip(SHAPES[:3], ("", "deep/er", ""), strict=True):
        for i, path in enumerate(draw(root / shape / inside, shape, count)):
            path.rename(path.with_name(f"{i}.png"))
    (root / "circle" / "readme.txt").write_text("not a picture")
    (root / ".DS_Store").write_bytes(b"x")
    return root


def test_folders_are_classes_and_one_version_however_many_requests(page, address, tmp_path):
    make(page, "folders", "shapes")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.method == "POST" and "/examples" in r.url else None)
    page.locator("input[webkitdirectory]").set_input_files(folder_of(tmp_path / "things", 20))
    page.get_by_text("circle (20), cross (20), plus (20)").wait_for()
    page.get_by_text("things: left out 1 file: circle/readme.txt (not a picture)").wait_for()
    page.get_by_role("button", name="Teach", exact=True).click()
    facts(page, "3 classes · 60 examples · version 1")
    assert len(asked) == 2 and page.locator(".pending li").count() == 0
    assert page.locator(".versions li").count() == 2  # and the empty one
    page.get_by_text("add 20 to circle, 20 to cross, 20 to plus").wait_for()


def test_what_was_sent_of_a_folder_is_not_sent_again_after_a_failure(page, address, tmp_path):
    make(page, "broken-folder", "shapes")
    root = folder_of(tmp_path / "things", 20)
    (root / "plus" / "19.png").write_bytes(b"no picture")
    page.locator("input[webkitdirectory]").set_input_files(root)
    page.get_by_text("plus (20)").wait_for()
    page.get_by_role("button", name="Teach", exact=True).click()
    page.get_by_role("alert").filter(has_text="plus/19.png").wait_for()
    facts(page, "0 examples · version 0")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.method == "POST" and "/examples" in r.url else None)
    page.get_by_role("button", name="Leave it out and teach the other 59").click()
    facts(page, "3 classes · 59 examples · version 1")
    assert len(asked) == 1, "the first 50 were there"


DROP = """([selector, name, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const about = { dataTransfer, bubbles: true, cancelable: true };
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", about));
}"""


@pytest.mark.parametrize("kind", ["deflated", "stored", "64 bits", "in a program"])
def test_a_zip_that_is_dropped_is_its_folder(page, address, tmp_path, kind):
    name = f"zip-{kind.replace(' ', '-')}"
    make(page, name, "shapes")
    root, out = folder_of(tmp_path / "things", 3), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            with archive.open(f"things/{path.relative_to(root)}", "w", force_zip64=kind == "64 bits") as file:
                file.write(path.read_bytes())
        archive.writestr("__MACOSX/things/circle/._0.png", b"x")
        archive.comment = b"packed by hand"
    content = (b"#!/bin/sh\n" if kind == "in a program" else b"") + out.getvalue()
    page.evaluate(DROP, [".composer .intake", "things.zip", base64.b64encode(content).decode()])
    page.get_by_text("circle (3), cross (3), plus (3)").wait_for()
    page.get_by_text("things.zip: left out 1 file: circle/readme.txt (not a picture)").wait_for()
    eventually(page, "[...document.querySelectorAll('.pending img')].every((i) => i.complete && i.naturalWidth > 0)")
    page.get_by_role("button", name="Teach", exact=True).click()
    facts(page, "3 classes · 9 examples · version 1")
    labels = [(one.label, one.picture) for one in Client(address).task(name).examples()]
    assert [label for label, _ in labels] == ["circle"] * 3 + ["cross"] * 3 + ["plus"] * 3
    # To be asked, what lies in it is asked, whatever its folders are called.
    page.evaluate(DROP, [".try .intake", "things.zip", base64.b64encode(content).decode()])
    page.locator(".try .answer").nth(8).wait_for()


def test_of_a_damaged_zip_the_rest_is_taken_and_a_bad_one_is_told(page, address, tmp_path):
    make(page, "bad-zips", "shapes")
    root = folder_of(tmp_path / "things", 3)
    path = Path(shutil.make_archive(str(tmp_path / "things"), "zip", tmp_path, "things"))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("things/plus/2.png")
        at = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    content[at] ^= 255
    path.write_bytes(content)
    chooser(page).set_input_files(path)
    page.get_by_text("circle (3), cross (3), plus (2)").wait_for()
    page.get_by_text("things.zip: left out 1 file: plus/2.png (damaged").wait_for()
    at = content.rindex(b"PK\1\2")
    content[at + 8] |= 1
    for name, wrong, says in (
        ("locked.zip", bytes(content), "locked.zip is encrypted"),
        ("no.zip", b"PK", "no.zip is no zip that can be read"),
        ("out.zip", bytes(content).replace(b"things/plus/", b"../../plus/xx"[:12]), "leads out of it"),
    ):
        (root / name).write_bytes(wrong)
        chooser(page).set_input_files(root / name)
        page.get_by_text(says).wait_for()
    assert page.locator(".pending li").count() == 8
    page.get_by_role("button", name="Teach", exact=True).click()
    facts(page, "3 classes · 8 examples · version 1")
