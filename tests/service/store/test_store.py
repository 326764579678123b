import random
import sqlite3
import threading

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.service.http.errors import as_http
from innerloop.service.limits import Limits
from innerloop.service.store.errors import StoreError
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from innerloop.service.store.undo import undo


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.create("t", "plain", "features", None)
    yield made
    made.close()


def example(label="a", value=0.0, shape=(3,)):
    return Example(row=np.full(shape, value, np.float32), label=label)


def content(store, name="t"):
    """What the newest version holds, by value."""
    rows, labels = store.support(store.task(name))
    return [(float(row[0]), label) for row, label in zip(rows, labels, strict=True)]


def test_every_version_holds_what_a_plain_model_of_it_does(store):
    r, model, versions = random.Random(0), {}, {0: {}}
    for step in range(150):
        what = r.random()
        if what < 0.5 or not model:
            given = [(r.choice("abc"), float(step * 10 + i)) for i in range(r.randint(1, 3))]
            change = store.add("t", [example(label, value) for label, value in given])
            model = model | dict(zip(change.ids, given, strict=True))
        elif what < 0.65:
            id, label = r.choice(list(model)), r.choice("abc")
            change = store.relabel("t", id, label)
            model = model | {id: (label, model[id][1])}
        elif what < 0.8:
            id = r.choice(list(model))
            change = store.remove("t", id)
            model = {k: v for k, v in model.items() if k != id}
        elif what < 0.88:
            label = r.choice([label for label, _ in model.values()])
            change = store.drop("t", label)
            model = {k: v for k, v in model.items() if v[0] != label}
        else:
            to = r.choice(list(versions))
            if to == len(versions) - 1:
                continue
            change = undo(store, "t", to)
            model = versions[to]
        assert change.version == len(versions)
        versions[change.version] = model
        assert content(store) == [(model[id][1], model[id][0]) for id in sorted(model)]
        listed = store.examples("t", None, 1000, 0)
        assert {row["id"]: row["label"] for row in listed} == {id: label for id, (label, _) in model.items()}
    task = store.task("t")
    for version, then in versions.items():
        from dataclasses import replace

        rows, labels = store.support(replace(task, version=version))
        assert [(float(v[0]), label) for v, label in zip(rows, labels, strict=True)] == [
            (then[id][1], then[id][0]) for id in sorted(then)
        ]
    history = store.versions("t")
    assert [h["version"] for h in history] == list(versions)
    assert [h["examples"] for h in history] == [len(v) for v in versions.values()]
    assert [h["classes"] for h in history] == [len({label for label, _ in v.values()}) for v in versions.values()]


