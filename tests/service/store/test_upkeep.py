"""Stores of earlier releases that are brought up to date, and copies of stores that are served."""

import hashlib
import json
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import FailedError, InputError
from innerloop.service.store import schema, sqlite_tables, upkeep
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from tests.service.served import serving, teach
from tests.service.store.test_damaged import filled, zero

RELEASED = Path(__file__).parents[2] / "releases" / "0.1.0" / "store.sqlite"


def tables(folder: Path) -> dict[str, list[tuple]]:
    """Every row of every table of a store."""
    with sqlite3.connect(folder / "store.sqlite") as c:
        names = [name for (name,) in c.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = {name: sorted(c.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
        rows["schema"] = sorted(c.execute("SELECT type, name, sql FROM sqlite_master"), key=repr)
    c.close()
    return rows


def of_version(folder: Path, version: int) -> Path:
    """The store of release 0.1.0 as a server of a version in between left it."""
    folder.mkdir()
    shutil.copy(RELEASED, folder)
    with sqlite3.connect(folder / "store.sqlite") as c:
        for step in schema.steps(1):
            if step.to <= version:
                for statement in step.statements:
                    c.execute(statement)
        c.execute(f"PRAGMA user_version = {version}")
    c.close()
    return folder


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "store.sqlite").read_bytes()).hexdigest()


def test_migrations_are_numbered_without_a_gap_and_end_with_a_new_store(tmp_path):
    for version in range(schema.SCHEMA + 1):
        numbers = [step.to for step in schema.steps(version)]
        assert numbers == list(range(max(2, version + 1), schema.SCHEMA + 1))
    Store(tmp_path / "new").close()
    migrated = of_version(tmp_path / "old", 1)
    upkeep.migrate(migrated)
    names = [{row[:2] for row in tables(folder)["schema"]} for folder in (tmp_path / "new", migrated)]
    assert names[0] == names[1]
    with sqlite3.connect(migrated / "store.sqlite") as c:
        old = {t: [row[1] for row in c.execute(f"PRAGMA table_info({t})")] for kind, t in names[0] if kind == "table"}
    c.close()
    with sqlite3.connect(tmp_path / "new" / "store.sqlite") as c:
        new = {t: [row[1] for row in c.execute(f"PRAGMA table_info({t})")] for kind, t in names[0] if kind == "table"}
    c.close()
    assert {t: set(columns) for t, columns in old.items()} == {t: set(columns) for t, columns in new.items()}
    # Rows are written by place in these.
    for table in ("versions", "members"):
        assert old[table] == new[table]


@pytest.mark.parametrize("version", range(1, schema.SCHEMA))
def test_a_store_of_every_version_with_data_in_it_ends_as_the_same(tmp_path, version):
    straight = of_version(tmp_path / "straight", 1)
    upkeep.migrate(straight)
    folder = of_version(tmp_path / "store", version)
    before = digest(folder)
    assert upkeep.migrate(folder, dry=True) == (version, schema.steps(version))
    assert digest(folder) == before, "a dry run leaves nothing behind"
    assert upkeep.migrate(folder) == (version, schema.steps(version))
    assert tables(folder) == tables(straight)
    assert upkeep.migrate(folder) == (schema.SCHEMA, ())
    store = Store(folder)
    assert [row["action"].split()[0] for row in store.versions("digits")][-1] == "rollback"
    assert len(store.support(store.task("digits"))[1]) == store.versions("digits")[-1]["examples"] > 0
    store.close()


def test_the_command_says_what_it_does(tmp_path, capsys):
    folder = of_version(tmp_path / "store", 9)
    assert main(["serve", "migrate", str(folder), "--dry-run"]) == 0
    assert "11 to 12: people" in (dry := capsys.readouterr().out) and "nothing was changed" in dry
    assert main(["serve", "migrate", str(folder), "--json"]) == 0
    assert [step["to"] for step in json.loads(capsys.readouterr().out)["steps"]] == [10, 11, 12, 13]
    assert main(["serve", "migrate", str(folder)]) == 0
    assert "there is nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["migrate"], ["migrate", "--dry-run"], ["backup"]])
def test_what_is_no_store_of_ours_is_refused_and_left_alone(tmp_path, capsys, verb):
    out = [str(tmp_path / "out")] if verb == ["backup"] else []
    newer = of_version(tmp_path / "newer", 13)
    with sqlite3.connect(newer / "store.sqlite") as c:
        c.execute("PRAGMA user_version = 99")
    c.close()
    (tmp_path / "foreign").mkdir()
    with sqlite3.connect(tmp_path / "foreign" / "store.sqlite") as c:
        c.execute("CREATE TABLE theirs (x)")
    c.close()
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for folder, says in (
        ("newer", "of version 99 and this release knows 13: update innerloop"),
        ("foreign", "another program's database"),
        ("empty", "there is no store in"),
    ):
        assert main(["serve", *verb, str(tmp_path / folder), *out]) == 2
        assert says in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_migration_that_fails_or_waits_in_vain_changes_nothing(tmp_path, monkeypatch):
    folder = of_version(tmp_path / "store", 3)
    before = tables(folder)
    holder = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(upkeep, "_SECONDS", 0.1)
    with pytest.raises(FailedError, match=r"locked.*nothing was changed"):
        upkeep.migrate(folder)
    holder.close()
    *most, last = schema.steps(3)
    monkeypatch.setattr(
        sqlite_tables, "steps", lambda version: (*most, last._replace(statements=("SELECT * FROM nowhere",)))
    )
    with pytest.raises(FailedError, match="nowhere"):
        upkeep.migrate(folder)
    assert tables(folder) == before


def test_a_backup_of_a_store_that_is_changed_meanwhile_is_one_state_and_can_be_served(tmp_path):
    store, stop = Store(tmp_path / "store"), threading.Event()
    store.create("t", "tests.service.served:Plain", "features", None)

    def teach_on() -> None:
        while not stop.is_set():
            store.add("t", [Example(row=np.full(8, 1.0, np.float32), label="ab"[store.task("t").version % 2])])

    thread = threading.Thread(target=teach_on)
    thread.start()
    try:
        while store.task("t").version < 4:
            pass
        known = store.task("t").version
        made = upkeep.backup(tmp_path / "store", tmp_path / "deep" / "backup")
        latest = store.task("t").version
    finally:
        stop.set()
        thread.join()
    store.close()
    assert [path.name for path in made.path.iterdir()] == ["store.sqlite"] and made.tasks == 1
    with serving(made.path) as client:
        versions = client.get("/api/tasks/t/versions").json()
        assert known <= versions[-1]["version"] <= latest
        assert [v["examples"] for v in versions] == list(range(len(versions)))
        asked = {"features": [[1.0] * 8]}
        assert client.post("/api/tasks/t/predict", json=asked).status_code == 200
        assert sum(c["examples"] for c in client.get("/api/tasks/t").json()["classes"]) == versions[-1]["examples"]


def test_watches_are_in_a_backup(tmp_path):
    with serving(tmp_path / "store") as client:
        teach(client)
        client.post("/api/tasks/t/watch", json={}).raise_for_status()
        made = upkeep.backup(tmp_path / "store", tmp_path / "backup")
    assert [path.name for path in (made.path / "watches").iterdir()] == ["1.sqlite"]
    with serving(made.path) as client:
        assert client.get("/api/tasks/t/watch").status_code == 200


def test_nothing_is_written_over_and_nothing_half_is_left(tmp_path, capsys):
    folder = filled(tmp_path / "store").parent
    for name in ("file", "folder"):
        there = tmp_path / name
        if name == "folder":
            there.mkdir()
            (there / "notes.txt").write_text("mine")
        else:
            there.write_text("mine")
        with pytest.raises(InputError, match="is there already: give a new folder"):
            upkeep.backup(folder, there)
    assert main(["serve", "backup", str(folder), str(tmp_path / "backup"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 1
    before = sorted(path.name for path in tmp_path.iterdir())
    zero(folder / "store.sqlite", 12)
    assert main(["serve", "backup", str(folder), str(tmp_path / "again")]) == 1
    assert "damaged" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
