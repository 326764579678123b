"""API keys of a store: 256 random bits each, of which only a hash is kept."""

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from innerloop.core.errors import InputError
from innerloop.service import task_names
from innerloop.service.store import audit, quotas
from innerloop.service.store.audit import What
from innerloop.service.store.database import Database, Row, check_there, opened
from innerloop.service.store.quotas import Quota

Scope = Literal["read", "write"]
"""read: look and predict. write: everything."""
_PREFIX = "il_"
_LONGEST = 64


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is known of a key: never the key itself."""

    id: int
    name: str
    scope: Scope
    created: str
    revoked: str | None = None
    tasks: tuple[str, ...] | None = None
    """Names of the tasks and taggers that it is for; None: all."""
    quota: Quota = field(default_factory=Quota)
    """What it may use."""


class Keys:
    """The keys of a store."""

    def __init__(self, database: Database):
        self._database = database

    def add(
        self, scope: Scope, name: str = "", tasks: Sequence[str] = (), quota: Quota | None = None
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            scope: What it may do.
            name: What it is for.
            tasks: Names of the tasks and taggers that it reaches, also of ones that are to be made; none: all.
            quota: What it may use; None: as much as the server allows.

        Returns:
            What is kept of it, and the key, which cannot be shown again.

        Raises:
            InputError: No such scope, or a name that is none.
        """
        if scope not in ("read", "write"):
            raise InputError(f"there is no scope '{scope}': take read or write")
        if len(name) > _LONGEST or not name.isprintable():
            raise InputError(f"a key's name has at most {_LONGEST} printable characters")
        quota = quotas.checked(quota or Quota())
        # None for all: an empty list would be a key for no task.
        limited = tuple(dict.fromkeys(map(task_names.checked, tasks))) or None
        token, now = _PREFIX + secrets.token_urlsafe(32), datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.writing() as c:
            columns = "name, scope, hash, created, tasks, requests, examples, bytes"
            query = f"INSERT INTO keys ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            # As JSON: a name may hold a comma.
            values = (name, scope, _hash(token), now, None if limited is None else json.dumps(limited), *quota)
            id = c.execute(query, values).lastrowid
            audit.write(c, What("add", "key", (str(id),)))
        assert id is not None
        return Key(id=id, name=name, scope=scope, created=now, tasks=limited, quota=quota), token

    def all(self) -> list[Key]:
        """All keys, oldest first, those that were revoked among them."""
        with self._database.reading() as c:
            rows = c.execute("SELECT * FROM keys ORDER BY id").fetchall()
        return [_read(row) for row in rows]

    def revoke(self, id: int) -> None:
        """Refuse a key from the next request on.

        Raises:
            InputError: There is none, or it was revoked before.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.writing() as c:
            # The time when it was first revoked stays.
            done = c.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, id)).rowcount
            if done:
                audit.write(c, What("revoke", "key", (str(id),)))
        if not done:
            raise _none(id)

    def limit(self, id: int, limits: Mapping[str, int | None]) -> Key:
        """Change what a key may use: from the next request on, and for changes that wait for the store.

        What it stores stays, also where that is more than it may store now.

        Args:
            id: Its number.
            limits: Those that change, by the names of `Quota`; None: there is none any more.

        Returns:
            What is kept of it then.

        Raises:
            InputError: There is no such key in use, no such limit, or one that lets nothing through.
        """
        if not limits or not limits.keys() <= set(Quota._fields):
            raise InputError(
                f"say which limits of key {id} change, and to what: requests (--requests-a-day), examples "
                "(--most-examples), bytes (--most-megabytes)"
            )
        quotas.checked(Quota(**limits))
        with self._database.writing() as c:
            row = c.execute("SELECT * FROM keys WHERE id = ? AND revoked IS NULL", (id,)).fetchone()
            if row is None:
                raise _none(id)
            for name, value in limits.items():
                c.execute(f"UPDATE keys SET {name} = ? WHERE id = ?", (value, id))
                audit.write(c, What(f"limit {name}", "key", (str(id),)), row[name], value)
            return _read(c.execute("SELECT * FROM keys WHERE id = ?", (id,)).fetchone())

    def used(self, key: int) -> quotas.Used:
        """What a key uses; requests are counted where it has a limit of them."""
        with self._database.reading() as c:
            return quotas.used(c, key)

    def spend(self, key: Key) -> None:
        """Count a request of a key that may make so many a day, with a `quotas.SpentError` where these are made."""
        if key.quota.requests is not None:
            quotas.spend(self._database, key.id, key.quota.requests)

    def find(self, token: str) -> Key | None:
        """The key that a client showed, if it is one and in use."""
        digest = _hash(token)
        query = "SELECT * FROM keys WHERE hash = ? AND revoked IS NULL"
        # From the store each time: what another process revokes is refused by all workers at once.
        with self._database.reading() as c:
            row = c.execute(query, (digest,)).fetchone()
        # The index compares byte by byte, and its time could tell where a guess goes wrong.
        if row is None or not hmac.compare_digest(row["hash"], digest):
            return None
        return _read(row)


def add(
    folder: str | Path, scope: Scope, name: str = "", tasks: Sequence[str] = (), quota: Quota | None = None
) -> tuple[Key, str]:
    """Make a key of the store in a folder; see `Keys.add`."""
    with _opened(folder) as keys:
        return keys.add(scope, name, tasks, quota)


def used(folder: str | Path) -> list[tuple[Key, quotas.Used]]:
    """The keys of the store in a folder, and what each uses.

    Raises:
        InputError: There is no store.
    """
    check_there(folder)
    with _opened(folder) as keys:
        return [(key, keys.used(key.id)) for key in keys.all()]


def revoke(folder: str | Path, id: int | None) -> None:
    """Revoke a key of the store in a folder; see `Keys.revoke`."""
    if id is None:
        raise InputError("say which key is to be revoked: `innerloop serve keys revoke ID`, as `list` shows it")
    check_there(folder)
    with _opened(folder) as keys:
        keys.revoke(id)


def limit(folder: str | Path, id: int | None, limits: Mapping[str, int | None]) -> tuple[Key, quotas.Used]:
    """Change what a key of the store in a folder may use; see `Keys.limit`. Returns it, and what it uses."""
    if id is None:
        raise InputError("say which key is to be limited: `innerloop serve keys limit ID`, as `list` shows it")
    check_there(folder)
    with _opened(folder) as keys:
        return keys.limit(id, limits), keys.used(id)


@contextlib.contextmanager
def _opened(folder: str | Path) -> Iterator[Keys]:
    database = opened(folder)
    try:
        yield Keys(database)
    finally:
        database.close()


def _none(id: int) -> InputError:
    return InputError(f"there is no key {id} in use: see `innerloop serve keys list`")


def _read(row: Row) -> Key:
    values = dict(row)
    del values["hash"]
    tasks = values.pop("tasks")
    quota = Quota(*(values.pop(name) for name in Quota._fields))
    return Key(**values, quota=quota, tasks=None if tasks is None else tuple(json.loads(tasks)))


def _hash(token: str) -> bytes:
    # The token is 256 random bits: there is nothing to guess, so a slow hash would only cost time.
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
