"""A process that dies between any two changes of the storage: the next one opens the study and ends every trial.

Dying is an exception that nobody catches. It takes back what was not committed and lets go of the locks, as the system
does for a process that was killed, and takes a hundredth of the time.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from innerloop.studies import claims
from innerloop.studies.claims import GRACE, OUTCOME, Board
from innerloop.studies.storage import FILE, open_storage, open_study

pytest.importorskip("optuna")
event = pytest.importorskip("sqlalchemy").event
Engine = pytest.importorskip("sqlalchemy.engine").Engine


class Death(BaseException):
    """The process is gone."""


@contextmanager
def dying(at: int) -> Iterator[list[str]]:
    """Die before the change of this number; gives what was to be changed up to there."""
    changes: list[str] = []
    used: set[sqlite3.Connection] = set()
    reads = ("SELECT", "PRAGMA", "BEGIN")

    def change(what: str) -> None:
        changes.append(what)
        if len(changes) >= at:  # what it would still do on its way out is not done, either
            raise Death

    def executes(connection: Any, cursor: sqlite3.Cursor, statement: str, *_: Any) -> None:
        used.add(cursor.connection)
        if " INDEX " in statement:  # which lasts by itself outside of a transaction, behind its table
            change(statement)
        elif not statement.startswith(reads):
            connection.info["changed"] = statement

    def commits(connection: Any) -> None:
        if (statement := connection.info.pop("changed", None)) is not None:
            change(f"commit of {statement}")

    events = {"before_cursor_execute": executes, "commit": commits}
    for name, listener in events.items():
        event.listen(Engine, name, listener)
    try:
        yield changes
    finally:
        for name, listener in events.items():
            event.remove(Engine, name, listener)
        for one in used:
            one.close()


def board(folder: Path, trials: int = 10**6) -> Board:
    url = f"sqlite:///{folder / FILE}"
    storage = open_storage(url)
    study = open_study(storage, url, "s", "minimize", {"of": "this"})
    return Board(study, storage, trials, folder, {"x": 0.5})


def test_whoever_dies_while_a_study_is_made_leaves_one_that_can_be_made(tmp_path):
    at, whole = 0, False
    while not whole:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with dying(at) as changes, suppress(Death):
            board(folder)
            whole = True
        for _ in range(2):
            board(folder)
        with closing(sqlite3.connect(folder / FILE)) as file:
            assert file.execute("SELECT study_name FROM studies").fetchall() == [("s",)], changes
    assert at > 5


def work(one: Board) -> None:
    """A trial, as `attempt` has it, without a training."""
    claim = one.take()
    assert claim is not None
    with one.held(claim):
        x = claim.trial.suggest_float("x", 0, 1)
        claim.trial.set_user_attr("scores 1", [x])
        claim.trial.report(x, 1)
        outcome = {"state": "COMPLETE", "value": x, "values": {"x": x}}
        (claim.folder / OUTCOME).write_text(json.dumps(outcome))
        assert one.store(claim.trial._trial_id, outcome)


class Later(datetime):
    """A clock by which everything was begun long ago."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(seconds=2 * GRACE)


def test_whoever_dies_while_a_trial_is_worked_on_leaves_it_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "datetime", Later)
    other, at, whole = board(tmp_path), 0, False
    while not whole:
        at, one = at + 1, board(tmp_path)
        with dying(at) as changes, suppress(Death):
            work(one)
            whole = True
        work(other)
        slots = other.slots()
        ended = [slot for slot, attempts in slots.items() for t in attempts if t.state.name == "COMPLETE"]
        assert ended == list(slots), changes
        assert all(t.state.is_finished() for attempts in slots.values() for t in attempts), changes
    assert at > 10
