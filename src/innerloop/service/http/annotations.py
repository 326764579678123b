"""What was learned of annotations of Label Studio, in a file beside the store: each once, and nothing from the past."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from innerloop.service.store.errors import StoreError
from innerloop.service.store.files import ANNOTATIONS, make_private

_TABLE = (
    "CREATE TABLE IF NOT EXISTS annotations (of TEXT, project INTEGER, annotation INTEGER, example INTEGER, "
    "label BLOB, time TEXT, PRIMARY KEY (of, project, annotation)) WITHOUT ROWID"
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


class Annotations:
    """Those of one store.

    Args:
        folder: Of the store.
        seconds: To wait for other workers.
    """

    def __init__(self, folder: Path, seconds: float):
        self._path, self._seconds = folder / ANNOTATIONS, seconds

    def find(self, of: str, project: int, annotation: int) -> Learned | None:
        """What is known of one.

        Args:
            of: The task or tagger, by an id that is never given twice.
            project: In Label Studio.
            annotation: Likewise.
        """
        if not self._path.is_file():
            return None
        query = "SELECT example, label, time FROM annotations WHERE of = ? AND project = ? AND annotation = ?"
        with self._open() as c:
            row = c.execute(query, (of, project, annotation)).fetchone()
        return None if row is None else Learned(example=row[0], label=row[1], time=row[2])

    def put(self, of: str, project: int, annotation: int, learned: Learned) -> None:
        """Keep what is known of one; what is known of a later moment stays."""
        query = (
            "INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET example = excluded.example, "
            "label = excluded.label, time = excluded.time WHERE excluded.time > time"
        )
        with self._open() as c:
            c.execute(query, (of, project, annotation, learned.example, learned.label, learned.time))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            make_private(self._path)
            with contextlib.closing(sqlite3.connect(self._path, timeout=self._seconds)) as c, c:
                c.execute("PRAGMA synchronous = FULL")
                c.execute(_TABLE)
                yield c
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"what was learned of annotations cannot be kept ({error}): try again") from error
