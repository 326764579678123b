import random
import shutil
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.service.http.errors import as_http
from innerloop.service.limits import Limits
from innerloop.service.store import schema, sqlite, sqlite_tables
from innerloop.service.store.errors import StoreError
from innerloop.service.store.keys import Keys
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from innerloop.service.store.transfer import recorded
from innerloop.service.store.undo import redo, undo

RELEASED = Path(__file__).parents[2] / "releases" / "0.1.0"


@pytest.fixture
def store(place):
    made = Store(place)
    made.create("t", "plain", "features", None)
    yield made
    made.close()


@pytest.fixture
def lite(tmp_path):
    """One of SQLite, whose instructions can be counted."""
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


def test_changes_of_many_threads_and_of_two_servers_come_one_after_the_other(store, place):
    other, ids = Store(place), []

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


def test_what_was_written_is_there_after_the_store_is_opened_again(store, place):
    store.add("t", [Example(row=np.arange(6, dtype=np.uint8).reshape(1, 2, 3), label="ä", picture=b"p", mime="m/n")])
    store.close()
    again = Store(place)
    rows, labels = again.support(again.task("t"))
    assert rows.dtype == np.uint8 and rows.tolist() == [[[[0, 1, 2], [3, 4, 5]]]] and labels == ["ä"]
    assert again.picture("t", 1) == (b"p", "m/n")
    again.close()


def test_what_is_refused_changes_nothing(store, place):
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
    small = Store(place, Limits(classes=2, examples=4, kept=6, tasks=1))
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


def test_a_full_disk_is_told_and_nothing_is_lost(lite):
    lite.add("t", [example("a")])
    with lite.database.writing() as c:
        pages = c.execute("PRAGMA page_count").fetchone()[0]
        c.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"full.*nothing was changed") as refused:
        lite.add("t", [example("b", shape=(3,)), Example(row=np.zeros(3, np.float32), label="b", picture=b"x" * 10**6)])
    assert as_http(refused.value).status == 503
    with lite.database.writing() as c:
        c.execute("PRAGMA max_page_count = 1000000")
    assert content(lite) == [(0.0, "a")] and lite.add("t", [example("b", 1.0)]).version == 2


def test_a_damaged_store_is_told(tmp_path):
    store = Store(tmp_path)
    store.create("t", "plain", "features", None)
    store.add("t", [example("a", i) for i in range(2000)])
    store.close()
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = tmp_path / "store.sqlite"
    whole = file.read_bytes()
    half = len(whole) // 2  # the tables themselves lie in the first one
    file.write_bytes(whole[:half] + b"\xff" * (len(whole) - half))
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
        c.execute("PRAGMA user_version = 14")
    with pytest.raises(InputError, match="of version 14 and this release knows 13: update"):
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


def test_to_count_tasks_takes_as_long_for_many_as_for_one(lite):
    """Counted in instructions of SQLite."""
    counts, steps = [], []
    for total in (1, 200):
        with lite.database.writing() as c:
            for i in range(lite.count(), total):
                values = (f"t{i}", "plain", "features", "now", 0)
                c.execute("INSERT INTO tasks (name, source, kind, created, version) VALUES (?, ?, ?, ?, ?)", values)
        with lite.database.reading(wait=False) as c:
            c.set_progress_handler(lambda: steps.append(1) or 0, 1)
        steps.clear()
        assert lite.count() == total == len(lite.tasks())
        counts.append(len(steps))
        with lite.database.reading(wait=False) as c:
            c.set_progress_handler(None, 0)
    assert counts[0] == counts[1] > 0
    lite.delete("t5")
    assert lite.count() == 199


@pytest.fixture
def work(monkeypatch):
    """Counts SQLite's instructions of one change."""
    count = 0

    def clock():
        nonlocal count
        count += 1
        return 0.0

    def of(change):
        nonlocal count
        count = 0
        with monkeypatch.context() as patched:
            patched.setattr(sqlite, "_STEPS", 1)
            patched.setattr(sqlite, "time", SimpleNamespace(monotonic=clock))
            change()
        return count

    return of


def many_versions(store, name, versions):
    """A task of three examples, changed again and again without growing."""
    store.create(name, "plain", "features", None)
    ids = store.add(name, [example("a"), example("a"), example("b")]).ids
    while store.task(name).version < versions:
        store.relabel(name, ids[0], "b")
        undo(store, name)
        store.relabel(name, ids[1], "b")
        store.relabel(name, ids[1], "a")
    return ids


@pytest.mark.parametrize(
    "change",
    [
        lambda store, name: undo(store, name),
        lambda store, name: [undo(store, name), undo(store, name), redo(store, name), redo(store, name)],
        lambda store, name: undo(store, name, store.task(name).version - 4),
        lambda store, name: [undo(store, name) for _ in range(6)],
    ],
    ids=["undo", "redo", "back", "often"],
)
def test_going_back_costs_as_much_in_a_task_of_many_versions(lite, work, change):
    few, many = 12, 160
    costs = []
    for versions in (few, many):
        many_versions(lite, f"v{versions}", versions)
        costs.append(work(lambda versions=versions: change(lite, f"v{versions}")))
    assert costs[0] > 20 and costs[1] < 1.5 * costs[0], costs


