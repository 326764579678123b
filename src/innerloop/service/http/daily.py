"""What is done once a day while a service runs."""

import contextlib
import threading

from innerloop.service.store import held, predictions, quotas, rates
from innerloop.service.store.database import Database
from innerloop.service.store.errors import StoreError

_SECONDS = 86_400.0


class Daily:
    """A thread that has the whole store looked at, lets unfinished changes go, and finishes what was to be erased.

    Args:
        database: Of the store.
    """

    def __init__(self, database: Database):
        self._database = database
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="daily", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, unless it is in the middle of its work."""
        self._ended.set()
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while not self._ended.wait(_SECONDS):
            # Damage is in the log, and in the answers, from then on; what is busy comes to its turn tomorrow.
            with contextlib.suppress(StoreError):
                self._database.examine()
                if not self._ended.is_set():  # the store may be closed by now
                    held.expire(self._database)
                    predictions.expire(self._database)
                    quotas.expire(self._database)
                    if self._database.shared:
                        rates.forget(self._database)
                    self._database.scrub()
