"""What a store says of a task and of a change: plain values, and how a task is read off its row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from innerloop.fewshot.calibrate import Wanted
from innerloop.fewshot.reading import Reading
from innerloop.fewshot.settings import Names
from innerloop.service.store import annotations
from innerloop.service.store.database import Connection, Row
from innerloop.service.store.errors import MissingError

State = tuple[int, int, Wanted]
"""A task by its id, its version, and what is asked of its "none of these"."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task at its newest version."""

    id: int
    """Never given twice, so that a task made anew under an old name is another one."""
    name: str
    source: str
    kind: str
    reject: float | None
    created: str
    version: int
    dtype: str | None
    """Type of its rows; None: it has seen no example."""
    shape: tuple[int, ...] | None
    reading: Reading
    """What its first examples decided."""
    file: str | None
    """Hash of the `.fewshot` file that holds its learner; None: its source is one of the server's."""
    head: str | None = None
    """What is fitted to the rows of a frozen encoder, as it was asked for; None: its centroids, or no encoder."""
    names: Names | None = None
    """Whether names of classes are learned from, as it was asked for; None: they are not."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """What classes are, by their names."""
    pin: str | None = None
    """Hash of the files of its encoder; None: the name of its source says which they are."""
    coverage: float | None = None
    """Share of examples of the classes that are to be answered, where it was asked for in place of `reject`."""
    drift: str | None = None
    """What is known of its drift, as `fewshot.drift` has it in JSON; None: nothing was noted yet."""
    budget: int | None = None
    """Examples of a class that are learned from at most; None: all of them."""

    @property
    def wanted(self) -> Wanted:
        """What was asked of "none of these"."""
        return Wanted(self.reject, self.coverage)

    @property
    def state(self) -> State:
        """What its answers follow from."""
        return self.id, self.version, self.wanted


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How a new task learns from names of classes."""

    asked: Names
    descriptions: Mapping[str, str]
    """What classes are, by their names."""
    classes: Sequence[str]
    """Those that it knows from the start."""
    shape: tuple[int, ...] | None
    """Shape of a row."""


# Arrays that are compared give an array, not a truth.
@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """What is taught."""

    row: np.ndarray
    """As the learner takes it, uint8 or float32."""
    label: str
    text: str | None = None
    picture: bytes | None = None
    """A thumbnail."""
    mime: str | None = None
    """Type of the thumbnail."""

    @property
    def size(self) -> int:
        """Bytes that it takes in a store."""
        text = 0 if self.text is None else len(self.text.encode("utf-8", "surrogatepass"))
        return self.row.nbytes + text + len(self.picture or b"")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change came to."""

    version: int
    ids: tuple[int, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    """How many examples of each class there are since."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A message that was answered."""

    conversation: str
    """The name of the conversation."""
    said: dict[str, Any]
    """The message and what was said to it, in plain JSON."""


class Done(NamedTuple):
    """What a change did."""

    action: str
    ids: tuple[int, ...] = ()
    back: tuple[int | None, tuple[int, ...]] | None = None
    """`undo` and the last of `redo`, as of `fewshot.history.Version`; None: it is undone by the one before."""
    same: int | None = None
    """The first version that holds what this one holds; None: it is this one."""
    declared: tuple[str, ...] | None = None
    """Classes that are known by their names; None: as before."""


def read_task(c: Connection, name: str) -> Task:
    """A task, on a connection.

    Raises:
        MissingError: There is none.
    """
    row = c.execute("SELECT * FROM tasks WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise MissingError(f"there is no task '{name}'")
    return read_row(row)


def delete_task(c: Connection, name: str) -> Task:
    """Forget a task with all its examples and versions, on a connection in a transaction; returns what it was.

    Raises:
        MissingError: There is none.
    """
    task = read_task(c, name)
    c.execute("DELETE FROM tasks WHERE id = ?", (task.id,))
    annotations.forget(c, f"task {task.id}")
    # Several tasks may have come as one file: it goes with the last of them.
    c.execute("DELETE FROM files WHERE hash NOT IN (SELECT file FROM tasks WHERE file IS NOT NULL)")
    return task


def read_row(row: Row) -> Task:
    """A task of its row."""
    values = dict(row)
    del values["owner"]
    shape, reading, descriptions = (values.pop(key) for key in ("shape", "reading", "descriptions"))
    # By name, as a migration puts new columns at the end.
    return Task(
        shape=None if shape is None else tuple(json.loads(shape)),
        reading=Reading.from_json(None if reading is None else json.loads(reading)),
        descriptions={} if descriptions is None else json.loads(descriptions),
        **values,
    )
