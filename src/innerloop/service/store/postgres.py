"""A store in PostgreSQL, which any number of hosts share: a schema of its own, one transaction a change."""

import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from innerloop.core.errors import InputError
from innerloop.service.stages import stage
from innerloop.service.store import postgres_tables
from innerloop.service.store.address import Address
from innerloop.service.store.database import Connection
from innerloop.service.store.dialect import SPACE
from innerloop.service.store.errors import BusyError, LostError, StoreError
from innerloop.service.store.schema import COUNTED
from innerloop.service.store.speaking import Speaking

T = TypeVar("T")
_LOG = logging.getLogger("innerloop.service")
_READ_SECONDS = 2.0
"""A read waits so long for a connection."""
_CONNECTIONS = 10
"""In one worker; one of them is for changes."""
_PAUSE = 0.05
"""Seconds before a change is begun anew."""
LOCK = 0x696C6F70
"""Advisory lock of whoever changes the store: "ilop"."""
_BUSY = "the store is busy: try again"
_STILL = "what was erased is shown to nobody, but its bytes are still in the store's tables: it is busy, try again"
_AGAIN = ("40001", "40P01")
"""Serialisation failures and deadlocks: nothing was changed, and the same may go through now."""
_WAITED = ("55P03", "57014", "53300")
_GONE = ("57P01", "57P02", "57P03")
_TABLES = ("42P01", "42703", "3F000")
"""Tables, columns or the schema that are not there any more."""


class _AgainError(BusyError):
    """Nothing was changed, and it may be begun anew at once."""


