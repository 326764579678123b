"""The schema that a store has in PostgreSQL: made, brought up to date, refused where it is not ours."""

import contextlib
import logging
import re
import uuid
from typing import Any

from innerloop.core.errors import InputError
from innerloop.service.store import speaking
from innerloop.service.store.dialect import FUNCTIONS, SPACE, TOLD, tables
from innerloop.service.store.schema import SCHEMA, Migration, steps

OLDEST = 13
"""The oldest PostgreSQL that has all that is asked of it."""
PATIENCE = "SET statement_timeout = '30s'"
"""For what is read; a change has a time of its own."""
SILENCE = 60.0
"""Seconds."""
_SETTINGS = (
    PATIENCE,
    f"SET search_path = {SPACE}",
    # A server may be told to acknowledge before anything is on its disk.
    "SET synchronous_commit = on",
    "SET default_transaction_isolation = 'read committed'",
    # Whoever was killed in the middle of a change holds the others up no longer than this.
    f"SET idle_in_transaction_session_timeout = '{SILENCE:g}s'",
)
COMMIT = (
    "INSERT INTO commits (token) VALUES ('{token}'); DELETE FROM commits WHERE number < (SELECT max(number) FROM "
    "commits) - 100000; COMMIT"
)
"""Numbers of transactions are used again after a crash, so that only what they wrote says that they were committed.
So many are kept that other hosts cannot push one out in the seconds in which it is asked for."""
_RATES = (
    'CREATE UNLOGGED TABLE rates (client TEXT COLLATE "C" PRIMARY KEY, tokens DOUBLE PRECISION NOT NULL, time DOUBLE '
    "PRECISION NOT NULL, wait DOUBLE PRECISION NOT NULL) WITH (fillfactor = 50)"
)
"""No part of what a store holds, so that no version says whether it is there. Pages have room for rows that are written
anew all the time."""
OLDER = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND "
    "backend_xmin IS NOT NULL AND xact_start < now() - interval '20 milliseconds'"
)
"""Transactions of the database that may still see what was erased."""


def enter(raw: Any) -> None:
    """Have a new connection speak of the store's own tables."""
    from psycopg.types.string import StrDumper

    raw.row_factory = speaking.rows
    # As text, where PostgreSQL would otherwise guess what a function is meant.
    raw.adapters.register_dumper(str, StrDumper)
    raw.execute("; ".join(_SETTINGS), prepare=False)


def options(parts: dict[str, Any]) -> dict[str, Any]:
    """What psycopg is told, which does not wait for ever for a server that vanished."""
    usual = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
    return usual | parts | {"autocommit": True, "client_encoding": "UTF8"}


def pool(parts: dict[str, Any], most: int) -> Any:
    """Connections that are opened when they are needed, and looked at before they are used."""
    from psycopg_pool import ConnectionPool

    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # it is told to whoever needed a connection
    return ConnectionPool(
        kwargs=options(parts),
        min_size=1,
        max_size=most,
        configure=enter,
        check=ConnectionPool.check_connection,
        reconnect_timeout=1.0,
        max_idle=600.0,
        open=True,
    )


def prepare(raw: Any, name: str, lock: int) -> str:
    """Make or migrate the tables, over a connection that is in no transaction; returns the store's own id.

    Raises:
        InputError: The server or what is there cannot be used.
    """
    _check_server(raw, name)
    raw.execute("BEGIN")
    # Several hosts start at once, and one of them migrates.
    raw.execute(f"SELECT pg_advisory_xact_lock({lock})")
    version_of(raw, name)
    migrate(raw)
    id = raw.execute("SELECT id FROM about").fetchone()[0]
    raw.execute("COMMIT")
    return id


def version_of(raw: Any, name: str) -> int:
    """The version of a store; 0: there is none yet.

    Raises:
        InputError: It is no store, or one of a newer release.
    """
    there = names(raw)
    if "about" not in there and there:
        raise InputError(
            f"{name} has tables of another program in its schema '{SPACE}' ({', '.join(there[:3])}): give another "
            "database"
        )
    if not there:
        return 0
    version = raw.execute("SELECT version FROM about").fetchone()[0]
    if version > SCHEMA:
        raise InputError(f"the store {name} is of version {version} and this release knows {SCHEMA}: update innerloop")
    return version


def migrate(raw: Any) -> tuple[Migration, ...]:
    """Make a store one of today, on a connection in a transaction; returns what was done."""
    raw.execute("SET LOCAL statement_timeout = 0")
    new = not names(raw)
    if new:
        raw.execute(f"CREATE SCHEMA IF NOT EXISTS {SPACE}")
        raw.execute("CREATE TABLE about (version BIGINT NOT NULL, id TEXT NOT NULL)")
        raw.execute("INSERT INTO about VALUES (0, %s)", (str(uuid.uuid4()),))
        raw.execute(
            "CREATE TABLE commits (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token TEXT NOT NULL UNIQUE)"
        )
        for function in FUNCTIONS:
            raw.execute(function)
    done = steps(raw.execute("SELECT version FROM about").fetchone()[0])
    for step in done:
        for statement in tables(step.statements):
            raw.execute(statement)
    if new:
        raw.execute(TOLD)
    if "rates" not in names(raw):
        raw.execute(_RATES)
    if done:
        raw.execute("UPDATE about SET version = %s", (done[-1].to,))
    return done


def names(raw: Any) -> list[str]:
    """The tables of the schema."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename"
    return [row[0] for row in raw.execute(query, (SPACE,))]


def missing(raw: Any) -> list[str]:
    """Tables that a store of today has, and this one has not."""
    made = " ".join(statement for step in steps(0) for statement in step.statements)
    there = names(raw)
    return [table for table in re.findall(r"CREATE TABLE (\w+)", made) if table not in there]


def _check_server(raw: Any, name: str) -> None:
    version = raw.info.server_version
    if version < 10_000 * OLDEST:
        raise InputError(f"{name} is PostgreSQL {version / 10_000:.0f}, and {OLDEST} is needed: update the server")
    with contextlib.closing(raw.cursor()) as cursor:
        encoding = cursor.execute("SHOW server_encoding").fetchone()[0]
        closed = cursor.execute("SHOW transaction_read_only").fetchone()[0]
    if encoding != "UTF8":
        raise InputError(f"the database of {name} holds {encoding}, and names are of any script: give one of UTF8")
    if closed == "on":
        raise InputError(f"{name} may only be read, as a standby may: give the server that is written to")
