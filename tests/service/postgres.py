"""A real PostgreSQL on a socket in a temporary folder, for tests."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Server:
    """One that is started, stopped and killed; its databases are made from one with empty tables.

    Args:
        folder: For its files and its socket.
        programs: Folder of `initdb` and `pg_ctl`.
    """

    def __init__(self, folder: Path, programs: Path):
        self.folder, self._programs = folder, programs
        # Which does not run as root.
        self._user = None if os.getuid() else next(user for user in ("postgres", "nobody") if _is_user(user))
        if self._user is not None:
            shutil.chown(folder, self._user)
        folder.chmod(0o755)
        self._made, self._free = 0, list[str]()
        self._run("initdb", "-A", "trust", "-U", "store", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Have it run."""
        # What is committed outlives the server, not the power: tests need no more, and take a tenth of the time.
        options = f"-c listen_addresses= -k {self.folder} -c max_connections=60 -c fsync=off -c shared_buffers=32MB"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it; "immediate": as a crash would."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def address(self, database: str, user: str = "store", password: str = "") -> str:
        """Of a database."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def new(self) -> str:
        """The address of a new store, whose tables are there."""
        from innerloop.service.store.database import opened

        if not self._made:
            self.sql("CREATE DATABASE model")
            opened(self.address("model")).close()
        self._made += 1
        self.sql(f"CREATE DATABASE store{self._made} TEMPLATE model")
        return self.address(f"store{self._made}")

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """The address of an empty store, which is emptied afterwards for the next one: faster than to make another."""
        from innerloop.service.store.schema import TABLES

        address = self._free.pop() if self._free else self.new()
        yield address
        tables = ", ".join(f"innerloop.{table}" for table in (*TABLES, "rates"))
        emptied = f"TRUNCATE {tables} RESTART IDENTITY; UPDATE innerloop.totals SET tasks = 0, unscrubbed = 0"
        self.sql(f"SET lock_timeout = '5s'; {emptied}", address.partition("@/")[2].partition("?")[0])
        self._free.append(address)

    def sql(self, statement: str, database: str = "postgres") -> list:
        """What the server answers to its owner."""
        import psycopg

        with contextlib.closing(psycopg.connect(self.address(database), autocommit=True)) as c:
            cursor = c.execute(statement)  # pyright: ignore[reportCallIssue, reportArgumentType]
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *words: str) -> None:
        as_user = [] if self._user is None else ["runuser", "-u", self._user, "--"]
        command = [*as_user, str(self._programs / program), "-D", str(self.folder / "data"), *words]
        # Files: a server that lives on would hold a pipe open.
        with (self.folder / "said").open("w") as said:
            ended = subprocess.run(command, cwd="/", stdout=said, stderr=said, timeout=60)
        assert ended.returncode == 0, (self.folder / "said").read_text()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that runs, where one is installed; without, the test is skipped."""
    pytest.importorskip("psycopg_pool", reason="needs innerloop[postgres]")
    programs = next((place for place in _PLACES if (place / "initdb").is_file()), None)
    if programs is None:
        found = shutil.which("initdb")
        if found is None:
            pytest.skip("no PostgreSQL server on this machine (Debian: apt install postgresql)")
        programs = Path(found).resolve().parent
    # Not below a folder of pytest, which is its owner's alone; in memory, where that is a folder.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        server = Server(folder, programs)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # a test may have stopped it
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_user(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False
