from pathlib import Path

import numpy as np

from innerloop.core.context import Context
from innerloop.tasks import cache
from innerloop.tasks.datasets import load


def test_what_is_named_wins_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("INNERLOOP_DATA", "/data")
    monkeypatch.setenv("INNERLOOP_CACHE", "/cached")
    assert (cache.data_folder(), cache.folder()) == (Path("/data"), Path("/cached"))
    here = Context(data_root=tmp_path / "a", cache="~/b")
    assert cache.data_folder(here) == tmp_path / "a" and cache.folder(here) == Path.home() / "b"
    monkeypatch.delenv("INNERLOOP_DATA")
    assert cache.data_folder(Context(cache=tmp_path)) == tmp_path / "data"
    monkeypatch.delenv("INNERLOOP_CACHE")
    assert "innerloop" in str(cache.folder())


def test_a_data_root_alone_is_a_context():
    context = Context(data_root="x", allow=("mine",))
    assert Context.of(context) is context
    assert Context.of("x") == Context.of(Path("x").name) == Context(data_root="x")
    assert Context.of(None) == Context()


def test_arrays_are_kept_in_the_folder_of_the_context(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERLOOP_CACHE", "/nowhere/at/all")
    context = Context(cache=tmp_path)
    assert cache.cached(context, "thing", lambda: {"a": np.ones(2)})["a"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["thing.npz"]


def test_data_sets_take_it(context, monkeypatch):
    roots, cached = [], cache.cached
    monkeypatch.setattr(cache, "cached", lambda root, *rest: roots.append(root) or cached(root, *rest))
    assert load("omniglot", context).train.names == load("omniglot", context.data_root).train.names
    assert roots == [context, context.data_root]
