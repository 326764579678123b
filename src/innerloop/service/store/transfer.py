"""A task with all its versions, out of a store and into one."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.encoders.base import content_of
from innerloop.fewshot.history import History, Label, Version, runs
from innerloop.fewshot.task import Task as Taught
from innerloop.service.store import audit, quotas
from innerloop.service.store.database import Connection
from innerloop.service.store.errors import MissingError
from innerloop.service.store.records import Task, read_task
from innerloop.service.store.store import Store

_MOST = 5_000_000
"""Examples of all versions of a file together, each counted in every version that has it."""


def recorded(store: Store, name: str) -> tuple[Task, Tensor, History]:
    """A task, [m, ...] every example it was ever taught, and which versions have which of them.

    Raises:
        MissingError: There is no such task, or it has not been taught anything.
    """
    # One state: a change between the queries would name examples that were not read.
    with store.database.snapshot() as c:
        task = read_task(c, name)
        if task.version == 0 or task.shape is None or task.dtype is None:
            raise MissingError(f"task '{name}' has no examples: teach it some")
        # In the order in which they were taught, by which a file numbers them.
        examples = c.execute("SELECT id, row FROM examples WHERE task = ? ORDER BY id", (task.id,)).fetchall()
        members = c.execute("SELECT example, label, since, until FROM members WHERE task = ?", (task.id,)).fetchall()
        columns = "version, time, action, undo, redo, declared"
        query = f"SELECT {columns} FROM versions WHERE task = ? AND version > 0 ORDER BY version"
        versions = c.execute(query, (task.id,)).fetchall()
    place = {row["id"]: i for i, row in enumerate(examples)}
    began: dict[int, list[tuple[Label, int]]] = {}
    ended: dict[int, list[int]] = {}
    first: dict[int, int] = {}
    for row in members:
        at = place[row["example"]]
        began.setdefault(row["since"], []).append((row["label"], at))
        first[at] = min(row["since"], first.get(at, row["since"]))
        if row["until"] is not None:
            ended.setdefault(row["until"], []).append(at)
    entries, undone = [], {}
    for row in versions:
        number = row["version"]
        # A row keeps the last of the versions that were undone, which has those before it.
        last = json.loads(row["redo"])[-1:]
        undone[number] = (*undone.get(last[0], ()), last[0]) if last else ()
        new = sorted(began.get(number, []))
        # A relabelled example ends under one class and begins under another: as a file has it, it left and came.
        gone = {*ended.get(number, []), *(at for _, at in new if first[at] < number)}
        entries.append(
            Version(
                version=number,
                time=row["time"],
                action=row["action"],
                base=number - 1 or None,
                added=runs(new),
                removed=tuple(sorted(gone)),
                undo=row["undo"],
                redo=undone[number],
                declared=None if row["declared"] is None else tuple(json.loads(row["declared"])),
            )
        )
    rows = np.frombuffer(b"".join(row["row"] for row in examples), np.dtype(task.dtype))
    return task, from_numpy(rows.reshape(len(examples), *task.shape)), History(tuple(entries))


def insert(
    store: Store,
    name: str,
    taught: Taught,
    content: bytes,
    labels: Mapping[Label, str],
    pictures: Sequence[bytes | None],
) -> Task:
    """A task of a `.fewshot` file, with all its versions; one that came from this very file before stays as it is.

    Args:
        store: Where it is kept.
        name: Of the task.
        taught: What the file holds.
        content: The file.
        labels: What each class is called here.
        pictures: [m] PNG of every example, to be looked at; None: it is no picture.

    Raises:
        ConflictError: There is another task of that name, or there are too many.
        InputError: It is larger than the store's limits allow.
    """
    versions, rows = taught.history.versions, taught.rows.numpy()
    # Before the turn is taken: a file that is too large keeps nobody waiting.
    _check(store, taught)
    digest = hashlib.sha256(content).hexdigest()

    def work(c: Connection) -> Task:
        known = c.execute("SELECT file FROM tasks WHERE name = ?", (name,)).fetchone()
        # A server that starts again with its file serves what the task has learned since.
        if known is not None and known["file"] == digest:
            return read_task(c, name)
        store.check_new(c, name)
        # Another task may have come as this file; where an example of it was erased, what stands for the file stays.
        c.execute("INSERT INTO files VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, content))
        start, source = versions[0].time, taught.source
        values = (name, source.name, source.kind, *taught.wanted, start, len(versions), rows.dtype.name)
        about = (json.dumps(rows.shape[1:]), json.dumps(source.reading.to_json()), digest, source.head)
        names = (source.names, json.dumps(dict(source.descriptions), ensure_ascii=False), content_of(source.encoder))
        query = (
            "INSERT INTO tasks (name, source, kind, reject, coverage, created, version, dtype, shape, reading, file, "
            "head, names, descriptions, pin, drift, budget, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "?, ?, ?, ?)"
        )
        owner = quotas.owner()
        id = c.execute(query, (*values, *about, *names, taught.drift.to_json(), taught.budget, owner)).lastrowid
        c.execute("INSERT INTO versions VALUES (?, 0, ?, 'create', 0, 0, NULL, '[]', NULL, NULL)", (id, start))
        columns = "task, row, picture, mime, added, owner, size"
        query = f"INSERT INTO examples ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        ids = []
        for row, picture in zip(rows, pictures, strict=True):
            mime = None if picture is None else "image/png"
            values = (id, row.tobytes(), picture, mime, start, owner, row.nbytes + len(picture or b""))
            ids.append(c.execute(query, values).lastrowid)
        _insert_versions(c, id, [i for i in ids if i is not None], taught.history, labels)
        quotas.check(c)
        audit.write(c, audit.task("import", name), None, len(versions))
        return read_task(c, name)

    return store.once(None, work)  # one that is there already is no change


def file_of(store: Store, digest: str) -> bytes:
    """The file that a task came as.

    Raises:
        MissingError: It is not here.
    """
    with store.database.reading() as c:
        row = c.execute("SELECT content FROM files WHERE hash = ?", (digest,)).fetchone()
    if row is None:
        raise MissingError("the file that this task came as is not in the store: import it again")
    return row["content"]


def _insert_versions(
    c: Connection, id: int | None, ids: list[int], history: History, labels: Mapping[Label, str]
) -> None:
    before: dict[int, Label] = {}
    known: frozenset[Label] = frozenset()
    open_since: dict[int, int] = {}
    spans = []
    for entry, members, named in zip(history.versions, history.each(), history.declared(), strict=True):
        now = {row: label for label, rows in members.items() for row in rows}
        for row in [row for row, label in before.items() if now.get(row) != label]:
            spans.append((id, ids[row], labels[before[row]], open_since.pop(row), entry.version))
        open_since |= {row: entry.version for row, label in now.items() if before.get(row) != label}
        before = now
        classes = [labels[label] for label in sorted(named)]
        declared, known = None if named == known else json.dumps(classes, ensure_ascii=False), named
        values = (id, entry.version, entry.time, entry.action, len(members), len(now), entry.undo)
        query = "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)"
        c.execute(query, (*values, json.dumps(entry.redo), declared))
    spans += [(id, ids[row], labels[label], open_since[row], None) for row, label in before.items()]
    c.executemany("INSERT INTO members VALUES (?, ?, ?, ?, ?)", spans)


def _check(store: Store, taught: Taught) -> None:
    limits, history = store.limits, taught.history
    present, size = history.examples(), math.prod(taught.rows.shape[1:])
    for count, most, what in (
        (len(present), limits.classes, "classes"),
        (sum(present.values()), limits.examples, "examples"),
        (len(taught.rows), limits.kept, "examples in all its versions"),
        (size, limits.features, "numbers in an example"),
    ):
        if count > most:
            raise InputError(f"the file has {count:,} {what}, and {most:,} is most")
    # A small file can have many versions of many examples, and each of them is walked through.
    total = 0
    for members in history.each():
        total += sum(map(len, members.values()))
        if total > _MOST:
            raise InputError(f"the file's versions have more than {_MOST:,} examples together: adapt anew")