def test_changes_of_many_threads_and_of_two_servers_come_one_after_the_other(store, tmp_path):
    other, ids = Store(tmp_path), []

    def work(mine):
        for i in range(20):
            ids.append(mine.add("t", [example("ab"[i % 2], i)]))

    threads = [threading.Thread(target=work, args=(s,)) for s in (store, other, store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(change.version for change in ids) == list(range(1, 81))
    assert other.task("t") == store.task("t") and len(content(other)) == 80
    assert [h["examples"] for h in store.versions("t")] == list(range(81))
    other.close()


def test_what_was_written_is_there_after_the_store_is_opened_again(store, tmp_path):
    store.add("t", [Example(row=np.arange(6, dtype=np.uint8).reshape(1, 2, 3), label="ä", picture=b"p", mime="m/n")])
    store.close()
    again = Store(tmp_path)
    rows, labels = again.support(again.task("t"))
    assert rows.dtype == np.uint8 and rows.tolist() == [[[[0, 1, 2], [3, 4, 5]]]] and labels == ["ä"]
    assert again.picture("t", 1) == (b"p", "m/n")
    again.close()


def test_what_is_refused_changes_nothing(store, tmp_path):
    store.add("t", [example("a"), example("b")])
    before = store.versions("t")
    for attempt, status, message in (
        (lambda: store.add("t", [example("a"), example("a", shape=(4,))]), 422, "shape"),
        (lambda: store.add("t", [Example(row=np.zeros(3, np.uint8), label="a")]), 422, "taught numbers"),
        (lambda: store.add("nix", [example()]), 404, "no task"),
        (lambda: store.relabel("t", 99, "a"), 404, "no example 99"),
        (lambda: store.relabel("t", 2**80, "a"), 404, "no example"),
        (lambda: store.remove("t", -1), 404, "no example"),
        (lambda: store.drop("t", "c"), 404, "it has a, b"),
        (lambda: undo(store, "t", 1), 409, "at version 1 already"),
        (lambda: undo(store, "t", 7), 404, "no version 7"),
        (lambda: store.add("t", [example()], expected=0), 412, "version 1 now, not 0"),
        (lambda: store.create("t", "plain", "features", None), 409, "already"),
        (lambda: store.picture("t", 1), 404, "no picture"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            attempt()
        assert as_http(refused.value).status == status
    assert store.versions("t") == before
    small = Store(tmp_path, Limits(classes=2, examples=4, kept=6, tasks=1))
    with pytest.raises(InputError, match="at most 2 classes"):
        small.add("t", [example("c")])
    with pytest.raises(InputError, match="at most 4 examples"):
        small.add("t", [example("a")] * 3)
    with pytest.raises(InputError, match="keeps 2 examples"):
        small.add("t", [example("a")] * 5)
    with pytest.raises(InputError, match="the most this server keeps"):
        small.create("u", "plain", "features", None)
    assert store.versions("t") == before
    small.close()


def test_a_task_that_is_deleted_takes_everything_along(store):
    store.add("t", [example("a")] * 10)
    old = store.task("t")
    store.delete("t")
    with pytest.raises(InputError, match="no task"):
        store.task("t")
    with store.database.reading() as c:
        for table in ("examples", "members", "versions"):
            assert c.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0
    assert store.create("t", "plain", "features", None).id != old.id


def test_a_full_disk_is_told_and_nothing_is_lost(store):
    store.add("t", [example("a")])
    with store.database.writing() as c:
        pages = c.execute("PRAGMA page_count").fetchone()[0]
        c.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"full.*nothing was changed") as refused:
        store.add(
            "t", [example("b", shape=(3,)), Example(row=np.zeros(3, np.float32), label="b", picture=b"x" * 10**6)]
        )
    assert as_http(refused.value).status == 503
    with store.database.writing() as c:
        c.execute("PRAGMA max_page_count = 1000000")
    assert content(store) == [(0.0, "a")] and store.add("t", [example("b", 1.0)]).version == 2


def test_a_damaged_store_is_told(tmp_path):
    store = Store(tmp_path)
    store.create("t", "plain", "features", None)
    store.add("t", [example("a", i) for i in range(2000)])
    store.close()
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = tmp_path / "store.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    broken = Store(tmp_path)
    with pytest.raises(StoreError, match=r"damaged|cannot be used"):
        broken.support(broken.task("t"))
    broken.close()
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match=r"cannot be opened.*not a database"):
        Store(tmp_path)


def test_other_peoples_files_and_newer_ones_are_refused(tmp_path):
    Store(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer" / "store.sqlite") as c:
        c.execute("PRAGMA user_version = 4")
    with pytest.raises(InputError, match="of version 4 and this release knows 3: update"):
        Store(tmp_path / "newer")
    (tmp_path / "foreign").mkdir()
    with sqlite3.connect(tmp_path / "foreign" / "store.sqlite") as c:
        c.execute("CREATE TABLE theirs (x)")
    with pytest.raises(InputError, match="another program's"):
        Store(tmp_path / "foreign")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path / "file")


def test_pages_of_examples(store):
    ids = store.add("t", [example("ab"[i % 2], i) for i in range(10)]).ids
    assert [row["id"] for row in store.examples("t", None, 4, 0)] == list(ids[:4])
    assert [row["id"] for row in store.examples("t", None, 4, ids[3])] == list(ids[4:8])
    assert [row["id"] for row in store.examples("t", "b", 100, ids[5])] == [ids[7], ids[9]]


def test_to_count_tasks_takes_as_long_for_many_as_for_one(store):
    """Counted in instructions of SQLite."""
    counts, steps = [], []
    for total in (1, 200):
        with store.database.writing() as c:
            for i in range(store.count(), total):
                values = (f"t{i}", "plain", "features", "now", 0)
                c.execute("INSERT INTO tasks (name, source, kind, created, version) VALUES (?, ?, ?, ?, ?)", values)
        with store.database.reading(wait=False) as c:
            c.set_progress_handler(lambda: steps.append(1) or 0, 1)
        steps.clear()
        assert store.count() == total == len(store.tasks())
        counts.append(len(steps))
        with store.database.reading(wait=False) as c:
            c.set_progress_handler(None, 0)
    assert counts[0] == counts[1] > 0
    store.delete("t5")
    assert store.count() == 199
