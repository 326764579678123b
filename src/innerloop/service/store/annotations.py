"""What was learned of annotations of Label Studio: each once, and nothing from the past, on whichever host."""

import contextlib
import hashlib
import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from innerloop.core.errors import InputError
from innerloop.service.store.database import Connection, Database
from innerloop.service.store.files import ANNOTATIONS

if TYPE_CHECKING:
    from innerloop.service.store.store import Store

_LOG = logging.getLogger("innerloop.service")
_PUT = (
    "INSERT INTO annotations (of, project, annotation, example, label, time) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
    "(of, project, annotation) DO UPDATE SET example = excluded.example, label = excluded.label, time = excluded.time "
    "WHERE excluded.time > annotations.time"
)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What is known of an annotation."""

    example: int | None
    """Its example here; None: there is none, or no more."""
    label: bytes
    """Hash of what it says."""
    time: str
    """When it last changed there, in UTC; `GONE` where it was deleted, so that nothing comes later."""


GONE = "~"


def said(label: str) -> bytes:
    """A hash of what an annotation says: no text that people wrote is kept here."""
    return hashlib.sha256(label.encode()).digest()


def find(store: "Store", of: str, project: int, annotation: int) -> Learned | None:
    """What is known of one.

    Args:
        store: Where it is kept.
        of: The task or tagger, by an id that is never given twice.
        project: In Label Studio.
        annotation: Likewise.
    """
    query = "SELECT example, label, time FROM annotations WHERE of = ? AND project = ? AND annotation = ?"
    with store.database.reading() as c:
        row = c.execute(query, (of, project, annotation)).fetchone()
    return None if row is None else Learned(example=row[0], label=row[1], time=row[2])


def put(store: "Store", of: str, project: int, annotation: int, learned: Learned) -> None:
    """Keep what is known of one; what is known of a later moment stays."""
    values = (of, project, annotation, learned.example, learned.label, learned.time)
    store.database.change(lambda c: c.execute(_PUT, values))


def forget(c: Connection, of: str) -> None:
    """Let all of a task or a tagger go, which is there no more, on a connection in a transaction."""
    c.execute("DELETE FROM annotations WHERE of = ?", (of,))


def take_in(database: Database) -> None:
    """Take what a release before kept in a file beside the store, once; the file goes.

    Args:
        database: The store, with the tables of today.

    Raises:
        InputError: The file cannot be read.
        StoreError: The store cannot be written now; the file stays.
    """
    path = database.beside / ANNOTATIONS
    if not path.is_file():
        return
    query = "SELECT of, project, annotation, example, label, time FROM annotations"
    try:
        with contextlib.closing(sqlite3.connect(path)) as old:
            there = old.execute("SELECT 1 FROM sqlite_master WHERE name = 'annotations'").fetchone()
            rows = old.execute(query).fetchall() if there else []
    except sqlite3.Error as error:
        raise InputError(
            f"{path}, which says what was learned of annotations of Label Studio, cannot be read ({error}): restore it "
            "from a backup, or move it away, after which annotations from before may be learned once more"
        ) from error
    # Another worker may have taken them just now: the same rows once more change nothing.
    database.change(lambda c: c.executemany(_PUT, rows))
    path.unlink(missing_ok=True)
    _LOG.info("%d annotations of Label Studio were taken from %s into the store; the file is gone", len(rows), path)
