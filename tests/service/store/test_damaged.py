"""Pages that a disk lost."""

import logging
import sqlite3
import time

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InnerloopError
from innerloop.service.http import daily
from innerloop.service.store.errors import LostError
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from tests.service.served import serving, teach

PAGE = 4096


def filled(folder, count=400):
    """A store of many pages, all in one file."""
    store = Store(folder)
    store.create("t", "plain", "features", None)
    store.add("t", [Example(row=np.full(8, i, np.float32), label="ab"[i % 2], text=f"text {i}") for i in range(count)])
    store.close()
    return folder / "store.sqlite"


def zero(file, page):
    """Have a page hold nothing but zeros."""
    with open(file, "r+b") as opened:
        opened.seek((page - 1) * PAGE)
        opened.write(bytes(PAGE))


def test_a_store_of_which_any_page_is_lost_is_refused_at_the_start_with_one_message(tmp_path):
    whole = filled(tmp_path / "whole").read_bytes()
    pages = len(whole) // PAGE
    assert pages > 20
    for page in range(1, pages + 1):
        folder = tmp_path / str(page)
        folder.mkdir()
        (folder / "store.sqlite").write_bytes(whole)
        zero(folder / "store.sqlite", page)
        with pytest.raises(InnerloopError, match=r"backup") as refused, serving(folder):
            pass
        assert "\n" not in str(refused.value) and str(folder) in str(refused.value), page


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_says_so_and_ends(tmp_path, capsys, workers):
    zero(filled(tmp_path / "store"), 12)
    words = ["serve", "--store", str(tmp_path / "store"), "--port", "0", "--workers", workers]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "is damaged" in error and "restore a backup" in error and "Traceback" not in error


def test_damage_that_is_found_while_it_runs_turns_changes_away(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(daily, "_SECONDS", 0.1)
    filled(tmp_path)
    with serving(tmp_path) as client:
        teach(client, "u")
        assert client.get("/healthz").status_code == 200
        with sqlite3.connect(tmp_path / "store.sqlite") as c:
            assert c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "all pages are in the file itself"
            page = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'examples'").fetchone()[0]
        c.close()
        with caplog.at_level(logging.ERROR):
            zero(tmp_path / "store.sqlite", page)
            end = time.monotonic() + 60
            while client.get("/healthz").status_code == 200 and time.monotonic() < end:
                time.sleep(0.05)
            assert client.get("/healthz").status_code == 503
            refused = client.post("/api/tasks", json={"name": "v", "source": "x"})
            assert client.delete("/api/tasks/u").status_code == 503 and refused.status_code != 201
            time.sleep(0.3)
        assert len([r for r in caplog.records if "is damaged" in r.message]) == 1
        assert client.get("/api/tasks").status_code == 200, "what can be read is read"


def test_a_statement_that_meets_it_says_so_as_well(tmp_path):
    file = filled(tmp_path)
    store = Store(tmp_path)
    store.task("t")
    for page in range(6, 30):
        zero(file, page)
    with pytest.raises(LostError, match="is damaged"):
        store.support(store.task("t"))
    with pytest.raises(LostError):
        store.delete("t")
    store.close()