class Postgres:
    """A `database.Database` in PostgreSQL.

    Changes of all hosts go one after the other, by an advisory lock that lasts until the commit.

    Args:
        where: Its address.
        seconds: For one change, from waiting for its turn to the commit.

    Raises:
        InputError: It cannot be used.
    """

    instant, shared = False, True

    def __init__(self, where: str, seconds: float = 10.0):
        self._address = Address(where)
        self.name, self._seconds = self._address.name, seconds
        import psycopg

        self._psycopg = psycopg
        self._turn, self._opening = threading.Lock(), threading.Lock()
        self._lost: LostError | None = None
        self._pool: Any = None
        try:
            with self._connect() as raw:
                self.id = postgres_tables.prepare(raw, self.name, LOCK)
        except psycopg.Error as error:
            raise InputError(
                f"the store {self.name} cannot be opened ({self._address.plain(error)}): check that the server runs, "
                "the address, and that the user may connect and create"
            ) from None

    @property
    def beside(self) -> Path:
        """Folder on this machine for what goes with a store and is not in it, such as watches."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(state) / "innerloop" / uuid.UUID(self.id).hex

    @contextlib.contextmanager
    def reading(self, wait: bool = True) -> Iterator[Speaking]:
        """A connection for statements that change nothing; see `database.Database`. Nobody else makes it wait."""
        with stage("store read"), self._explained(), self._taken(_READ_SECONDS) as raw:
            yield Speaking(raw)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Speaking]:
        """The same, whose statements all see one state."""
        with self.reading() as c:
            c.raw.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = "
                f"{self._idle(self._seconds)}",
                prepare=False,
            )
            try:
                yield c
            finally:
                self._end(c.raw)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Speaking]:
        """A connection in a transaction; see `database.Database`."""
        with stage("store write"):
            yield from self._changing(time.monotonic() + self._seconds)

    @contextlib.contextmanager
    def noting(self, alone: bool = False) -> Iterator[Speaking]:
        """A connection in a transaction that waits for no turn; see `database.Database`."""
        if alone:
            # Committed by itself, in one message; where nothing is logged, no disk is waited for.
            with stage("store write"), self._explained(), self._taken(_READ_SECONDS) as raw:
                yield Speaking(raw)
            return
        self.check()
        milliseconds = int(1000 * _READ_SECONDS)
        with stage("store write"), self._explained(), self._taken(_READ_SECONDS) as raw:
            raw.execute(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = "
                f"{milliseconds}; SET LOCAL statement_timeout = {milliseconds}",
                prepare=False,
            )
            try:
                yield Speaking(raw)
                raw.execute("COMMIT")
            finally:
                self._end(raw)

    def change(self, work: Callable[[Connection], T]) -> T:
        """The result of a change in such a transaction, begun anew while there is time and nothing was changed."""
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                with stage("store write"), contextlib.contextmanager(self._changing)(deadline) as c:
                    return work(c)
            except _AgainError:
                if time.monotonic() + _PAUSE > deadline:
                    raise
                time.sleep(_PAUSE)

    def check(self) -> None:
        """Refuse to go on where its tables were found to be gone."""
        if self._lost is not None:
            raise self._lost

    def examine(self) -> None:
        """Have it looked at whether all tables are there; PostgreSQL looks at its pages itself."""
        self.check()
        with self._explained(), self._taken(self._seconds) as raw:
            missing = postgres_tables.missing(raw)
        if missing:
            self._lose(f"has no {' and no '.join(missing)} any more")
            self.check()

    def scrub(self) -> None:
        """Leave nothing in its tables of what was erased since this was last done; see `database.Database`.

        The server's log keeps it until its segments are used again, and so do backups.
        """
        deadline = time.monotonic() + self._seconds
        with self._explained(), self._taken(self._seconds) as raw:
            erased = raw.execute("SELECT unscrubbed FROM totals").fetchone()[0]
            if not erased:
                return
            # Rows that a transaction may still see are kept, and written anew as well.
            while raw.execute(postgres_tables.OLDER).fetchone()[0]:
                if time.monotonic() > deadline:
                    raise BusyError(_STILL)
                time.sleep(_PAUSE)
            try:
                raw.execute(f"SET lock_timeout = {self._left(deadline)}")
                raw.execute("SET statement_timeout = 0")
                raw.execute(f"VACUUM (FULL) {', '.join(postgres_tables.names(raw))}")
            except self._psycopg.errors.LockNotAvailable as error:
                raise BusyError(_STILL) from error
            finally:
                if not raw.closed:
                    raw.execute("RESET lock_timeout")
                    raw.execute(postgres_tables.PATIENCE)
            # Another host may have erased one more meanwhile, which these pages may still have had.
            raw.execute("UPDATE totals SET unscrubbed = 0 WHERE unscrubbed = %s", (erased,))

    def numbers(self, c: Connection) -> dict[str, int]:
        """The last number that each table has given to a row."""
        query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}_id_seq"
        return {table: c.execute(query.format(table)).fetchone()[0] for table in COUNTED}

    def set_numbers(self, c: Connection, numbers: Mapping[str, int]) -> None:
        """Have each table go on behind such a number."""
        for table, number in numbers.items():
            c.execute(f"SELECT setval('{table}_id_seq', ?, ?)", (max(1, number), number > 0))

    def listen(self, told: Callable[[int], None], ended: threading.Event) -> None:
        """Be told of changes, by LISTEN; see `database.Database`."""
        while not ended.is_set():
            with contextlib.suppress(self._psycopg.Error), self._connect() as raw:
                raw.execute(f"LISTEN {SPACE}")
                while not ended.is_set():
                    for notice in raw.notifies(timeout=1.0, stop_after=1):
                        with contextlib.suppress(ValueError):  # whoever may connect may tell anything
                            told(int(notice.payload))
            ended.wait(1.0)

    def close(self) -> None:
        """Close all connections; the next use opens others."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _changing(self, deadline: float) -> Iterator[Speaking]:
        self.check()
        # One connection of each worker waits for the others: those that read need theirs.
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise BusyError(_BUSY)
        try:
            with self._explained(), self._taken(max(0.0, deadline - time.monotonic())) as raw:
                yield from self._transaction(raw, deadline)
        finally:
            self._turn.release()

    def _transaction(self, raw: Any, deadline: float) -> Iterator[Speaking]:
        left, token = self._left(deadline), uuid.uuid4().hex
        try:
            # All in one message; what is read after the lock was had shows all that was committed before.
            raw.execute(
                f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {left}; SET LOCAL statement_timeout = "
                f"{left}; SET LOCAL idle_in_transaction_session_timeout = {self._idle(left / 1000)}; SELECT "
                f"pg_advisory_xact_lock({LOCK})",
                prepare=False,
            )
            yield Speaking(raw)
            if time.monotonic() > deadline:
                raise BusyError(_BUSY)
            try:
                raw.execute(postgres_tables.COMMIT.format(token=token), prepare=False)
            except self._psycopg.Error as error:
                if not self._gone(error, raw):
                    raise
                self._settle(token, deadline)
        finally:
            self._end(raw)

    def _settle(self, token: str, deadline: float) -> None:
        """Return where a change was committed whose answer was lost with the connection.

        Raises:
            BusyError: It was not.
            StoreError: Nobody knows.
        """
        while time.monotonic() < deadline:
            with contextlib.suppress(self._psycopg.Error), self._connect() as raw:
                raw.execute(f"SET lock_timeout = {self._left(deadline)}")
                # Whoever has the lock knows that nobody is committing any more.
                raw.execute(f"SELECT pg_advisory_lock({LOCK})")
                if raw.execute("SELECT count(*) FROM commits WHERE token = %s", (token,)).fetchone()[0]:
                    return
                raise _AgainError(_BUSY)
            time.sleep(_PAUSE)
        raise StoreError(
            f"the store {self.name} went away while a change was committed, so it may have been made or not: look at "
            "the task, or send the same again with its Idempotency-Key"
        )

    def _left(self, deadline: float) -> int:
        return max(1, int(1000 * (deadline - time.monotonic())))

    def _idle(self, seconds: float) -> int:
        """Milliseconds without a word: who has more time, such as for a copy, may also be silent for longer."""
        return int(1000 * max(postgres_tables.SILENCE, seconds))

    def _end(self, raw: Any) -> None:
        """Take back what is not committed; a connection that is gone takes it back itself."""
        with contextlib.suppress(self._psycopg.Error):
            if not raw.closed and raw.info.transaction_status != self._psycopg.pq.TransactionStatus.IDLE:
                raw.execute("ROLLBACK")

    def _connect(self) -> Any:
        raw = self._psycopg.connect(**postgres_tables.options(self._address.parts))
        postgres_tables.enter(raw)
        return raw

    @contextlib.contextmanager
    def _taken(self, seconds: float) -> Iterator[Any]:
        from psycopg_pool import PoolTimeout

        pool = self._opened()
        try:
            raw = pool.getconn(timeout=seconds)
        except PoolTimeout as error:
            raise _AgainError(f"the store {self.name} does not answer, or is busy: try again") from error
        try:
            yield raw
        finally:
            pool.putconn(raw)

    def _opened(self) -> Any:
        with self._opening:
            if self._pool is None:
                self._pool = postgres_tables.pool(self._address.parts, _CONNECTIONS)
            return self._pool

    def _gone(self, error: Any, raw: Any = None) -> bool:
        return (
            error.sqlstate in _GONE
            or (raw is not None and raw.closed)
            or (
                error.sqlstate is None
                and isinstance(error, self._psycopg.OperationalError | self._psycopg.InterfaceError)
            )
        )

    def _lose(self, what: str) -> None:
        self._lost = LostError(
            f"the store {self.name} {what}: nothing is changed any more; restore a backup and start the service again"
        )
        _LOG.error("%s", self._lost)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            state, says = error.sqlstate, self._address.plain(error)
            if state in _AGAIN:
                raise _AgainError(_BUSY) from error
            if state in _WAITED:
                raise BusyError(_BUSY) from error
            if self._gone(error):
                raise _AgainError(
                    f"the store {self.name} went away ({says}): nothing was changed; try again"
                ) from error
            if state in _TABLES:
                self._lose(f"lacks tables or columns that it had ({says})")
                assert self._lost is not None
                raise self._lost from error
            if isinstance(error, self._psycopg.DataError) and "NUL" in says:
                raise InputError("PostgreSQL keeps no text with the character NUL (U+0000): leave it out") from error
            raise StoreError(f"the store {self.name} refused ({says}): nothing was changed") from error
