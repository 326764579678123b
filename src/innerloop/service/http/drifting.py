"""How far what tasks are asked lies from what they were taught: looked at beside the answers, after they were given."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from innerloop.core.errors import InnerloopError
from innerloop.fewshot.gaussians import Gaussians, distance, gaussians
from innerloop.service.http.adapted import Adapted, stacked
from innerloop.service.http.cache import Cache
from innerloop.service.store import drifts
from innerloop.service.store.errors import StoreError
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store

_WAITING = 64
"""Requests that are looked at in a moment; where more come, some are not."""
_MOMENT = 1.0
"""Seconds from the first of them until they are noted, all in one transaction."""
_KEPT = 64
"""Tasks whose classes stay in memory as Gaussians."""


class _Request(NamedTuple):
    task: Task
    adapted: Adapted
    rows: Sequence[np.ndarray]


class Drifting:
    """The thread of one worker that notes what is asked; the store adds up what all of them note.

    Args:
        store: Where it is kept.
    """

    def __init__(self, store: Store):
        self._store = store
        self._queue: queue.Queue[_Request | threading.Event | None] = queue.Queue(_WAITING)
        self._classes: Cache[Gaussians | None] = Cache(_KEPT, float("inf"), lambda _: 1)
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def seen(self, task: Task, adapted: Adapted, rows: Sequence[np.ndarray]) -> None:
        """Have the rows of a request looked at, unless too many wait."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_Request(task, adapted, rows))

    def wait(self) -> None:
        """Return once all that was seen so far is noted."""
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def collect(self) -> Iterator[Any]:
        """What Prometheus reads of every task: from the store, so that each worker says the same."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        charts = ("accuracy", "distance")
        about = {
            "innerloop_drift": ("1 where a task drifts, else 0.", "drift"),
            "innerloop_drift_cusum": ("CUSUM of a task's feedback and of what it is asked.", "cusum"),
            "innerloop_drift_recent": ("Share of answers that were right and distance to the classes.", "recent"),
            "innerloop_drift_values": ("Feedbacks, and requests that were looked at.", "count"),
        }
        told = []
        with contextlib.suppress(StoreError):  # the others are told all the same
            told = [(name, drift.told()) for name, drift in drifts.every(self._store)]
        for metric, (text, key) in about.items():
            family = GaugeMetricFamily(metric, text, labels=["task", "chart"])
            for name, one in told:
                for chart in charts:
                    if one[chart]["count"]:
                        family.add_metric([name, chart], float(one[chart][key]))
            yield family

    def close(self) -> None:
        """Note what waits, and end."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=1)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        ended = False
        while not ended:
            gathered = [self._queue.get()]
            if isinstance(gathered[0], _Request):
                time.sleep(_MOMENT)
            with contextlib.suppress(queue.Empty):
                while gathered[-1] is not None and len(gathered) < _WAITING:
                    gathered.append(self._queue.get_nowait())
            ended = gathered[-1] is None
            distances: dict[int, list[float]] = {}
            for one in gathered:
                if isinstance(one, _Request):
                    # What cannot be looked at, or not kept now, is not noted: answers were given all the same.
                    with contextlib.suppress(InnerloopError):
                        distances.setdefault(one.task.id, []).extend(self._distance(one))
            with contextlib.suppress(StoreError):
                if distances:
                    drifts.asked(self._store, distances)
            for one in gathered:
                if isinstance(one, threading.Event):
                    one.set()

    def _distance(self, request: _Request) -> list[float]:
        task = request.adapted.task
        classes = self._classes.get(request.task.state, lambda: gaussians(task))
        return [] if classes is None else [distance(task, classes, stacked(request.rows))]
