"""Whole stores from SQLite to PostgreSQL and back, and backups of a store in PostgreSQL."""

import json
import shutil
import sqlite3
import subprocess
import time

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import FailedError, InputError
from innerloop.service.store import (
    annotations,
    conversations,
    copies,
    evaluations,
    keys,
    people,
    postgres_tables,
    predictions,
    quotas,
    rates,
    taggers,
    upkeep,
)
from innerloop.service.store.answers import Once
from innerloop.service.store.copies import copy, digest_of
from innerloop.service.store.database import opened
from innerloop.service.store.held import Held, Part, hold
from innerloop.service.store.records import Example
from innerloop.service.store.schema import COUNTED, SCHEMA, TABLES
from innerloop.service.store.store import Store
from innerloop.service.store.undo import undo
from tests.service.served import SINCE_12, served_by, serving, teach
from tests.service.store.test_upkeep import RELEASED


def filled(folder):
    """A store with rows in every table, and with numbers that were given to what is gone."""
    with serving(folder) as client:
        teach(client)
        client.get("/api/tasks/t/evaluation").raise_for_status()
        content = client.get("/api/tasks/t/download").content
        client.post("/api/tasks/import", files={"file": ("v.fewshot", content)}).raise_for_status()
        store = served_by(client).store
        store.add(
            "t", [Example(row=np.full(8, 2.5, np.float32), label="ü ' \\ % ?", text="日本 100% ?", picture=b"\0\xff")]
        )
        store.relabel("t", 1, "b")
        undo(store, "t")
        store.drop("t", "b")
        store.create("gone", "plain", "features", None)
        store.delete("gone")
        task = store.task("t")
        conversations.equip(store, task, {"replies": {"a": "ä"}})
        conversations.say(store, task, "talk", True, "now", lambda state: ({"n": 1}, {"said": "ja"}))
        evaluations.keep(store, store.task("t"), {"accuracy": {"mean": 0.5}})
        people.create(store.asked(Once(client="c", key="k", digest=b"d")), "films", "ada", {"i1": 4.5})
        annotations.put(store, "task 1", 2, 17, annotations.Learned(example=1, label=b"\0\xff", time="2026"))
        predictions.keep(store.database, [predictions.Prediction("x", 1, b"\0\xff", b"", "{}", 500)])
        taggers.create(store, "names", taggers.Content(file=b"file\0" * 100, version=3, about={"n": 1}))
        hold(
            store,
            "t",
            Part(client="", name="p"),
            [Held(example=Example(row=np.zeros(8, np.float32), label="a"), name="x")],
        )
    made, _ = keys.add(folder, "write", "phone", ["t"], quotas.Quota(requests=9))
    database = opened(folder)
    quotas.spend(database, made.id, 9)
    database.close()
    return folder


def content(where):
    database = opened(where)
    try:
        with database.snapshot() as c:
            return digest_of(c), database.numbers(c)
    finally:
        database.close()


