"""How fast each client asks, counted in a store that several hosts share, by the clock of its server.

No row of it is data: the table is not logged, so nothing waits for a disk, and it is empty after a crash of the server.
It is in no backup and in no copy, and a store in a folder has none.
"""

import contextlib
import threading
import time
from collections import OrderedDict

from innerloop.service.limits import KEPT_CLIENTS, most_tokens
from innerloop.service.store.database import Database
from innerloop.service.store.errors import StoreError

_AWAY = 86_400.0
"""Seconds after which a client is forgotten at the latest."""
_NEW = 1_000
"""Clients whom one worker met first, before it looks whether others can be forgotten."""
_CLOCK = "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
# The clock is read while the client's row is held, so that whoever waited for the row comes later by the clock as well;
# one that is set back takes nothing from anybody. Of a row that was updated, `xmax` says by whom.
_ASK = f"""
WITH asked (client, rate, most, takes, time) AS (
    VALUES (
        CAST(? AS TEXT), CAST(? AS DOUBLE PRECISION), CAST(? AS DOUBLE PRECISION), CAST(? AS INTEGER),
        CAST(? AS DOUBLE PRECISION)
    )
)
INSERT INTO rates AS kept (client, tokens, time, wait)
SELECT client, most - takes, coalesce(time, {_CLOCK}), 0 FROM asked
ON CONFLICT (client) DO UPDATE SET (tokens, time, wait) = (
    SELECT CASE WHEN has < 1 THEN has ELSE has - takes END, now, CASE WHEN has < 1 THEN (1 - has) / rate ELSE 0 END
    FROM (
        SELECT now, rate, takes, least(most, kept.tokens + greatest(0, now - kept.time) * rate) AS has
        FROM asked, LATERAL (SELECT coalesce(asked.time, {_CLOCK}) AS now) AS clock
    ) AS there
)
RETURNING wait, xmax = 0
"""
# Whoever asks just now is nobody to be forgotten; and two hosts that forget do not wait for each other.
_FORGET = f"""
DELETE FROM rates WHERE client IN (
    SELECT client FROM rates
    WHERE time < {_CLOCK} - ? OR time < (SELECT time FROM rates ORDER BY time DESC OFFSET ? LIMIT 1)
    FOR UPDATE SKIP LOCKED
)
"""


class Rates:
    """Buckets as those of `limits.Rate`, one for each client of all hosts together.

    Args:
        database: Of a store that several hosts share.
        rate: Tokens a second, more than 0.
    """

    def __init__(self, database: Database, rate: float):
        self.rate = rate
        self._database = database
        self._refused: OrderedDict[str, float] = OrderedDict()
        """Until when, by the monotonic clock. Nobody is given a token sooner, whichever host is asked."""
        self._new = 0
        self._lock = threading.Lock()

    def refused(self, client: str) -> float:
        """The seconds for which a client was told to wait, as far as they are not over; the store is not asked."""
        with self._lock:
            if (until := self._refused.get(client)) is None:
                return 0.0
            if (left := until - time.monotonic()) > 0:
                return left
            del self._refused[client]
            return 0.0

    def wait(self, client: str, take: bool = True) -> float:
        """Take a token, or only look for one; see `limits.Rate`.

        Raises:
            StoreError: They cannot be counted now.
        """
        if left := self.refused(client):
            return left
        wait, new = asked(self._database, client, self.rate, take)
        if wait:
            with self._lock:
                self._refused[client] = time.monotonic() + wait
                while len(self._refused) > KEPT_CLIENTS:
                    self._refused.popitem(last=False)
        if new and self._crowded():
            with contextlib.suppress(StoreError):  # this client's token is taken, and others will be new
                # A bucket that is full is as good as none.
                forget(self._database, most_tokens(self.rate) / self.rate)
        return wait

    def _crowded(self) -> bool:
        with self._lock:
            self._new = (self._new + 1) % _NEW
            return not self._new


def asked(
    database: Database, client: str, rate: float, take: bool = True, now: float | None = None
) -> tuple[float, bool]:
    """Take a token, where there is one.

    Args:
        database: Of a store that several hosts share.
        client: Whose.
        rate: Tokens a second.
        take: Whether it is taken, or only looked for.
        now: Seconds since 1970; None: the server's clock is read.

    Returns:
        0, or the seconds until there is one; and whether the client is a new one.

    Raises:
        StoreError: It cannot be counted now.
    """
    with database.noting(alone=True) as c:
        wait, new = c.execute(_ASK, (client, rate, most_tokens(rate), int(take), now)).fetchone()
    return wait, new


def forget(database: Database, seconds: float = _AWAY, most: int = KEPT_CLIENTS) -> None:
    """Let clients go who have been away for so long, and those who have been away longest where there are too many.

    Raises:
        StoreError: The store cannot be written now.
    """
    with database.noting() as c:
        c.execute(_FORGET, (seconds, most - 1))
