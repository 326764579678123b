"""What keys with limits use, for Prometheus."""

import contextlib
from collections.abc import Iterator
from typing import Any

from innerloop.service.store.errors import StoreError
from innerloop.service.store.keys import Keys


class Limiting:
    """Reads it from the store when it is asked for, so that each worker and host says the same.

    Args:
        keys: Of the store.
    """

    def __init__(self, keys: Keys):
        self._keys = keys

    def collect(self) -> Iterator[Any]:
        """Limits of keys in use, and what these use of them, by the number of the key."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        limit = GaugeMetricFamily("innerloop_key_limit", "What an API key may use.", labels=["key", "of"])
        used = GaugeMetricFamily("innerloop_key_used", "What it uses, requests of today.", labels=["key", "of"])
        with contextlib.suppress(StoreError):  # the others are told all the same
            for key in self._keys.all():
                if key.revoked is not None or not any(key.quota):
                    continue
                now = self._keys.used(key.id)
                for of, most in key.quota._asdict().items():
                    if most is not None:
                        limit.add_metric([str(key.id), of], float(most))
                        used.add_metric([str(key.id), of], float(getattr(now, of)))
        yield from (limit, used)
