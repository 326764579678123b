"""How a worker ends: in time when it is asked to, at once when asked twice, and with the process that started it."""

import functools
import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter
from types import FrameType
from typing import Any

GRACE = 5
"""Seconds in which requests may end after a worker is asked to stop; those of Docker are 10 for everything."""
LATEST = 8.0
"""Seconds after which it stops whatever it does. Everything that was acknowledged is on the disk."""
_LOG = logging.getLogger("innerloop.service")


def in_time(latest: float = LATEST) -> None:
    """Bound what follows SIGTERM and SIGINT, whose handlers are in place; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return
    asked: Counter[int] = Counter()  # Ctrl-C reaches a worker directly, and SIGTERM of its parent after it
    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(earlier := signal.getsignal(number)):
            signal.signal(number, functools.partial(_asked, asked, earlier, latest))


def _asked(asked: Counter[int], earlier: Any, latest: float, number: int, frame: FrameType | None) -> None:
    if asked[number]:
        # Who asks twice waits no longer; what was acknowledged is on the disk.
        os._exit(128 + number)
    if not asked.total():
        timer = threading.Timer(latest, _stop, (latest,))
        # Otherwise it would keep a worker that ends in time until its own time is over.
        timer.daemon = True
        timer.start()
    asked[number] += 1
    earlier(number, frame)


def _stop(latest: float) -> None:
    _LOG.warning("what was asked took more than %g s: it is given up", latest)
    os._exit(1)


def with_parent() -> None:
    """Stop when the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    # A parent that is killed tells nobody: its workers would serve on, with no one to stop them.
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent,), daemon=True).start()


def _outlive(parent: Any) -> None:
    parent.join()
    _LOG.warning("the process that started this worker is gone: it stops")
    os.kill(os.getpid(), signal.SIGTERM)
