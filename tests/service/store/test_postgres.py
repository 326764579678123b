"""A store in PostgreSQL: what hosts tell each other, and servers that are killed, closed, foreign or old."""

import logging
import os
import signal
import threading
import time

import numpy as np
import psycopg
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.service.limits import Limits
from innerloop.service.store import postgres_tables
from innerloop.service.store.address import Address, shown
from innerloop.service.store.database import opened
from innerloop.service.store.errors import BusyError, LostError, StoreError
from innerloop.service.store.postgres import Postgres
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from tests.service import postgres
from tests.service.served import served_by, serving, teach


def example(label="a", value=0.0):
    return Example(row=np.full(3, value, np.float32), label=label)


@pytest.fixture
def address(server):
    return server.new()


@pytest.fixture
def store(address):
    made = Store(address)
    made.create("t", "plain", "features", None)
    yield made
    made.close()


@pytest.fixture
def own():
    """A server that a test may end."""
    with postgres.serving() as started:
        yield started


def pid(raw):
    return raw.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_a_connection_that_is_killed_before_the_commit_changes_nothing_and_the_change_is_made_anew(store, server):
    times = []

    def work(c):
        c.execute("UPDATE tasks SET source = source || 'x' WHERE name = 't'")
        times.append(1)
        if len(times) < 3:
            server.sql(f"SELECT pg_terminate_backend({pid(c.raw)})")
            time.sleep(0.05)
        return c.execute("SELECT source FROM tasks").fetchone()[0]

    assert store.database.change(work) == "plainx" and len(times) == 3
    assert store.task("t").source == "plainx"


@pytest.mark.parametrize("commits", [True, False])
def test_a_connection_that_is_lost_in_the_commit_is_asked_about_afterwards(store, server, monkeypatch, commits):
    times = []

    def work(c):
        c.execute("UPDATE tasks SET source = source || 'x' WHERE name = 't'")
        times.append(1)
        return len(times)

    real = psycopg.Connection.execute

    def execute(self, query, *args, **kwargs):
        if str(query).endswith("COMMIT") and len(times) == 1:
            number = pid_of(self)
            if commits:
                real(self, query)
            server.sql(f"SELECT pg_terminate_backend({number})")
            time.sleep(0.05)
        return real(self, query, *args, **kwargs)

    def pid_of(connection):
        return connection.info.backend_pid

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    assert store.database.change(work) == (1 if commits else 2)
    assert store.task("t").source == "plainx", "made once, whatever the connection heard of it"


