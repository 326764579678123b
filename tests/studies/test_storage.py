"""Storages that are locked, read-only, damaged, of another study, or elsewhere."""

import sqlite3
from typing import Any

import pytest

from innerloop.core.errors import FailedError, InputError
from innerloop.studies import storage
from innerloop.studies.storage import open_storage, open_study, patient, shown, url_of

pytest.importorskip("optuna")
ABOUT = {"learner": "maml", "space": {"inner_lr": "0.001:1:log"}, "train": {"steps": 4}}


def url(folder: Any) -> str:
    return url_of(None, folder)


def test_one_file_with_a_log_written_ahead(tmp_path):
    open_study(open_storage(url(tmp_path)), url(tmp_path), "s", "minimize", ABOUT)
    mode = sqlite3.connect(tmp_path / storage.FILE).execute("PRAGMA journal_mode").fetchone()
    assert mode == ("wal",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"learner": "anil"}, "its learner is 'maml', now 'anil'"),
        ({"space": {"inner_lr": "0.1:1"}}, "its space.inner_lr is '0.001:1:log', now '0.1:1'"),
        ({"train": {"steps": 5}}, "its train.steps is 4, now 5"),
    ],
)
def test_a_study_of_something_else_is_refused_with_what_differs(tmp_path, change, says):
    one = open_storage(url(tmp_path))
    open_study(one, url(tmp_path), "s", "minimize", ABOUT)
    with pytest.raises(InputError, match=says):
        open_study(open_storage(url(tmp_path)), url(tmp_path), "s", "minimize", ABOUT | change)
    open_study(one, url(tmp_path), "other", "minimize", ABOUT | change)


def test_a_file_that_somebody_holds_is_refused(tmp_path, monkeypatch):
    open_storage(url(tmp_path))
    monkeypatch.setattr(storage, "_LOCKED", 0.1)
    with sqlite3.connect(tmp_path / storage.FILE) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match=r"locked\): another program holds it"):
            open_study(open_storage(url(tmp_path)), url(tmp_path), "s", "minimize", ABOUT)


def test_a_file_that_may_not_be_written_is_refused(tmp_path):
    open_study(open_storage(url(tmp_path)), url(tmp_path), "s", "minimize", ABOUT)
    address = f"sqlite:///file:{tmp_path / storage.FILE}?mode=ro&uri=true"
    with pytest.raises(InputError, match=r"readonly.*allow it to be written"):
        open_study(open_storage(address), address, "t", "minimize", ABOUT)


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / storage.FILE).write_text("no database" * 100)
    with pytest.raises(InputError, match=r"not a database.*remove it"):
        open_storage(url(tmp_path))


def test_addresses(tmp_path):
    assert url_of("postgresql://me:secret@host/db", tmp_path) == "postgresql+psycopg://me:secret@host/db"
    assert shown("postgresql+psycopg://me:secret@host/db") == "postgresql://me@host/db"
    with pytest.raises(InputError, match="is no address"):
        url_of("studies.db", tmp_path)
    with pytest.raises(InputError, match=r"cannot be used .* check that it is there"):
        open_storage("postgresql+psycopg://me:secret@127.0.0.1:1/db?connect_timeout=2")


def test_a_storage_that_went_away_is_waited_for_and_then_told(monkeypatch, capsys):
    optuna, tries = storage.library(), []
    monkeypatch.setattr(storage, "_PAUSE", 0.01)

    def away() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise optuna.exceptions.StorageInternalError("gone")
        return 7

    assert patient(away, "postgresql://h/d", "kept") == 7 and "waiting for it" in capsys.readouterr().err
    tries.clear()
    monkeypatch.setattr(storage, "PATIENCE", -1.0)
    with pytest.raises(FailedError, match=r"is gone \(gone\): kept in a file"):
        patient(away, "postgresql://h/d", "kept in a file")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[tune\]'"):
        storage.library()
