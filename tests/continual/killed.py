"""A process that follows a stream, killed at random moments and begun again: does it end with the same bits?

`python -m tests.continual.killed FOLDER 40 20` kills one 20 times that sees 40 tasks of 1,250 rows.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from innerloop.continual.progress import FILE, matrix_of
from innerloop.continual.run import StreamRun
from innerloop.tasks import datasets
from innerloop.tasks.domain_stream import DomainStream, Rotated
from innerloop.tasks.joined import joined
from tests.continual.streams import LEARNER

_ROWS = 1250


def follow(folder: str, tasks: int) -> None:
    """Follow so many tasks, or go on with it."""
    stream = DomainStream(pool=joined(datasets.load("digits")), change=Rotated(angles=tasks), rows=_ROWS)
    StreamRun(learner=LEARNER, params=LEARNER.init(0), stream=stream, checkpoint_every=97).learn(folder)


def files(folder: Path) -> dict[str, bytes]:
    """All that a run leaves behind, bit for bit."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def check(folder: Path, tasks: int, kills: int) -> None:
    """Compare a run that was killed with one that was not.

    Raises:
        AssertionError: A file differs, or the run ended before it was killed as often.
    """

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", __spec__.name, str(folder / name), str(tasks)])

    assert start("whole").wait() == 0
    draw, aim, most = random.Random(0), 0, tasks * _ROWS // 10 // (kills + 1)
    for kill in range(kills):
        process, aim = start("killed"), aim + draw.randrange(most // 2, most)
        while process.poll() is None and _seen(folder / "killed") < aim:
            time.sleep(0.02 * draw.random())
        assert process.poll() is None, f"it ended before it was killed for the {kill + 1}th time"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    assert files(folder / "killed") == files(folder / "whole")


def _seen(folder: Path) -> int:
    return matrix_of(folder)[1] if (folder / FILE).exists() else 0


if __name__ == "__main__":
    if len(sys.argv) == 3:
        follow(sys.argv[1], int(sys.argv[2]))
    else:
        check(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
        print(f"killed {sys.argv[3]} times, the same bits after {_ROWS * int(sys.argv[2]):,} rows")
