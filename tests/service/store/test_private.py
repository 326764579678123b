import logging
import os
import sqlite3
import stat
from typing import Any

import pytest

from innerloop.service.store.store import Store
from tests.service.served import serving, teach

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")


def modes(folder):
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


@pytest.fixture(params=[0o022, 0o000, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_store_is_its_owners_alone_from_the_start(tmp_path):
    folder = tmp_path / "deep" / "store"
    with serving(folder, workers=2) as client:  # with what workers share
        teach(client)
        client.post("/api/tasks/t/predict", json={"texts": ["a"]}).raise_for_status()
        app: Any = client.app
        app.state.service.recent.close()
        files = modes(folder)
        assert {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "recent.sqlite"} <= set(files)
        assert set(files.values()) == {"0o600"} and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_that_is_open_to_others_is_closed_with_one_line(tmp_path, caplog):
    folder = tmp_path / "store"
    Store(folder).close()
    kept = sqlite3.connect(folder / "store.sqlite")  # so that the log is there
    kept.execute("SELECT * FROM tasks")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    with caplog.at_level(logging.WARNING):
        store = Store(folder)
        assert set(modes(folder).values()) == {"0o600"} and stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(caplog.records) == 1 and "was open to other users" in caplog.text
        Store(folder).close()
        assert len(caplog.records) == 1
    store.close()
    kept.close()


def test_a_folder_of_other_things_stays_as_it_is(tmp_path, caplog):
    (tmp_path / "notes.txt").write_text("mine")
    tmp_path.chmod(0o755)
    (tmp_path / "notes.txt").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        store = Store(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert modes(tmp_path)["notes.txt"] == "0o644" and modes(tmp_path)["store.sqlite"] == "0o600"
    assert "holds other files as well" in caplog.text and len(caplog.records) == 1
    store.close()
