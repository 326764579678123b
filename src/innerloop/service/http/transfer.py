"""Tasks as `.fewshot` files: taken in with all their versions, and given out."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from innerloop.core.errors import InputError
from innerloop.fewshot import file
from innerloop.fewshot.budget import thinned
from innerloop.fewshot.drift import Drift
from innerloop.fewshot.history import History, Label
from innerloop.fewshot.sources import Source
from innerloop.fewshot.task import Task as Taught
from innerloop.fewshot.task import adapted
from innerloop.service import task_names
from innerloop.service.http import thumbnails
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.offers import Sources, read_file
from innerloop.service.http.payload import label
from innerloop.service.limits import Limits
from innerloop.service.store import transfer
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store

_LONGEST = 200


def take(store: Store, sources: Sources, name: str, content: bytes) -> Task:
    """A task from a file that a client sent.

    Raises:
        HTTPError: It names an encoder that this server does not offer.
        InputError: It cannot be read, is too large, or its name is taken.
    """
    taught = read_file(content, "the file", sources.encoder)
    return _insert(store, sources, name, taught, content)


def serve(store: Store, sources: Sources, path: str, allow: tuple[str, ...]) -> Task:
    """A task from a file of this machine, named as the file; one that was taken in before is what it has become since.

    Raises:
        InputError: It cannot be read, is too large, or there is another task of its name.
    """
    place = Path(path).expanduser()
    taught = file.read(place, allow)
    name = task_names.of_file(place.name)
    return _insert(store, sources, name, taught, place.read_bytes())


def give(store: Store, name: str, source: Source) -> bytes:
    """A task as a file, with all its versions.

    Raises:
        InputError: It has nothing to tell apart yet.
    """
    task, rows, history = transfer.recorded(store, name)
    try:
        if task.budget is not None:
            rows, history = thinned(rows, history, task.budget)
        taught = adapted(source, rows, history, task.wanted)
        taught = replace(taught, drift=Drift.from_json(task.drift), budget=task.budget)
    except InputError as error:
        raise HTTPError(409, f"task '{name}' cannot be learned: {error}") from error
    return _content(taught)


def _content(taught: Taught) -> bytes:
    # Through a folder: the writer of files writes atomically beside its goal, and knows no other way.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.fewshot"
        file.write(path, taught)
        return path.read_bytes()


def bare(store: Store, sources: Sources, digest: str) -> bytes:
    """What can stand for the file that a task came as: its learner as it is, adapted to numbers of no meaning.

    Raises:
        InputError: It cannot be read any more.
    """
    taught = read_file(transfer.file_of(store, digest), "the file of this task", sources.encoder)
    shape, dtype = taught.rows.shape[1:], taught.rows.dtype
    rows = torch.stack([torch.full(shape, value, dtype=dtype) for value in (0, 1, 3, 2)])
    # Whether names are learned from is kept with the task, not here.
    source = replace(taught.source, names=taught.source.names and "off")
    empty = adapted(source, rows, History.begin([("a", 0, 2), ("b", 2, 2)]), None)
    return _content(empty)


def _insert(store: Store, sources: Sources, name: str, taught: Taught, content: bytes) -> Task:
    source = taught.source
    if taught.weights is not None:
        raise InputError(
            "the file's examples have weights, and a service counts each as one: teach it without sample_weight, or "
            "answer from the file itself (`innerloop predict`, `innerloop export`)"
        )
    if any(v.let_go or v.taught for v in taught.history.versions):
        raise InputError(
            "the file's task has let examples go, as its budget asks, and a service draws from all that were taught: "
            "teach it those that it has, or answer from the file itself (`innerloop predict`, `innerloop export`)"
        )
    # A stranger wrote it, and it is shown on the page and in logs.
    if not source.name.isprintable() or not 1 <= len(source.name) <= _LONGEST:
        raise InputError(f"the file names a source of {len(source.name):,} characters, or of none that can be shown")
    task = transfer.insert(store, name, taught, content, _labels(taught, store.limits), _pictures(taught))
    assert task.file is not None
    sources.keep(task.file, source)
    return task


def _pictures(taught: Taught) -> list[bytes | None]:
    """Small copies of pictures, of which a file keeps only the rows; they look as the files did."""
    source, rows = taught.source, taught.rows
    if source.preprocessing is None or rows.dtype != torch.uint8 or rows.ndim != 4:
        return [None] * len(rows)
    dark = "dark" in (source.preprocessing.get("ink"), source.reading.ink)
    return [thumbnails.of_row(255 - row if dark else row) for row in rows]


def _labels(taught: Taught, limits: Limits) -> dict[Label, str]:
    known: dict[Label, str] = {}
    for entry in taught.history.versions:
        for original in (*(one[0] for one in entry.added), *(entry.declared or ())):
            if original not in known:
                known[original] = label(str(original), limits, f"class '{str(original)[:50]}'")
    if len(set(known.values())) < len(known):
        raise InputError("two classes of the file are called the same here, where labels are texts: rename one")
    return known
