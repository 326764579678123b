"""The process of one tracker: it sends what a run folder holds, and what is written there, until the training is over.

The folder is the queue: nothing waits in the memory of the training, a slow tracker is behind by some lines of a file,
and one that was killed goes on where it was. Lines reach `metrics.jsonl` at checkpoints, so that no step is sent twice.
"""

import importlib
import json
import os
import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.errors import InnerloopError
from innerloop.track import folder
from innerloop.track.base import Place, State, Tracker
from innerloop.track.told import quiet, tell

LOST = "the process of the training is gone"
"""The reason of a training that could not say one."""
SLOW = 0.05
"""Seconds a step from which it is told that a tracker is slow."""
_PART = 200
"""Steps that are sent at once."""
_LONGEST = 600.0
"""Seconds after the end in which all must be sent."""


class Follower:
    """One tracker of one run.

    Args:
        run: The run folder.
        tracker: Of a class that can be made without arguments.
        name: What messages, and its files, call it.
    """

    def __init__(self, run: Path, tracker: Tracker, name: str):
        self.run, self.tracker, self.name = run, tracker, name
        self.folder = run / folder.TRACKING
        self._file = self.folder / f"{name}.json"
        self._offset, self._slow = 0, False
        content = folder.read_json(self._file)
        self.sent = content["step"] if type(content.get("step")) is int else 0
        """Meta-steps that were sent."""
        self._done = _texts(content.get("files"))
        self._state = _texts(content.get("state"))

    def open(self, step: int | None) -> None:
        """Begin, or go on.

        Args:
            step: That the training begins at; 0: another one than was tracked here before. None: it is not training.
        """
        if step == 0:
            self.sent, self._done, self._state = 0, {}, {}
        self._state.setdefault("id", secrets.token_hex(4))
        self._keep()  # before anything is sent: whoever is killed now goes on under this id
        place = Place(self.run, self.folder, self.run.resolve().name)
        self.tracker.open(place, folder.settings(self.run), self._state, self.sent)
        self._keep()

    def steps(self) -> None:
        """Send the steps that were written since."""
        points, self._offset = folder.read_points(self.run / "metrics.jsonl", self._offset, self.sent)
        for first in range(0, len(points), _PART):
            part, begun = points[first : first + _PART], time.monotonic()
            self.tracker.points(part)
            took = (time.monotonic() - begun) / len(part)
            self.sent = part[-1].step
            self._keep()
            if took > SLOW and not self._slow:
                self._slow = True
                tell(f"{self.name} takes {1000 * took:.0f} ms a step and falls behind; training does not wait for it")

    def tests(self) -> None:
        """Send results and pictures that were not sent as they are now."""
        for name, mark, path in folder.tests(self.run):
            tested = folder.tested(path) if self._done.get(name) != mark else None
            if tested is not None:
                self.tracker.final(tested.values, self.sent)
                if tested.curve is not None:
                    self.tracker.curve(tested.curve.name, tested.curve.points)
                self._done[name] = mark
                self._keep()
        for name, mark, path in folder.pictures(self.run):
            if self._done.get(name) != mark:
                self.tracker.picture(folder.clean(path.stem), path, self.sent)
                self._done[name] = mark
                self._keep()

    def close(self, reason: str | None) -> None:
        """All is sent, whatever was the end."""
        self.steps()
        self.tests()
        self.tracker.close(reason)
        self._keep()

    def _keep(self) -> None:
        content = {"step": self.sent, "state": self._state, "files": self._done}
        files.write(self._file, json.dumps(content, indent=1) + "\n")


def follow(follower: Follower, step: int | None) -> None:
    """Send whenever standard input says that there is more, until it says that the training is over, or ends."""
    follower.open(step)
    reason: str | None = LOST
    for line in sys.stdin:
        message = json.loads(line)
        if "ended" in message:
            reason = message["ended"]
            break
        follower.steps()
    # A tracker that waits for something that never comes must not live for ever.
    watchdog = threading.Timer(_LONGEST, lambda: os._exit(1))
    watchdog.daemon = True
    watchdog.start()
    follower.close(reason)


def main(argv: list[str]) -> int:
    """The process: run folder, `module:class` of the tracker, its name, the step of the training or nothing.

    Returns:
        1 if it failed, which was told.
    """
    run, path, name, step = Path(argv[0]), argv[1], argv[2], argv[3] if len(argv) > 3 else ""
    place = run / folder.TRACKING
    follower = None
    try:
        quiet(place / f"{name}.log")
        if hasattr(os, "nice"):
            os.nice(5)  # a training needs its cores
        module, _, attribute = path.partition(":")
        with files.locked(place / f"{name}.log", _LONGEST):  # another one may still be sending
            follower = Follower(run, getattr(importlib.import_module(module), attribute)(), name)
            follow(follower, int(step) if step else None)
    except Exception as error:  # whatever a tracker does: it is one of many ways to look at a run
        sent = 0 if follower is None else follower.sent
        text = str(error).strip().partition("\n")[0]
        text = text if isinstance(error, InnerloopError) else f"{type(error).__name__}: {text}"
        tell(f"{name} failed after step {sent} ({text}) and is left out from now on; the run is not touched by it")
        return 1
    return 0


def _texts(value: Any) -> State:
    return {str(k): v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads and exit hooks of a tracker may wait for what never comes
