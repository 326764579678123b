"""The tables that a store has in a file of SQLite: brought up to date, refused where they are not ours."""

import sqlite3
from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.service.store.schema import SCHEMA, Migration, steps

OURS = 0x696C6F70
"""SQLite's application id of our files: "ilop"."""


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a store; 0: it is empty.

    Raises:
        InputError: It is no store, or one of a newer release.
    """
    known = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    # An empty file is what `make_private` has just made, here or in another worker.
    if tables and known != OURS:
        raise InputError(f"{path} is another program's database: give another folder")
    if version > SCHEMA:
        raise InputError(f"the store {path} is of version {version} and this release knows {SCHEMA}: update innerloop")
    return version


def migrate(connection: sqlite3.Connection) -> tuple[Migration, ...]:
    """Make a store one of today, on a connection in a transaction; returns what was done."""
    done = steps(connection.execute("PRAGMA user_version").fetchone()[0])
    for step in done:
        for statement in step.statements:
            connection.execute(statement)
    if done:
        # Committed with the tables: a process that is killed half way leaves the version that it met.
        connection.execute(f"PRAGMA application_id = {OURS}")
        connection.execute(f"PRAGMA user_version = {done[-1].to}")
    return done