def test_serialisation_failures_and_deadlocks_are_retried_until_the_time_is_over(address):
    store, times = Store(address), []
    store.create("t", "plain", "features", None)

    def work(c):
        times.append(1)
        if len(times) < 4:
            code = "40001" if len(times) % 2 else "40P01"
            c.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
        return len(times)

    assert store.database.change(work) == 4
    store.close()
    hasty = opened(address, seconds=0.2)
    with pytest.raises(BusyError, match="busy: try again"):
        hasty.change(lambda c: c.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"))
    hasty.close()


def test_another_host_that_changes_the_store_is_waited_for_and_not_for_ever(store, address):
    hasty = opened(address, seconds=0.2)
    with store.database.writing() as c:
        c.execute("UPDATE tasks SET source = 'other'")
        start = time.monotonic()
        with pytest.raises(BusyError, match="busy: try again"):
            hasty.change(lambda c: None)
        assert time.monotonic() - start < 8, "less than the usual time"
        assert store.task("t").source == "plain", "reading waits for nobody"
    assert store.task("t").source == "other"
    hasty.close()


def test_a_host_that_is_killed_in_the_middle_leaves_nothing_and_holds_nobody_up(store, address):
    child = os.fork()
    if child == 0:  # pragma: no cover
        mine = opened(address)
        with mine.writing() as c:
            c.execute("UPDATE tasks SET source = 'half'")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert store.add("t", [example()]).version == 1 and store.task("t").source == "plain"


def test_a_server_that_is_killed_and_started_again_has_lost_nothing_that_was_acknowledged(own):
    store, stop = Store(own.new(), Limits(store_seconds=60.0)), threading.Event()
    acknowledged, refused = [], []
    store.create("t", "plain", "features", None)

    def teach_on():
        while not stop.is_set():
            try:
                acknowledged.append(store.add("t", [example("a", len(acknowledged))]).version)
            except StoreError as error:
                refused.append(error)

    thread = threading.Thread(target=teach_on)
    thread.start()
    try:
        for _ in range(2):
            known = len(acknowledged)
            while len(acknowledged) < known + 5:
                time.sleep(0.01)
            own.stop("immediate")
            time.sleep(0.3)
            own.start()
        known = len(acknowledged)
        while len(acknowledged) < known + 5:
            time.sleep(0.01)
    finally:
        stop.set()
        thread.join()
    versions = [row["version"] for row in store.versions("t")][1:]
    assert set(acknowledged) <= set(versions) and len(versions) <= len(acknowledged) + len(refused)
    assert [row["examples"] for row in store.versions("t")] == [0, *versions], "nothing was made twice in one version"
    assert not refused, "it was back before their time was over"
    own.stop()
    with pytest.raises(BusyError, match="does not answer, or is busy"):
        store.task("t")
    store.close()
    with pytest.raises(InputError, match=r"cannot be opened .*check that the server runs"):
        Store(own.address("store1"))


def test_a_change_reaches_the_memory_of_another_host_by_itself(address):
    with serving(address) as one, serving(address) as other:
        teach(one)
        asked = {"texts": ["aab"]}
        assert other.post("/api/tasks/t/predict", json=asked).json()["version"] == 1
        cache, task = served_by(other)._adapted, served_by(other).store.task
        first = task("t").state
        start = time.monotonic()
        added = one.post("/api/tasks/t/examples", json={"examples": [{"label": "c", "text": "ccc"}]})
        while cache.find(task("t").state) is None and time.monotonic() < start + 60:
            time.sleep(0.001)
        assert cache.find(task("t").state) is not None and cache.find(first) is None
        assert added.json()["version"] == other.post("/api/tasks/t/predict", json=asked).json()["version"] == 2
        one.delete("/api/tasks/t").raise_for_status()
        while len(cache) and time.monotonic() < start + 60:
            time.sleep(0.001)
        assert len(cache) == 0 and other.post("/api/tasks/t/predict", json=asked).status_code == 404


def test_without_the_notice_it_is_seen_by_its_version(address, monkeypatch):
    monkeypatch.setattr(Postgres, "listen", lambda self, told, ended: None)
    with serving(address) as one, serving(address) as other:
        teach(one)
        asked = {"texts": ["ccc"]}
        assert other.post("/api/tasks/t/predict", json=asked).json()["version"] == 1
        one.post("/api/tasks/t/examples", json={"examples": [{"label": "c", "text": "ccc"}]}).raise_for_status()
        answer = other.post("/api/tasks/t/predict", json=asked).json()
        assert answer["version"] == 2 and answer["predictions"][0]["class"] == "c"


def test_erasing_rewrites_the_tables(address, server):
    store = Store(address)
    store.create("t", "plain", "features", None)
    store.add("t", [Example(row=np.zeros(3, np.float32), label="a", text="a-secret-text " * 50)] * 20)
    before = server.sql("SELECT pg_relation_filenode('innerloop.examples')", address.partition("@/")[2].split("?")[0])
    from innerloop.service.store.erase import erase_task

    erase_task(store, "t")
    store.database.scrub()
    name = address.partition("@/")[2].split("?")[0]
    after = server.sql("SELECT pg_relation_filenode('innerloop.examples')", name)
    assert after != before
    server.sql("CHECKPOINT")
    folder = server.folder / "data" / server.sql("SELECT pg_relation_filepath('innerloop.examples')", name)[0][0]
    assert b"a-secret-text" not in folder.read_bytes()
    with store.database.reading() as c:
        assert c.execute("SELECT unscrubbed FROM totals").fetchone()[0] == 0
    store.close()


def test_what_cannot_be_a_store_is_refused_with_one_message(server, monkeypatch, capsys):
    server.sql("CREATE DATABASE foreigners")
    server.sql("CREATE SCHEMA innerloop", "foreigners")
    server.sql("CREATE TABLE innerloop.theirs (x int)", "foreigners")
    newer = server.new()
    server.sql("UPDATE innerloop.about SET version = 99", newer.partition("@/")[2].split("?")[0])
    server.sql("CREATE DATABASE shut")
    server.sql("ALTER DATABASE shut SET default_transaction_read_only = on")
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    server.sql("CREATE ROLE guest LOGIN")
    server.sql("CREATE DATABASE others")
    for where, says in (
        (server.address("foreigners"), r"tables of another program in its schema 'innerloop' \(theirs\)"),
        (newer, "of version 99 and this release knows 13: update innerloop"),
        (server.address("shut"), "may only be read, as a standby may"),
        (server.address("latin"), "holds LATIN1"),
        (server.address("others", user="guest"), "permission denied for database others"),
        (server.address("nowhere"), 'database "nowhere" does not exist'),
        ("postgresql://store@127.0.0.1:1/x?connect_timeout=1", "check that the server runs"),
        ("postgresql://store:top-secret@[/x", "is not one that PostgreSQL understands"),
    ):
        with pytest.raises(InputError, match=says) as refused:
            opened(where)
        assert "\n" not in str(refused.value)
    monkeypatch.setattr(postgres_tables, "OLDEST", 99)
    with pytest.raises(InputError, match=r"is PostgreSQL 1\d, and 99 is needed: update the server"):
        opened(newer)
    assert main(["serve", "--store", server.address("nowhere"), "--port", "0"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_no_password_is_in_any_message(own, caplog, capsys):
    hba = own.folder / "data" / "pg_hba.conf"
    own.sql("CREATE ROLE careful LOGIN PASSWORD 'right'")
    hba.write_text("local all careful scram-sha-256\nlocal all all trust\n")
    own.sql("SELECT pg_reload_conf()")
    wrong = own.address("postgres", user="careful", password="top-secret-1")
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError, match="password authentication failed") as refused:
        opened(wrong)
    told = [str(refused.value), shown(wrong), Address(wrong).name, caplog.text]
    assert main(["serve", "--store", wrong, "--port", "0"]) == 2
    output = capsys.readouterr()
    for text in (*told, output.err, output.out):
        assert "top-secret-1" not in text
    assert refused.value.__cause__ is None


def test_what_happens_to_an_open_store_is_told(store, server, address):
    name = address.partition("@/")[2].split("?")[0]
    with pytest.raises(InputError, match=r"NUL \(U\+0000\): leave it out"):
        store.add("t", [Example(row=np.zeros(3, np.float32), label="a\0b")])
    assert store.task("t").version == 0
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    with pytest.raises(StoreError, match=r"read-only transaction.*nothing was changed"):
        store.add("t", [example()])
    assert store.task("t").version == 0, "what can be read is read"
    server.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert store.add("t", [example()]).version == 1
    server.sql("DROP TABLE innerloop.people", name)
    with pytest.raises(LostError, match="has no people any more"):
        store.database.examine()
    with pytest.raises(LostError):
        store.add("t", [example()])


def test_without_the_packages_the_extra_is_named(monkeypatch):
    from innerloop.service.store import address

    monkeypatch.setattr(address.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs psycopg, which is not installed: pip install 'innerloop\[postgres\]'"):
        opened("postgresql://h/d")


def test_what_anybody_may_tell_ends_nobodys_listening(address, server, monkeypatch):
    with serving(address) as one, serving(address) as other:
        teach(one)
        assert other.post("/api/tasks/t/predict", json={"texts": ["aab"]}).status_code == 200
        worker = served_by(other)
        server.sql("NOTIFY innerloop, 'x'", address.partition("@/")[2].partition("?")[0])
        broken, real = [], worker._told._adapt

        def adapt(task):
            broken.append(task.version)
            if len(broken) == 1:
                raise RuntimeError("no memory, say")
            return real(task)

        monkeypatch.setattr(worker._told, "_adapt", adapt)
        for value in ("ccc", "cca"):
            one.post("/api/tasks/t/examples", json={"examples": [{"label": "c", "text": value}]}).raise_for_status()
            known, start = len(broken), time.monotonic()
            while len(broken) == known and time.monotonic() < start + 60 and value == "ccc":
                time.sleep(0.001)
            assert other.post("/api/tasks/t/predict", json={"texts": ["aab"]}).status_code == 200
        start = time.monotonic()
        while len(broken) < 2 and time.monotonic() < start + 60:
            time.sleep(0.001)
        assert len(broken) == 2 and worker._told._thread.is_alive()


def test_asking_for_health_keeps_nobody_waiting(address, monkeypatch):
    with serving(address) as client:
        teach(client)
        store, threads = served_by(client).store, list[str]()
        real = store.count

        def count():
            threads.append(threading.current_thread().name)
            return real()

        monkeypatch.setattr(store, "count", count)
        for path in ("/healthz", "/v2/health/ready", "/label-studio/t/health"):
            assert client.get(path).status_code == 200
        assert len(threads) == 3 and all("worker" in name for name in threads), "none on the loop, which is everybody's"


@pytest.mark.parametrize("place", ["mysql://ann:secret@host/db", "postgresql+psycopg://ann:secret@host/db"])
def test_an_address_of_something_else_becomes_no_folder(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    for verb in (["keys", "add", "--store", place], ["migrate", place], ["copy", place, "x"], ["--store", place]):
        assert main(["serve", *verb]) == 2
        error = capsys.readouterr().err
        assert "give a folder, or postgresql://" in error and "secret" not in error
    assert not list(tmp_path.iterdir())


def test_what_is_listed_has_the_order_of_sqlite_however_rows_are_looked_for(tmp_path, address, server):
    answers = []
    for place in (tmp_path, address):
        store = Store(place)
        store.create("t", "plain", "features", None)
        store.add("t", [example(label) for label in "aaa" + "".join(map(chr, range(ord("z"), ord("a"), -1)))])
        for label in "ba":
            store.relabel("t", 1, label)
        if place is address:
            name = address.partition("@/")[2].partition("?")[0]
            server.sql("ANALYZE; ALTER DATABASE " + name + " SET enable_sort = off", name)
            server.sql(f"ALTER DATABASE {name} SET enable_indexscan = off", name)
            server.sql(f"ALTER DATABASE {name} SET enable_bitmapscan = off", name)
            server.sql(f"ALTER DATABASE {name} SET enable_indexonlyscan = off", name)
            store.close()
        answers.append((list(store.tasks()[0][1]), store.drop("t", "a").ids))
        store.close()
    assert answers[0] == answers[1] and answers[0][1] == (1, 2, 3)


def test_who_looks_for_a_store_makes_none(server, tmp_path, capsys):
    server.sql("CREATE DATABASE mistyped")
    address = server.address("mistyped")
    for verb in (["keys", "list", "--store", address], ["keys", "revoke", "1", "--store", address]):
        assert main(["serve", *verb]) == 2
        assert "there is no store in postgresql://" in capsys.readouterr().err
    assert main(["serve", "copy", address, str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'innerloop'", "mistyped") == [(0,)]
