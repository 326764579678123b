"""Files deleted, moved or replaced under an open store: nothing is acknowledged that is not on the disk."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from innerloop.service.store.errors import LostError, StoreError
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from tests.service.served import serving, teach

FILE = "store.sqlite"


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def without_log(folder: Path) -> None:
    (folder / f"{FILE}-wal").unlink()


def without_index(folder: Path) -> None:
    (folder / f"{FILE}-shm").unlink()


def without_database(folder: Path) -> None:
    (folder / FILE).unlink()


def replaced(folder: Path) -> None:
    """As by a backup that is put in its place."""
    with sqlite3.connect(folder / FILE) as source, sqlite3.connect(folder / "backup") as backup:
        source.backup(backup)
    os.replace(folder / "backup", folder / FILE)


def other_log(folder: Path) -> None:
    shutil.copy(folder / f"{FILE}-wal", folder / "copy")
    os.replace(folder / "copy", folder / f"{FILE}-wal")


def another_folder(folder: Path) -> None:
    moved(folder)
    Store(folder).close()


LOSSES = (deleted, moved, without_log, without_index, without_database, replaced, other_log, another_folder)


def example(value: float = 0.0) -> Example:
    return Example(row=np.full(3, value, np.float32), label="a")


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_acknowledged_that_would_not_be_there(tmp_path, caplog, lose: Callable[[Path], None]):
    folder = tmp_path / "store"
    with serving(folder) as client:
        teach(client)
        asked = {"texts": ["aab"]}
        assert client.post("/api/tasks/t/predict", json=asked).status_code == 200
        lose(folder)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                added = client.post("/api/tasks/t/examples", json={"examples": [{"label": "a", "text": "ab"}]})
                assert added.status_code == 503 and "start the service again" in added.json()["error"]
                assert "retry-after" not in added.headers, "it will not come back by itself"
                assert client.get("/healthz").status_code == 503
        assert len([r for r in caplog.records if "of the store" in r.message]) == 1
        # What was acknowledged can still be looked at, and taken away.
        assert client.get("/api/tasks/t").json()["version"] == 1
        assert client.get("/api/tasks/t/download").status_code == 200
        assert client.post("/api/tasks/t/predict", json=asked).status_code == 200
        assert folder.exists() or lose in (deleted, moved), "no empty store is put in its place"


@pytest.mark.parametrize("lose", [deleted, without_log, replaced])
def test_what_is_lost_between_the_change_and_its_commit_is_not_acknowledged_either(tmp_path, lose):
    store = Store(tmp_path / "store")
    store.create("t", "plain", "features", None)

    def change():
        with store.database.writing() as c:
            c.execute("UPDATE tasks SET source = 'other'")
            lose(tmp_path / "store")

    with pytest.raises(LostError):
        change()
    assert store.task("t").source == "plain"
    with pytest.raises(LostError):
        store.add("t", [example()])
    store.close()


def test_checkpoints_and_other_servers_lose_nothing(tmp_path):
    store = Store(tmp_path)
    store.create("t", "plain", "features", None)
    for i in range(3):
        other = Store(tmp_path)
        other.add("t", [example(i)])
        other.close()
        with sqlite3.connect(tmp_path / FILE) as c:
            c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        c.close()
        store.add("t", [example(i)])
    assert store.task("t").version == 6
    store.close()


def test_a_store_that_was_closed_opens_again_when_it_is_used(tmp_path):
    store = Store(tmp_path)
    store.create("t", "plain", "features", None)
    store.close()
    assert store.count() == 1
    store.close()
    assert store.add("t", [example()]).version == 1
    store.close()
    assert store.task("t").version == 1
    store.close()
    shutil.rmtree(tmp_path)
    with pytest.raises(StoreError, match="cannot be used"):
        store.add("t", [example()])
