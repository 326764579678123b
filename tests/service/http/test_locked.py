"""Somebody else holds the store: what is looked at goes on, a change is told to come back in time."""

import contextlib
import sqlite3
import threading
import time

import pytest

from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits
from tests.service.served import WORDS, serving, teach

SECONDS = 0.4
EXAMPLE = {"examples": [{"label": "a", "text": "abc"}]}


@contextlib.contextmanager
def locked(store):
    """Another connection is in the middle of a change."""
    other = sqlite3.connect(store / "store.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path) as client:
        teach(client)
        assert client.post("/api/tasks/t/predict", json={"texts": ["aab"]}).status_code == 200
        yield client


def changes(client):
    """Every kind of change, as a call."""
    t = "/api/tasks/t"
    return (
        lambda: client.post("/api/tasks", json={"name": "u", "source": WORDS}),
        lambda: client.post(f"{t}/examples", json=EXAMPLE),
        lambda: client.post(f"{t}/feedback", json={"text": "abc", "label": "a"}),
        lambda: client.patch(f"{t}/examples/1", json={"label": "b"}),
        lambda: client.delete(f"{t}/examples/1"),
        lambda: client.delete(f"{t}/classes/a"),
        lambda: client.post(f"{t}/undo", json={"to": 0}),
        lambda: client.delete(t),
    )


def test_who_looks_or_asks_goes_on_and_changes_are_told_to_come_back(client, tmp_path):
    def learned():
        task = client.get("/api/tasks/t").json()
        del task["drift"]  # counts what was asked
        return task, client.get("/api/tasks/t/examples").json()

    before = learned()
    with serving(tmp_path, limits=Limits(store_seconds=SECONDS)) as hasty, locked(tmp_path):
        for change in changes(hasty):
            start = time.monotonic()
            answer = change()
            took = time.monotonic() - start
            assert answer.status_code == 503 and "busy" in answer.json()["error"] and answer.headers["retry-after"]
            assert took < SECONDS + 5, "less than the usual time"
        # The lock lasts: whoever is answered did not wait for it.
        assert hasty.get("/healthz").json()["status"] == "ok"
        for path in ("", "/t", "/t/examples", "/t/versions", "/t/download"):
            assert hasty.get(f"/api/tasks{path}").status_code == 200
        assert hasty.post("/api/tasks/t/predict", json={"texts": ["aab"]}).json()["predictions"][0]["class"] == "a"
    assert before == learned()
    assert [task["name"] for task in client.get("/api/tasks").json()] == ["t"]
    assert client.post("/api/tasks/t/examples", json=EXAMPLE).json()["version"] == 2


def removing(client, count):
    """Threads that all remove one example, and their answers with the seconds that each took."""
    answers = []

    def change():
        start = time.monotonic()
        answers.append((client.delete("/api/tasks/t/examples/1"), time.monotonic() - start))

    threads = [threading.Thread(target=change) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_few_changes_wait_and_the_others_are_told_at_once(tmp_path):
    with serving(tmp_path, limits=Limits(store_seconds=60.0, changes=3)) as client:
        teach(client)
        with locked(tmp_path):
            threads, answers = removing(client, 9)
            end = time.monotonic() + 50  # before those that wait are turned away for their own sake
            while len(answers) < 6 and time.monotonic() < end:
                time.sleep(0.01)
            assert client.get("/healthz").status_code == client.get("/api/tasks/t").status_code == 200
            assert [answer.status_code for answer, _ in answers] == [503] * 6, "three still wait"
            assert all("wait for the store already" in answer.text for answer, _ in answers)
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer, _ in answers[6:]) == [200, 404, 404]


def test_the_turn_and_the_lock_have_one_deadline(tmp_path):
    with serving(tmp_path) as client:
        teach(client)
    with serving(tmp_path, limits=Limits(store_seconds=1.0, changes=3)) as client, locked(tmp_path):
        start = time.monotonic()
        assert client.delete("/api/tasks/t/examples/1").status_code == 503
        alone = time.monotonic() - start
        threads, answers = removing(client, 3)
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer, _ in answers] == [503] * 3
        assert max(took for _, took in answers) < 2.5 * alone, "not one after the other"


def test_work_that_takes_too_long_is_given_up_whole(tmp_path):
    from innerloop.service.store.errors import BusyError
    from innerloop.service.store.store import Store

    store, hasty = Store(tmp_path), Store(tmp_path, Limits(store_seconds=0.1))
    store.create("t", "plain", "features", None)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def change(statement, rest):
        with hasty.database.writing() as c:
            c.execute("DELETE FROM tasks")
            c.execute(statement)
            time.sleep(rest)

    for statement, rest in ((endless, 0.0), ("SELECT 1", 0.2)):
        with pytest.raises(BusyError):
            change(statement, rest)
    assert store.count() == 1 and store.create("u", "plain", "features", None).version == 0
    store.close()
    hasty.close()


def test_a_refusal_is_no_change(client):
    with pytest.raises(HTTPError, match="0 changes wait"):
        client.portal.call(type(client.app.state.service.threads)(0).change, print)


def test_health_does_nothing_that_grows_with_the_tasks(client, monkeypatch):
    store = client.app.state.service.store
    before = client.get("/healthz").json()["tasks"]
    for name in ("tasks", "described", "examples", "versions"):
        monkeypatch.setattr(store, name, None)
    store.create("another", WORDS, "texts", None)
    assert client.get("/healthz").json()["tasks"] == before + 1