def test_each_of_many_steps_back_costs_as_much_as_the_first(lite, work):
    ids = lite.add("t", [example("a"), example("b")]).ids
    for i in range(100):
        lite.relabel("t", ids[0], "ab"[i % 2])
    costs = [work(lambda: undo(lite, "t")) for _ in range(90)]
    costs += [work(lambda: redo(lite, "t")) for _ in range(90)]
    assert max(costs[5:]) < 1.5 * costs[2], costs
    with lite.database.reading() as c:
        assert max(len(row[0]) for row in c.execute("SELECT redo FROM versions")) < 10


@pytest.mark.parametrize("many", [1, 10_000])
def test_steps_back_and_forth_are_those_of_a_task_in_memory(store, monkeypatch, many):
    """The rules of `fewshot.history`, and what a file of the task says of them; also where moves are too many."""
    monkeypatch.setattr("innerloop.service.store.undo._MANY", many)
    r = random.Random(1)
    ids = list(store.add("t", [example("a", i) for i in range(4)]).ids)
    model, at = {1: dict.fromkeys(ids, "a")}, 1
    undos: dict[int, int | None] = {1: None}
    redos: dict[int, tuple[int, ...]] = {1: ()}
    for _ in range(120):
        state, what = dict(model[at]), r.random()
        if what < 0.3 and (to := undos[at]) is not None:
            undo(store, "t")
            state, pointers = dict(model[to]), (undos[to], (*redos[at], at))
        elif what < 0.5 and redos[at]:
            redo(store, "t")
            state, pointers = dict(model[redos[at][-1]]), (at, redos[at][:-1])
        elif what < 0.6 and at > 1:
            to = r.randrange(1, at)
            undo(store, "t", to)
            state, pointers = dict(model[to]), (at, ())
        else:
            id, label = r.choice(sorted(state)) if state and what < 0.9 else None, r.choice("abc")
            if id is None:
                id = store.add("t", [example(label, at)]).ids[0]
                state[id] = label
            elif what < 0.8:
                store.relabel("t", id, label)
                state[id] = label
            else:
                store.remove("t", id)
                del state[id]
            pointers = at, ()
        at += 1
        model[at], (undos[at], redos[at]) = state, pointers
        listed = {row["id"]: row["label"] for row in store.examples("t", None, 1000, 0)}
        assert listed == state and store.task("t").version == at
    history = recorded(store, "t")[2]
    assert [entry.redo for entry in history.versions] == [redos[version] for version in sorted(redos)]
    assert [entry.undo for entry in history.versions] == [undos[version] for version in sorted(undos)]


def test_a_store_of_the_version_before_becomes_one_of_today(tmp_path):
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        c.executescript(schema._TABLES)
        c.execute(f"PRAGMA application_id = {sqlite_tables.OURS}")
        c.execute("PRAGMA user_version = 2")
        c.execute("INSERT INTO tasks VALUES (7, 't', 's', 'features', NULL, 'then', 0, NULL, NULL, NULL, NULL)")
        c.execute("INSERT INTO versions VALUES (7, 0, 'then', 'create', 0, 0, NULL, '[]')")
        c.execute("INSERT INTO keys VALUES (1, 'old', 'read', x'00', 'then', NULL)")
    c.close()
    store = Store(tmp_path)
    assert store.count() == 1 and store.task("t").id == 7
    store.add("t", [example("a")])
    store.add("t", [example("b")])
    undo(store, "t")
    assert content(store) == [(0.0, "a")] and store.versions("t")[-1]["action"] == "undo"
    assert [key.tasks for key in Keys(store.database).all()] == [None]
    store.close()
    Store(tmp_path).close()


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_migration_that_ends_half_way_leaves_the_store_as_it_was(tmp_path, monkeypatch, version):
    if version == 1:
        shutil.copy(RELEASED / "store.sqlite", tmp_path)
    elif version == 2:
        with sqlite3.connect(tmp_path / "store.sqlite") as c:
            c.executescript(schema._TABLES)
            c.execute(f"PRAGMA application_id = {sqlite_tables.OURS}")
            c.execute("PRAGMA user_version = 2")
        c.close()
    *most, last = schema.steps(version)
    half = (*most, last._replace(statements=("SELECT * FROM what_ends_it",)))
    monkeypatch.setattr(sqlite_tables, "steps", lambda version: half)
    with pytest.raises(InputError, match="what_ends_it"):
        Store(tmp_path)
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        assert c.execute("PRAGMA user_version").fetchone()[0] == version
        assert c.execute("SELECT count(*) FROM sqlite_master WHERE name = 'totals'").fetchone()[0] == 0
    c.close()
    monkeypatch.undo()
    store = Store(tmp_path)
    assert store.count() == len(store.tasks())
    store.close()
