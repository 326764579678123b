"""What other hosts change: their store tells of it, so that a task is adapted anew before it is asked."""

import contextlib
import threading
from collections.abc import Callable

from innerloop.service.http.cache import Cache
from innerloop.service.store.records import Task, read_row
from innerloop.service.store.store import Store


class Told:
    """The thread of one worker that listens; a worker that is told nothing sees by versions what changed.

    Args:
        store: That tells.
        cache: Adapted tasks, by their states.
        adapt: Puts a task there.
    """

    def __init__(self, store: Store, cache: Cache, adapt: Callable[[Task], object]):
        self._store, self._cache, self._adapt = store, cache, adapt
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="told", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join(timeout=2)

    def _listen(self) -> None:
        self._store.database.listen(self._changed, self._ended)

    def _changed(self, id: int) -> None:
        # What cannot be read or adapted now is told to whoever asks for it; the thread goes on.
        with contextlib.suppress(Exception):
            with self._store.database.reading() as c:
                row = c.execute("SELECT * FROM tasks WHERE id = ?", (id,)).fetchone()
            task = None if row is None else read_row(row)
            present = None if task is None else task.state
            before = len(self._cache)
            self._cache.forget(lambda key, _: isinstance(key, tuple) and key[0] == id and key != present)
            # Only what was asked here: other tasks may never be.
            if task is not None and len(self._cache) < before:
                self._adapt(task)
