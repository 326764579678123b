"""A store in PostgreSQL as a whole: looked for, brought up to date, and written to one file by `pg_dump`."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from innerloop.core.errors import FailedError, InputError
from innerloop.core.files import writing
from innerloop.service.store import postgres_tables
from innerloop.service.store.address import Address
from innerloop.service.store.dialect import SPACE
from innerloop.service.store.postgres import LOCK
from innerloop.service.store.schema import Migration


def migrate(where: str, dry: bool) -> tuple[int, tuple[Migration, ...]]:
    """What `upkeep.migrate` does, in PostgreSQL."""
    with _opened(where) as (raw, address):
        raw.execute("BEGIN")
        raw.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        version = _version(raw, address)
        done = postgres_tables.migrate(raw)
        raw.execute("ROLLBACK" if dry else "COMMIT")
        return version, done


def dump(where: str, out: Path) -> tuple[int, int, int]:
    """Write a store to a new file; returns its version, its tasks and the bytes of the file.

    Raises:
        InputError: There is no store, no `pg_dump`, or something is in the way.
        FailedError: `pg_dump` failed; nothing is left of the file.
    """
    if os.path.lexists(out):
        raise InputError(f"{out} is there already: give a new file, so that no backup is written over")
    if shutil.which("pg_dump") is None:
        raise InputError(
            "a backup of a store in PostgreSQL needs pg_dump: install its client (Debian: postgresql-client)"
        )
    with _opened(where) as (raw, address):
        version = _version(raw, address)
        tasks = raw.execute("SELECT tasks FROM totals").fetchone()[0]
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name[:50]}.")
        os.close(handle)
    try:
        from psycopg.conninfo import make_conninfo

        parts = address.parts
        secret = {"PGPASSWORD": str(parts.pop("password"))} if "password" in parts else {}
        # Not in the command, which all users of the machine see.
        command = ["pg_dump", "--format=custom", f"--schema={SPACE}", "--no-owner", f"--file={made}"]
        command.append("--no-unlogged-table-data")  # who asked just now
        command.append(f"--dbname={make_conninfo(**parts)}")
        ended = subprocess.run(command, env={**os.environ, **secret}, capture_output=True, text=True)
        if ended.returncode:
            raise FailedError(f"pg_dump failed ({address.plain(Exception(ended.stderr))}): nothing was written")
        with writing(out):
            with open(made, "rb+") as file:
                os.fsync(file.fileno())
            os.rename(made, out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
    return version, tasks, out.stat().st_size


def check_there(where: str) -> None:
    """Refuse a database without a store: one whose name was mistyped shall not get its tables.

    Raises:
        InputError: There is none.
        FailedError: It cannot be looked for.
    """
    with _opened(where) as (raw, address):
        _version(raw, address)


def _version(raw: Any, address: Address) -> int:
    version = postgres_tables.version_of(raw, address.name)
    if not version:
        raise InputError(f"there is no store in {address.name}: serve it once, or give another address")
    return version


@contextlib.contextmanager
def _opened(where: str) -> Iterator[tuple[Any, Address]]:
    address = Address(where)
    import psycopg

    try:
        with contextlib.closing(psycopg.connect(**postgres_tables.options(address.parts))) as raw:
            postgres_tables.enter(raw)
            yield raw, address
    except psycopg.Error as error:
        raise FailedError(
            f"the store {address.name} cannot be used now ({address.plain(error)}): nothing was changed"
        ) from None
