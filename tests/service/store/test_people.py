"""People whose ratings are kept: a store that did not know any, and one that is to forget them."""

import sqlite3
from dataclasses import replace

import pytest

from innerloop.core.errors import InputError
from innerloop.service.limits import Limits
from innerloop.service.store import people, sqlite_tables
from innerloop.service.store.errors import ConflictError, MissingError, StaleError
from innerloop.service.store.store import Store
from tests.service.served import SINCE_12
from tests.service.store.test_store import content, example


def test_a_store_without_people_keeps_what_it_has_and_gets_them(tmp_path, monkeypatch):
    old = Store(tmp_path)
    old.create("t", "plain", "features", None)
    old.add("t", [example("a"), example("b", 1.0)])
    old.close()
    with sqlite3.connect(tmp_path / "store.sqlite") as c:
        for statement in ("DROP TABLE people", *SINCE_12):
            c.execute(statement)
        c.execute("PRAGMA user_version = 11")
    c.close()
    store = Store(tmp_path)
    assert content(store) == [(0.0, "a"), (1.0, "b")] and people.counts(store) == {}
    people.create(store, "films", "ada", {"i1": 4.5})
    assert people.find(store, "films", "ada").ratings == {"i1": 4.5}
    store.close()
    monkeypatch.setattr(sqlite_tables, "SCHEMA", 12)  # a server of the release before
    with pytest.raises(InputError, match="of version 13 and this release knows 12: update"):
        Store(tmp_path)


def test_forgetting_forever_leaves_no_rating_in_any_file(tmp_path):
    store = Store(tmp_path)
    secrets = {f"secret-{i:04}": float(i % 5) for i in range(2_000)}
    people.create(store, "films", "wilhelmine", secrets)
    people.create(store, "films", "bo", {"i1": 1.0})
    people.rate(store, "films", "wilhelmine", {**dict.fromkeys(list(secrets)[:1_500]), "taken-back": 3.0})
    people.rate(store, "films", "wilhelmine", {"taken-back": None})

    def left() -> bool:
        contents = [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()]
        return any(word in text for text in contents for word in (b"secret-", b"taken-back", b"wilhelmine"))

    people.forget(store, "films", "wilhelmine", forever=True)
    assert left()
    store.database.scrub()
    assert not left() and people.find(store, "films", "bo").ratings == {"i1": 1.0}
    store.close()


def test_versions_limits_and_names_hold(place):
    store = Store(place, replace(Limits(), kept=2, examples=3))
    people.create(store, "films", "ada", {"i1": 4.0})
    people.create(store, "books", "ada", {"i1": 1.0})
    with pytest.raises(ConflictError, match="called 'ada' already"):
        people.create(store, "films", "ada", {})
    with pytest.raises(ConflictError, match="there are 2 people"):
        people.create(store, "films", "bo", {})
    assert people.rate(store, "films", "ada", {"i2": 2.0}, seen=1).version == 2
    with pytest.raises(StaleError, match="at version 2 now, not 1"):
        people.rate(store, "films", "ada", {"i2": 3.0}, seen=1)
    with pytest.raises(InputError, match="at most 3 items, these would be 4"):
        people.rate(store, "films", "ada", {"i3": 3.0, "i4": 3.0})
    assert people.find(store, "films", "ada").ratings == {"i1": 4.0, "i2": 2.0}
    people.forget(store, "films", "ada")
    with pytest.raises(MissingError, match="knows nobody called 'ada'"):
        people.forget(store, "films", "ada")
    assert people.counts(store) == {"books": 1}
    store.close()
