"""Trackers as watchers: each in a process of its own, told now and then that a run folder has more.

A tracker may take half a minute to start, wait for a network, print, install handlers of signals, or die. None of that
may touch a training: what it does costs the training one line through a pipe at every checkpoint.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from innerloop.core import files
from innerloop.core.complaints import complain
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.engine.config import TrainConfig
from innerloop.engine.watchers import Watcher
from innerloop.track.base import Tracker
from innerloop.track.folder import PICTURES, TRACKING
from innerloop.track.mlflow import MLflow
from innerloop.track.tensorboard import TensorBoard
from innerloop.track.wandb import WandB

Name = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
"""By what `--track` calls them."""
_PATIENCE, _TELL = 120.0, 3.0
"""Seconds that the end of a command waits for a tracker, and from which it is told."""
_PAUSE = 0.5
"""Seconds between two lines to a tracker's process."""


class Tracking(Watcher):
    """Sends a run to a tracker; needs a run folder.

    Args:
        tracker: Its class, made without arguments in a process of its own. One of yours must be importable there.
        name: What messages, and its files in the run folder, call it.
        patience: Seconds to wait at the end until all is sent. What is not sent by then goes on in the background.
    """

    def __init__(self, tracker: type[Tracker], name: str | None = None, patience: float = _PATIENCE):
        self.name = name or next((k for k, v in TRACKERS.items() if v is tracker), tracker.__name__)
        self._path = f"{tracker.__module__}:{tracker.__qualname__}"
        self._patience = patience
        self._run: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._sent = 0.0

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        if run is None:
            raise InputError(f"{self.name} follows what a run folder holds: give the training one (out=)")
        (run / TRACKING / PICTURES).mkdir(parents=True, exist_ok=True)
        self._run = run

    def step(self, number: int, metrics: dict[str, float]) -> None:
        # Not before the first step: until then plans are timed, which a second process would disturb.
        if self._child is None and self._run is not None:
            self._child = self._spawn(self._run, str(number - 1))

    def saved(self, number: int) -> None:
        if time.monotonic() - self._sent > _PAUSE:
            self._send({"saved": number})

    def ended(self, reason: str) -> None:
        self._finish(reason)

    def catch_up(self, run: Path) -> None:
        """Send what a run folder has and the tracker has not: steps, results of tests, pictures."""
        self._child = self._spawn(run, "")
        self._finish(None)

    def _spawn(self, run: Path, step: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "innerloop.track.follow", str(run), self._path, self.name, step]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | own,
            start_new_session=True,  # Ctrl-C is for the training, which then says how it ended
        )
        assert child.stdin is not None
        os.set_blocking(child.stdin.fileno(), False)
        return child

    def _send(self, message: dict[str, Any]) -> bool:
        """Whether a line went into the pipe, or nobody reads it any more, which was told by whoever did."""
        self._sent = time.monotonic()
        try:
            if self._child is not None and self._child.stdin is not None:
                os.write(self._child.stdin.fileno(), json.dumps(message).encode() + b"\n")
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _finish(self, reason: str | None) -> None:
        """Say that there will be no more, and wait."""
        deadline = time.monotonic() + self._patience
        while not self._send({"ended": reason}) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
        told = False
        while child.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                print(f"innerloop: {self.name} is still sending, and goes on in the background", file=sys.stderr)
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(min(_TELL, left))
                return
            if not told:
                told = True
                print(f"innerloop: waiting for {self.name}, which has not sent everything yet", file=sys.stderr)


def trackers(names: Sequence[str]) -> list[Tracking]:
    """A watcher for each of these trackers.

    Raises:
        InputError: One is not known, is named twice, or its package is not installed; the message names the extra.
    """
    found = []
    for i, name in enumerate(names):
        if name not in TRACKERS:
            raise InputError(f"there is no tracker '{name}'; there are {', '.join(TRACKERS)}")
        if name in names[:i]:
            raise InputError(f"{name} is named twice: once will do")
        require(TRACKERS[name].package, f"--track {name}", TRACKERS[name].extra)
        found.append(Tracking(TRACKERS[name]))
    return found


def send_test(run: str | Path, found: Sequence[Tracking]) -> None:
    """Send trackers what a run folder has besides what they have."""
    for one in found:
        one.catch_up(Path(run))


def for_test(run: str | Path, names: Sequence[str]) -> list[Tracking]:
    """Trackers that a test is sent to, and a place for its pictures.

    Args:
        run: The run folder.
        names: Those asked for; none: those that the run was sent to before; "none": nobody.

    Raises:
        InputError: As of `trackers`; of one that nobody asked for it is told instead.
    """
    run = Path(run)
    if "none" in names:
        if len(names) > 1:
            raise InputError(f"none is none, and {', '.join(n for n in names if n != 'none')} cannot stand beside it")
        return []
    found = list(trackers(names))
    for name in () if names else tracked_by(run):
        try:
            found += trackers([name])
        except InputError as error:
            complain(f"this test is not sent on: {error}")
    if found and files.is_folder(run):
        with files.writing(run):
            (run / TRACKING / PICTURES).mkdir(parents=True, exist_ok=True)
    return found


def tracked_by(run: Path) -> list[str]:
    """The trackers that a run folder was sent to."""
    return [name for name in TRACKERS if files.is_file(run / TRACKING / f"{name}.json")]
