"""Taggers of a store: each is its `.fewshot` file, which holds its sentences and all its versions."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from innerloop.core.errors import InputError
from innerloop.service.store import annotations, audit, quotas
from innerloop.service.store.database import Connection, Row
from innerloop.service.store.errors import ConflictError, MissingError, StaleError
from innerloop.service.store.records import Change
from innerloop.service.store.store import Store

_COLUMNS = "id, name, created, version, hash, about"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A tagger at its newest version, without its file."""

    id: int
    """Never given twice."""
    name: str
    created: str
    version: int
    hash: str
    """Hash of its file."""
    about: dict[str, Any]
    """What its file says of itself, in plain JSON."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A tagger as it is to be kept."""

    file: bytes
    version: int
    about: dict[str, Any]


def create(store: Store, name: str, content: Content) -> Change:
    """Keep a new tagger.

    Raises:
        ConflictError: The name is taken, or there are too many taggers.
        InputError: Its file is too large.
    """

    def work(c: Connection) -> Change:
        if c.execute("SELECT 1 FROM taggers WHERE name = ?", (name,)).fetchone():
            raise ConflictError(f"there is a tagger '{name}' already: choose another name, or delete that one")
        if c.execute("SELECT count(*) FROM taggers").fetchone()[0] >= store.limits.tasks:
            raise ConflictError(f"there are {store.limits.tasks} taggers, the most this server keeps: delete one")
        values = (name, datetime.now(UTC).isoformat(timespec="seconds"), *kept)
        query = "INSERT INTO taggers (name, created, version, hash, about, content, owner) VALUES (?, ?, ?, ?, ?, ?, ?)"
        c.execute(query, (*values, quotas.owner()))
        quotas.check(c)
        return Change(version=content.version)  # answers are kept a day: no type may stay in them

    kept = _columns(store, content)  # before the store is held
    return store.once(audit.tagger("create", name), work)


def replace(store: Store, before: Kept, content: Content) -> Change:
    """Keep what a tagger has become.

    Args:
        store: Where it is.
        before: What it was when the change was made.
        content: What it is since.

    Raises:
        StaleError: It has become something else in the meantime.
        InputError: Its file is too large.
    """

    def work(c: Connection) -> Change:
        query = "UPDATE taggers SET version = ?, hash = ?, about = ?, content = ? WHERE id = ? AND hash = ?"
        if not c.execute(query, (*kept, before.id, before.hash)).rowcount:
            raise StaleError(f"tagger '{before.name}' was changed or deleted meanwhile: look at it again")
        if (owner := quotas.owner()) is not None:  # who taught it last
            c.execute("UPDATE taggers SET owner = ? WHERE id = ?", (owner, before.id))
            quotas.check(c)
        return Change(version=content.version)  # answers are kept a day: no type may stay in them

    kept = _columns(store, content)
    return store.once(audit.tagger("change", before.name), work)


def delete(store: Store, name: str) -> Change:
    """Forget a tagger with all its versions; returns its last one.

    Raises:
        MissingError: There is none.
    """
    return store.once(audit.tagger("delete", name), lambda c: Change(version=removed(c, name).version))


def removed(c: Connection, name: str) -> Kept:
    """A tagger that is there no longer.

    Raises:
        MissingError: There was none.
    """
    kept = _read(c, name)
    c.execute("DELETE FROM taggers WHERE id = ?", (kept.id,))
    annotations.forget(c, f"tagger {kept.id}")
    return kept


def listed(store: Store) -> list[Kept]:
    """All taggers by name."""
    with store.database.reading() as c:
        return [_kept(row) for row in c.execute(f"SELECT {_COLUMNS} FROM taggers ORDER BY name")]


def find(store: Store, name: str) -> Kept:
    """A tagger.

    Raises:
        MissingError: There is none.
    """
    with store.database.reading() as c:
        return _read(c, name)


def file(store: Store, kept: Kept) -> bytes:
    """The file of a tagger as it was when it was looked at.

    Raises:
        StaleError: It has changed since, or is gone.
    """
    with store.database.reading() as c:
        row = c.execute("SELECT content FROM taggers WHERE id = ? AND hash = ?", (kept.id, kept.hash)).fetchone()
    if row is None:
        raise StaleError(f"tagger '{kept.name}' was changed or deleted meanwhile: look at it again")
    return row["content"]


def _read(c: Connection, name: str) -> Kept:
    row = c.execute(f"SELECT {_COLUMNS} FROM taggers WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise MissingError(f"there is no tagger '{name}'")
    return _kept(row)


def _kept(row: Row) -> Kept:
    values = dict(row)
    return Kept(**(values | {"about": json.loads(values["about"])}))


def _columns(store: Store, content: Content) -> tuple[int, str, str, bytes]:
    """Version, hash, `about` and content."""
    most = store.limits.body_mb
    if len(content.file) > most * 1e6:  # so that what is downloaded can be imported again
        raise InputError(
            f"the tagger would take {len(content.file) / 1e6:.0f} MB, and {most:g} are most: teach it fewer sentences"
        )
    return content.version, hashlib.sha256(content.file).hexdigest(), json.dumps(content.about), content.file
