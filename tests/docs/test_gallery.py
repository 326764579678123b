"""The gallery's pictures show the numbers that are kept beside them, and its code finds these numbers again."""

import json
import re
from typing import Any

import pytest

from tests.docs import gallery

KEPT = json.loads(gallery.DATA.read_text(encoding="utf-8"))


def test_every_picture_carries_the_digest_of_its_numbers_and_is_on_the_page():
    pictures = gallery.made(gallery.IMAGES)
    signs = {gallery.name_of(path): gallery.sign_of(path.read_bytes()) for path in pictures}
    assert signs == {name: gallery.digest(value) for name, value in KEPT.items()}
    shown = re.findall(r"!\[[^\]]{20,}\]\(images/gallery-(\w+)\.png\)", gallery.PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(KEPT) and len(shown) >= 6


def test_other_numbers_are_another_digest():
    path = gallery.made(gallery.IMAGES)[0]
    plain = path.read_bytes()
    assert gallery.sign_of(gallery.signed(b"\x89PNG" + plain[-12:], "abc")) == "abc" and gallery.sign_of(b"") is None
    assert gallery.digest([1.0]) != gallery.digest([1.001])
    assert gallery.rounded({"a": [1.23456, "b", 2]}) == {"a": [1.235, "b", 2]}


@pytest.mark.slow
def test_the_page_finds_the_numbers_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_like(gallery.draw(tmp_path), KEPT)


def assert_like(value: Any, kept: Any) -> None:
    """Words to the letter, numbers to a twentieth: a training on another processor ends a little elsewhere."""
    if isinstance(kept, dict):
        assert value.keys() == kept.keys()
        for name, one in kept.items():
            assert_like(value[name], one)
    elif isinstance(kept, list):
        assert len(value) == len(kept)
        for one, other in zip(value, kept, strict=True):
            assert_like(one, other)
    else:
        assert value == (kept if isinstance(kept, str) else pytest.approx(kept, rel=0.05, abs=0.05))
