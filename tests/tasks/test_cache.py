import numpy as np
import pytest

from innerloop.tasks import cache


def test_made_once_then_read(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3), "names": np.array(["x", "日"])}

    first, second = cache.cached(None, "thing-v1", make), cache.cached(None, "thing-v1", make)
    assert len(made) == 1 and first["a"].tolist() == second["a"].tolist() and second["names"].tolist() == ["x", "日"]
    assert [p.name for p in tmp_path.iterdir()] == ["thing-v1.npz"]


@pytest.mark.parametrize("damage", [b"", b"junk", b"PK\x03\x04 cut off"])
def test_damaged_files_are_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    (tmp_path / "thing.npz").write_bytes(damage)
    assert cache.cached(None, "thing", lambda: {"a": np.ones(2)})["a"].tolist() == [1, 1]
    assert cache.cached(None, "thing", dict)["a"].tolist() == [1, 1]


def test_no_pickles(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    np.savez(tmp_path / "thing.npz", a=np.array([object()], dtype=object))
    assert cache.cached(None, "thing", lambda: {"a": np.zeros(1)})["a"].tolist() == [0]


def test_goes_on_without_a_cache(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("INNERLOOP_CACHE", str(blocked / "folder"))
    with pytest.warns(UserWarning, match="not kept for next time"):
        assert cache.cached(None, "thing", lambda: {"a": np.ones(1)})["a"].tolist() == [1]
