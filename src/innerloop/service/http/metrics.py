"""What the service counts about itself, for Prometheus, in a registry of its own.

With several workers, each writes its counts to files in the folder that PROMETHEUS_MULTIPROC_DIR names (`innerloop
serve` makes one), and whichever worker is asked adds them up.
"""

import os
from collections.abc import Hashable
from typing import TYPE_CHECKING

from innerloop.core.errors import InputError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with a folder that is the workers' of one server alone, and goes with it."""


class Metrics:
    """Counters of one worker.

    Args:
        stores: What says the rest when somebody asks, with a `collect` as Prometheus's collectors have it.
    """

    def __init__(self, *stores: "Collector"):
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise InputError("the service needs prometheus-client: pip install 'innerloop[serve]'") from error
        self._prometheus, self._stores = prometheus, stores
        self.registry = kept = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "innerloop_requests", "Requests answered.", ["method", "route", "status"], registry=kept
        )
        self.seconds = prometheus.Histogram(
            "innerloop_request_seconds", "Time to answer.", ["method", "route"], registry=kept, buckets=_SECONDS
        )
        self.batches = prometheus.Histogram(
            "innerloop_batch_items", "Examples worked on together.", ["stage"], registry=kept, buckets=_ITEMS
        )
        self.adaptations = prometheus.Counter("innerloop_adaptations", "Tasks adapted.", registry=kept)
        self.adapting = prometheus.Histogram(
            "innerloop_adapt_seconds", "Time to adapt a task.", registry=kept, buckets=_SECONDS
        )
        self.examples = prometheus.Counter("innerloop_examples", "Examples taught.", registry=kept)
        self.predictions = prometheus.Counter(
            "innerloop_predictions", "Predictions, by whether they were accepted.", ["accepted"], registry=kept
        )
        self.waiting = prometheus.Gauge(
            "innerloop_waiting_items", "Examples waiting.", registry=kept, multiprocess_mode="livesum"
        )
        self.adapted = prometheus.Gauge(
            "innerloop_adapted_tasks", "Adapted tasks in memory.", registry=kept, multiprocess_mode="livesum"
        )

    def batch(self, queue: Hashable, items: int) -> None:
        """Count a batch; queues are tuples that begin with the stage."""
        self.batches.labels(str(queue[0]) if isinstance(queue, tuple) else str(queue)).observe(items)

    def page(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its media type."""
        registry = self.registry
        if SHARED in os.environ:
            from prometheus_client import multiprocess

            # A fresh one for each question: the collector reads the files of all workers, this worker's among them.
            registry = self._prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        # Not among them, as every worker would add it once more.
        kept = self._prometheus.CollectorRegistry()
        for store in self._stores:
            kept.register(store)
        text = self._prometheus.generate_latest(registry) + self._prometheus.generate_latest(kept)
        return text, self._prometheus.CONTENT_TYPE_LATEST
