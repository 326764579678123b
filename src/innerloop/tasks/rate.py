"""How many episodes a sampler draws in a second."""

import statistics
import time

from innerloop.core.types import Sampler


def episodes_per_second(sampler: Sampler, meta_batch_size: int = 32, seconds: float = 2.0) -> float:
    """Episodes a second, ready as tensors: the median over meta-batches, each of which replaces the one before.

    Args:
        sampler: Where they come from.
        meta_batch_size: How many are drawn at once.
        seconds: How long to measure.
    """
    taken: list[float] = []
    begin, batch = time.perf_counter(), None
    while len(taken) < 2 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        batch = sampler.episodes(len(taken) * meta_batch_size, meta_batch_size)
        batch.query.y.sum().item()  # wait for the device
        taken.append(time.perf_counter() - start)
    return meta_batch_size / statistics.median(taken[1:])
