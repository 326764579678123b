"""A watch that is kept in a file and opened for a moment: for each batch of events, or to see how it stands."""

import contextlib
import functools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from innerloop.apps.text.watch import curves
from innerloop.apps.text.watch.events import Unusable, parse
from innerloop.apps.text.watch.lines import LINES
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import HeldError, State, remove
from innerloop.apps.text.watch.summary import summary
from innerloop.apps.text.watch.tasks import Subject, record
from innerloop.apps.text.watch.watch import Watch
from innerloop.core.errors import FailedError, InputError

T = TypeVar("T")
HTTP = "http"
_ABOUT = "about"
_PAUSE = 0.02
"""Seconds between two looks whether somebody else is done."""
_ALERTS = 100


class ChangedError(InputError):
    """A watch is another one than it was a moment ago, or none any more."""


class Setup(NamedTuple):
    """What a watch was begun with."""

    settings: Settings
    about: dict[str, Any]
    """What else is known of it, plain JSON."""


class Answered(NamedTuple):
    """Labels of texts that were asked before."""

    subjects: Sequence[Subject]
    places: dict[str, Sequence[int]]
    """Places among the answers of every subject, of each text."""

    def __call__(self, texts: list[str]) -> np.ndarray:
        """[n, subjects] of texts."""
        return np.array([self.places[text] for text in texts])


def begin(path: Path, subjects: Sequence[Subject], settings: Settings, about: dict[str, Any], seconds: float) -> None:
    """Make the file of a watch, in place of the one that is there.

    Args:
        path: Where it is kept.
        subjects: What says what texts are about.
        settings: How they are watched.
        about: What else is kept of it, plain JSON.
        seconds: To wait for whoever has the old one.

    Raises:
        FailedError: Somebody has it for longer.
    """
    kept = record(subjects, HTTP, settings)
    with _opened(path, kept, seconds, begins=True) as state, state.change():
        state.put(_ABOUT, about | {"record": kept, "settings": settings.to_json()})


def end(path: Path, seconds: float) -> None:
    """Overwrite and delete the file of a watch, with what people wrote; where there is none, nothing.

    Raises:
        FailedError: Somebody has it for longer than these seconds.
    """
    if path.exists():
        _when_free(functools.partial(remove, path), path, seconds)


def setup(path: Path) -> Setup | None:
    """What a watch was begun with; None: there is none. Nobody is waited for."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as c:
            row = c.execute("SELECT value FROM meta WHERE key = ?", (_ABOUT,)).fetchone()
    except sqlite3.Error:  # it is just being begun, or ended
        return None
    if row is None:
        return None
    about = json.loads(row[0])
    settings = about["settings"] | {"charts": tuple(about["settings"]["charts"])}
    return Setup(settings=Settings(**settings), about=about)


def texts(lines: Sequence[bytes]) -> list[str]:
    """What the events of lines say, each once; of those that are none, nothing."""
    found: dict[str, None] = {}
    for line in lines:
        with contextlib.suppress(Unusable):
            found[parse(line).text] = None
    return list(found)


def take(
    path: Path, labels: Answered, settings: Settings, lines: Sequence[bytes], finish: bool, seconds: float
) -> dict[str, Any]:
    """Take lines; what came of them, in plain JSON.

    Args:
        path: Where the watch is kept.
        labels: Of all that they say.
        settings: As it was begun with.
        lines: JSON, one event each.
        finish: Whether all windows are closed then, as if nothing came any more.
        seconds: To wait for whoever has it.

    Raises:
        FailedError: Somebody has it for longer, or it cannot be written.
        ChangedError: It was ended, or begun anew, meanwhile.
    """
    told: list[str] = []
    with _opened(path, record(labels.subjects, HTTP, settings), seconds) as state:
        watch = Watch(labels, settings, state, told.append)
        before, number = watch.tally.copy(), max((one["number"] for one in state.alerts(1)), default=0)
        for first in range(0, len(lines), LINES):
            watch.take(lines[first : first + LINES])
        if finish:
            watch.finish()
        new = [alert for alert in state.alerts(_ALERTS) if alert["number"] > number]
        return {
            "came": dict(watch.tally - before),
            "alerts": new,
            "closed": watch.closed,
            "open": len(watch.windows),
            "notices": told,
        }


def stands(path: Path, subjects: Sequence[Subject], settings: Settings, seconds: float) -> dict[str, Any]:
    """How a watch stands, with curves of what is nearest to an alert, and the last alerts, in plain JSON.

    Args:
        path: Where the watch is kept.
        subjects: What says what texts are about.
        settings: As it was begun with.
        seconds: To wait for whoever has it.

    Raises:
        FailedError: Somebody has it for longer.
        ChangedError: It was ended, or begun anew, meanwhile.
    """
    with _opened(path, record(subjects, HTTP, settings), seconds) as state:
        watch = Watch(Answered(subjects, {}), settings, state)
        now, alerts, history = summary(watch, state), state.alerts(_ALERTS), state.history(curves.WINDOWS)
        lines = [
            {
                "labels": now.standings[i].series.labels,
                "usual": now.standings[i].usual.to_json()["value"],
                "points": [point._asdict() for point in curves.points(watch, history, now.standings[i], i)],
            }
            for i in curves.drawn(now.standings, alerts)
        ]
        return now.to_json() | {"curves": lines, "last_alerts": alerts[::-1]}


@contextlib.contextmanager
def _opened(path: Path, kept: dict[str, Any], seconds: float, begins: bool = False) -> Iterator[State]:
    def opened() -> State:
        try:
            return State(path, kept, begins)
        except HeldError:
            raise
        except InputError as error:
            if begins:
                raise
            raise ChangedError(
                "the watch was ended or begun anew meanwhile, or by another release: ask again, or begin it anew"
            ) from error

    state = _when_free(opened, path, seconds)
    try:
        yield state
    finally:
        state.close()


def _when_free(work: Callable[[], T], path: Path, seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except HeldError as error:
            if time.monotonic() >= deadline:
                raise FailedError(f"{path.name} is in use by others for {seconds:g} s: try again") from error
            time.sleep(_PAUSE)
