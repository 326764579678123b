"""What one server accepts: sizes, counts and rates, each with the reason it is there."""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from innerloop.core.errors import InputError

KEPT_CLIENTS = 10_000
"""Who comes from many addresses must not fill the memory, or the store."""
_MOST_RATE = 1e6


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server; what goes beyond one is answered by 4xx and a message that names the bound."""

    body_mb: float = 32.0
    """Size of one request, in megabytes: it is held in memory while it is read."""
    batch: int = 256
    """Examples in one request, taught or asked about."""
    pixels: int = 40_000_000
    """Pixels of one picture, before anything is decoded: 40 million take 120 MB as RGB."""
    numbers: int = 2_000_000
    """Numbers in one request: as many as 32 MB hold in full precision. Parsing them is what keeps others waiting."""
    text: int = 10_000
    """Characters of one text."""
    features: int = 65_536
    """Numbers of one feature vector or of one row."""
    label: int = 100
    """Characters of one label."""
    tasks: int = 1_000
    """Tasks of one store."""
    classes: int = 1_000
    """Classes of one task."""
    examples: int = 20_000
    """Examples of one version of a task: learning reads them all."""
    kept: int = 100_000
    """Examples of one task in all its versions."""
    rate: float | None = None
    """Requests a second of one client (an API key, or an address), with bursts of twice as many; None: 50 where keys
    are demanded, no limit on loopback. Every worker counts for itself where the store is a folder; in PostgreSQL it is
    counted for all hosts together."""
    connections: int = 1_000
    """Connections of one worker; one that is more takes the place of the one that has let the server wait longest."""
    address_connections: int = 256
    """Connections of one address, in one worker; those of a --proxy are not counted."""
    waiting: int = 1_024
    """Examples waiting to be encoded or predicted, in one worker; more are told to come back (503)."""
    changes: int = 32
    """Changes that may wait for the store, in one worker; more are told to come back (503)."""
    store_seconds: float = 10.0
    """For one change of the store, from waiting for its turn until it is on the disk; then it is given up (503)."""
    adapted: int = 64
    """Adapted tasks kept in memory, in one worker."""
    adapted_mb: float = 512.0
    """Memory that they may take together."""
    recent: int = 10_000
    """Predictions that feedback may still refer to."""
    recent_mb: float = 64.0
    """Memory that what was asked in them may take."""
    seconds: float = 60.0
    """Before a request that waits for the processor is given up (503)."""
    threads: int = 0
    """Threads that encode and predict, in one worker, each on one core; 0: as many as there are cores for it."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # Not `<= 0`, which NaN is not either.
            if value is not None and (value < 0 if name == "threads" else not value > 0):
                raise InputError(f"--{name.replace('_', '-')} {value:g} lets nothing through: take more than 0")
        if self.rate is not None and self.rate > _MOST_RATE:
            raise InputError(f"--rate {self.rate:g} bounds nothing: take at most {_MOST_RATE:,.0f} requests a second")

    def workers_threads(self, workers: int) -> int:
        """Threads of one worker out of `workers`."""
        return self.threads or max(1, (os.cpu_count() or 1) // workers)


def most_tokens(rate: float) -> float:
    """What a bucket holds: twice what flows in within a second, and one request at least."""
    return max(1.0, 2 * rate)


class Rate:
    """A bucket of tokens for each client: `rate` a second flow in, it holds twice as many."""

    def __init__(self, rate: float | None):
        self.rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str, now: float | None = None, take: bool = True) -> float:
        """Take a token.

        Args:
            client: Whose bucket.
            now: Seconds of a monotonic clock; None: it is read.
            take: Whether it is taken, or only looked for.

        Returns:
            0, or the seconds until there is a token.
        """
        if not self.rate:
            return 0.0
        now = time.monotonic() if now is None else now
        most = most_tokens(self.rate)
        with self._lock:
            # Out and in again at the end: the first one is who has been away longest.
            tokens, then = self._buckets.pop(client, (most, now))
            tokens = min(most, tokens + (now - then) * self.rate)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / self.rate
            # A refusal costs nothing: who asks too early would never get in.
            self._buckets[client] = (tokens if wait or not take else tokens - 1, now)
            while len(self._buckets) > KEPT_CLIENTS:
                self._buckets.popitem(last=False)
        return wait
