"""What API keys use of a store, and where that ends: counted in the store, so that all hosts count the same."""

import math
from datetime import UTC, datetime
from typing import NamedTuple

from innerloop.core.errors import InputError
from innerloop.service.store.by import BY
from innerloop.service.store.database import Connection, Database

_SPEND = (
    "INSERT INTO requests (key, day, spent) VALUES (?, ?, 1) ON CONFLICT (key, day) DO UPDATE SET spent = "
    "requests.spent + 1 WHERE requests.spent < ?"
)
_STORED = (
    "SELECT count(*), coalesce(sum(size), 0) FROM examples WHERE owner = ?",
    "SELECT count(*), coalesce(sum(size), 0) FROM held WHERE client = CAST(? AS TEXT)",
    "SELECT 0, coalesce(sum(length(content)), 0) FROM files WHERE hash IN (SELECT file FROM tasks WHERE owner = ?)",
    "SELECT 0, coalesce(sum(length(content)), 0) FROM taggers WHERE owner = ?",
)


class SpentError(InputError):
    """A key made all requests that it may make today."""


class FullError(InputError):
    """A key would store more than it may; nothing was changed."""


class Quota(NamedTuple):
    """What an API key may use; None: as much as the server allows."""

    requests: int | None = None
    """A day, in UTC."""
    examples: int | None = None
    """Stored by it at the same time, in all versions and tasks."""
    bytes: int | None = None
    """What these take, and the files and taggers that it brought."""


class Used(NamedTuple):
    """What a key uses."""

    requests: int
    """Today, where they are counted."""
    examples: int
    bytes: int


def checked(quota: Quota) -> Quota:
    """A quota that lets something through, or an `InputError`."""
    for name, value in quota._asdict().items():
        if value is not None and not 0 < value < 2**63:
            raise InputError(f"a key with {value} {name} can do nothing: take more than 0, or leave the limit out")
    return quota


def bytes_of(megabytes: float) -> int:
    """Bytes of so many megabytes, or an `InputError` where these are no number."""
    if not math.isfinite(megabytes):
        raise InputError(f"{megabytes:g} megabytes are no limit: give a number, or leave the limit out")
    return math.floor(megabytes * 1e6)


def spend(database: Database, key: int, most: int) -> None:
    """Count a request of a key.

    Raises:
        SpentError: It made so many today.
        StoreError: It cannot be counted now.
    """
    with database.noting() as c:
        if c.execute(_SPEND, (key, _day(), most)).rowcount:
            return
    raise SpentError(
        f"this API key made {most:,} requests today, as many as it may (--requests-a-day): the next day begins at "
        "00:00 UTC; ask more at once (up to 256 examples in a request), or ask the owner for a key with more"
    )


def owner() -> int | None:
    """The key that what is stored now counts for; None: nobody's, and nothing is counted."""
    by = BY.get()
    return None if by is None else by.key


def check(c: Connection) -> None:
    """Refuse what was just stored, on a connection in its transaction, where it is more than its key may store.

    Raises:
        FullError: It is.
    """
    if (key := owner()) is None:
        return
    # As they are now: a limit that was changed while this request waited holds for it.
    limits = c.execute("SELECT examples, bytes FROM keys WHERE id = ?", (key,)).fetchone()
    if limits["examples"] is None and limits["bytes"] is None:
        return
    used = stored(c, key)
    for most, now, what in ((limits["examples"], used[0], "examples"), (limits["bytes"], used[1], "bytes")):
        if most is not None and now > most:
            raise FullError(
                f"this API key may store {most:,} {what} (--most-{'examples' if what == 'examples' else 'megabytes'}), "
                f"and with these it would be {now:,}: erase examples (?forever=1) or delete tasks that it taught, or "
                "ask the owner for a key with more"
            )


def used(c: Connection, key: int) -> Used:
    """What a key uses, on a connection."""
    row = c.execute("SELECT spent FROM requests WHERE key = ? AND day = ?", (key, _day())).fetchone()
    return Used(0 if row is None else row[0], *stored(c, key))


def stored(c: Connection, key: int) -> tuple[int, int]:
    """Examples that a key stores, and its bytes."""
    sums = [c.execute(query, (key,)).fetchone() for query in _STORED]
    return sum(int(row[0]) for row in sums), sum(int(row[1]) for row in sums)


def expire(database: Database) -> None:
    """Let the counts of days go that are over."""
    with database.writing() as c:
        c.execute("DELETE FROM requests WHERE day < ?", (_day(),))


def _day() -> str:
    return datetime.now(UTC).date().isoformat()
