"""People of a store whom recommenders know: each is a name and the ratings that it gave."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from innerloop.core.errors import InputError
from innerloop.service.store.audit import What
from innerloop.service.store.database import Connection, Row, leave_bytes
from innerloop.service.store.errors import ConflictError, MissingError, StaleError
from innerloop.service.store.records import Change
from innerloop.service.store.store import Store

_COLUMNS = "id, recommender, name, created, version, ratings"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody at the newest version."""

    id: int
    """Never given twice."""
    recommender: str
    name: str
    created: str
    version: int
    ratings: dict[str, float]
    """By names of items, in the order in which they were first rated."""


def create(store: Store, recommender: str, name: str, ratings: Mapping[str, float]) -> Change:
    """Keep somebody new.

    Raises:
        ConflictError: The name is taken, or there are too many people.
        InputError: There are too many ratings.
    """

    def work(c: Connection) -> Change:
        if c.execute("SELECT 1 FROM people WHERE recommender = ? AND name = ?", (recommender, name)).fetchone():
            raise ConflictError(f"'{recommender}' knows somebody called '{name}' already: choose another name")
        if c.execute("SELECT count(*) FROM people").fetchone()[0] >= store.limits.kept:
            raise ConflictError(f"there are {store.limits.kept:,} people, the most this server keeps: forget one")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        query = "INSERT INTO people (recommender, name, created, version, ratings) VALUES (?, ?, ?, 1, ?)"
        c.execute(query, (recommender, name, now, _text(store, ratings)))
        return Change(version=1)

    return store.once(What("create", "person", (recommender, name)), work)


def rate(
    store: Store, recommender: str, name: str, ratings: Mapping[str, float | None], seen: int | None = None
) -> Change:
    """Add ratings, change them, or take them back.

    Args:
        store: Where somebody is.
        recommender: Whose.
        name: Who.
        ratings: By names of items; None: the rating is taken back, where there is one.
        seen: The version that the client saw; None: any.

    Raises:
        MissingError: There is nobody called so.
        StaleError: It has changed.
        InputError: There are too many ratings.
    """

    def work(c: Connection) -> Change:
        person = _read(c, recommender, name)
        if seen is not None and seen != person.version:
            raise StaleError(f"'{name}' is at version {person.version} now, not {seen}: look at the ratings again")
        after = {item: value for item, value in {**person.ratings, **ratings}.items() if value is not None}
        values = (person.version + 1, _text(store, after), person.id)
        c.execute("UPDATE people SET version = ?, ratings = ? WHERE id = ?", values)
        return Change(version=person.version + 1)

    return store.once(What("rate", "person", (recommender, name)), work)


def forget(store: Store, recommender: str, name: str, forever: bool = False) -> Change:
    """Forget somebody with all ratings; returns the last version.

    Args:
        store: Where somebody is.
        recommender: Whose.
        name: Who.
        forever: Whether `Database.scrub` is to overwrite what is left of the bytes.

    Raises:
        MissingError: There is nobody called so.
    """

    def work(c: Connection) -> Change:
        person = _read(c, recommender, name)
        c.execute("DELETE FROM people WHERE id = ?", (person.id,))
        if forever:
            leave_bytes(c)
        return Change(version=person.version)

    return store.once(What("forget", "person", (recommender, name)), work)


def find(store: Store, recommender: str, name: str) -> Person:
    """Somebody.

    Raises:
        MissingError: There is nobody called so.
    """
    with store.database.reading() as c:
        return _read(c, recommender, name)


def listed(store: Store, recommender: str, limit: int, after: int = 0) -> list[Person]:
    """A page of the people of a recommender, by id, those after one of them."""
    query = f"SELECT {_COLUMNS} FROM people WHERE recommender = ? AND id > ? ORDER BY id LIMIT ?"
    with store.database.reading() as c:
        return [_person(row) for row in c.execute(query, (recommender, min(after, 2**63 - 1), limit))]


def counts(store: Store) -> dict[str, int]:
    """How many people each recommender knows; those that know nobody are left out."""
    with store.database.reading() as c:
        return dict(c.execute("SELECT recommender, count(*) FROM people GROUP BY recommender").fetchall())


def _read(c: Connection, recommender: str, name: str) -> Person:
    query = f"SELECT {_COLUMNS} FROM people WHERE recommender = ? AND name = ?"
    row = c.execute(query, (recommender, name)).fetchone()
    if row is None:
        raise MissingError(f"'{recommender}' knows nobody called '{name}'")
    return _person(row)


def _person(row: Row) -> Person:
    values = dict(row)
    return Person(**(values | {"ratings": json.loads(values["ratings"])}))


def _text(store: Store, ratings: Mapping[str, float]) -> str:
    if len(ratings) > store.limits.examples:
        raise InputError(f"one may rate at most {store.limits.examples:,} items, these would be {len(ratings):,}")
    return json.dumps(ratings, ensure_ascii=False)
