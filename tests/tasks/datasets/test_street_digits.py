"""Street digits from fonts."""

import importlib.util

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.tasks import draws, street
from innerloop.tasks.datasets import load, street_digits
from innerloop.tasks.joined import joined


@pytest.fixture
def fonts():
    pytest.importorskip("fontpkg_anton", reason="street digits need the extra fonts")
    return street_digits.fonts()


def test_a_picture_is_a_function_of_digit_and_key(fonts):
    keys = draws.keys(1, 0, 3)
    first, again, other = (street.picture(4, keys[i : i + 1], fonts) for i in (0, 0, 1))
    assert first.shape == (3, 32, 32) and first.dtype == np.uint8
    assert (first == again).all() and np.abs(first.astype(int) - other).mean() > 5


def test_all_ten_are_drawn_once_and_kept(fonts, tmp_path, monkeypatch):
    monkeypatch.setattr(street_digits, "COUNT", 3)
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    whole = joined(load("street-digits"))
    assert whole.counts.tolist() == [3] * 10 and whole.shape == (3, 32, 32)
    monkeypatch.setattr(street, "picture", lambda *a: pytest.fail("drawn twice"))
    assert joined(load("street-digits")).digest == whole.digest


def test_a_missing_font_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fontpkg_dosis" else find(name))
    pytest.importorskip("fontpkg_anton")
    with pytest.raises(InputError, match=r"Dosis\[wght\] of fontpkg_dosis: pip install 'innerloop\[fonts\]'"):
        street_digits.fonts()