def test_every_table_is_copied_and_has_the_keys_that_it_has(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        known = [name for (name,) in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table, wanted in TABLES.items():
            about = sorted((row[5], row[1]) for row in c.execute(f"PRAGMA table_info({table})") if row[5])
            assert tuple(name for _, name in about) == wanted
    c.close()
    assert set(known) == {*TABLES, "totals", "sqlite_sequence"}


def test_there_and_back_it_is_the_same_and_goes_on(tmp_path, server, capsys, monkeypatch):
    monkeypatch.setattr(copies, "_MANY", 3)
    monkeypatch.setattr(copies, "_LARGE", {})
    folder, address, back = filled(tmp_path / "store"), server.new(), tmp_path / "back"
    before = content(folder)
    assert main(["serve", "copy", str(folder), address, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"] == before[0] and all(told["rows"][table] for table in TABLES), told["rows"]
    assert content(address) == before
    with opened(address).reading() as c:
        assert c.execute("SELECT tasks FROM totals").fetchone()[0] == told["rows"]["tasks"]
    assert main(["serve", "copy", address, str(back)]) == 0
    assert before[0] in capsys.readouterr().out
    assert content(back) == before
    # The next numbers are not those of what was deleted.
    stores = [Store(where) for where in (folder, address, back)]
    made = [store.create("next", "plain", "features", None).id for store in stores]
    assert len(set(made)) == 1 and made[0] > told["rows"]["tasks"] + 1
    added = [store.add("next", [Example(row=np.zeros(3, np.float32), label="a")]).ids for store in stores]
    assert added[0] == added[1] == added[2]
    for store in stores:
        store.close()
    with serving(address) as one, serving(back) as other:
        asked = {"texts": ["aab", "bbc"]}
        answers = [client.post("/api/tasks/v/predict", json=asked).json() for client in (one, other)]
        for answer in answers:
            for prediction in answer["predictions"]:
                del prediction["id"]
        assert answers[0] == answers[1] and answers[0]["version"] == 1


def test_a_store_of_release_0_1_0_goes_to_postgresql(tmp_path, server):
    shutil.copy(RELEASED, tmp_path)
    address = server.new()
    copied = copy(tmp_path, address)
    assert content(address)[0] == copied.digest and copied.rows["versions"] == 5
    assert set(content(address)[1]) == set(COUNTED)


def test_nothing_is_mixed_and_nothing_half_arrives(tmp_path, server, monkeypatch):
    folder, address = tmp_path / "store", server.new()
    store = Store(folder)
    store.create("t", "plain", "features", None)
    other = Store(address)
    other.create("u", "plain", "features", None)
    with pytest.raises(InputError, match=r"is not empty \(it has tasks, versions, audit\)"):
        copy(folder, address)
    with pytest.raises(InputError, match="is both"):
        copy(folder, folder)
    with pytest.raises(InputError, match="there is no store in"):
        copy(tmp_path / "nowhere", address)
    other.delete("u")
    with pytest.raises(InputError, match=r"is not empty \(it has audit\)"):
        copy(folder, address)
    other.close()
    address = server.new()
    other = Store(address)
    empty = content(address)[0]
    store.add("t", [Example(row=np.zeros(3, np.float32), label="a", text="a\0b")])
    with pytest.raises(InputError, match="NUL"):
        copy(folder, address)
    assert content(address)[0] == empty
    store.drop("t", "a")
    store.close()
    real = copies._table
    monkeypatch.setattr(copies, "_table", lambda *args: 0 if args[2] == "versions" else real(*args))
    with pytest.raises(FailedError, match="does not hold what"):
        copy(folder, tmp_path / "other")
    monkeypatch.undo()
    assert content(tmp_path / "other")[0] == empty
    assert copy(folder, tmp_path / "other").rows["versions"] == 3
    other.close()


def test_a_copy_that_is_compared_for_longer_than_others_may_be_silent_arrives(tmp_path, server, monkeypatch):
    folder, address = filled(tmp_path / "store"), server.new()
    short = tuple(one.replace("= '60s'", "= '100ms'") for one in postgres_tables._SETTINGS)
    monkeypatch.setattr(postgres_tables, "_SETTINGS", short)
    monkeypatch.setattr(postgres_tables, "SILENCE", 0.1)

    def slow(c):
        time.sleep(0.3)
        return digest_of(c)

    monkeypatch.setattr(copies, "digest_of", slow)
    assert copy(folder, address).digest == copy(address, tmp_path / "back").digest


def test_a_backup_is_restored_by_pg_restore(tmp_path, server, capsys, monkeypatch):
    if shutil.which("pg_restore") is None:
        pytest.skip("no pg_restore on this machine (Debian: apt install postgresql-client)")
    address, target = server.new(), server.address("restored")
    store = Store(address)
    store.create("t", "plain", "features", None)
    store.add("t", [Example(row=np.zeros(3, np.float32), label="ä", picture=b"\0\xff")])
    store.delete("t")
    store.create("t", "plain", "features", None)
    rates.asked(store.database, "192.0.2.1", 1.0)
    store.close()
    out = tmp_path / "deep" / "store.dump"
    assert main(["serve", "backup", address, str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 1 and out.stat().st_mode & 0o077 == 0
    assert [path.name for path in out.parent.iterdir()] == ["store.dump"]
    assert main(["serve", "backup", address, str(out)]) == 2
    server.sql("CREATE DATABASE restored")
    subprocess.run(["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={target}", str(out)], check=True)
    assert content(target) == content(address)
    again = Store(target)
    assert rates.asked(again.database, "192.0.2.1", 1.0)[1], "who asked is not in it"
    assert again.add("t", [Example(row=np.zeros(3, np.float32), label="a")]).version == 1 and again.count() == 1
    again.close()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="needs pg_dump"):
        upkeep.backup(address, tmp_path / "other.dump")


def test_an_older_store_in_postgresql_is_migrated_and_a_dry_run_leaves_it(server, capsys):
    address = server.new()
    name = address.partition("@/")[2].partition("?")[0]
    Store(address).close()
    server.sql(f"SET search_path = innerloop; DROP TABLE people; {'; '.join(SINCE_12)}", name)
    server.sql("DROP FUNCTION innerloop.audit_kept, innerloop.audit_unchanged", name)
    server.sql("UPDATE innerloop.about SET version = 11", name)
    assert main(["serve", "migrate", address, "--dry-run"]) == 0
    assert "11 to 12: people" in capsys.readouterr().out
    assert server.sql("SELECT version FROM innerloop.about", name) == [(11,)]
    assert upkeep.migrate(address)[0] == 11 and upkeep.migrate(address) == (SCHEMA, ())
    store = Store(address)
    people.create(store, "films", "ada", {"i1": 1.0})
    store.close()
    with pytest.raises(InputError, match="there is no store in"):
        upkeep.migrate(server.address("postgres"))
    with pytest.raises(FailedError, match=r"does not exist.*nothing was changed"):
        upkeep.migrate(server.address("nowhere"))
