"""Large bodies, read by a thread one at a time, so that the event loop has its turns and memory holds one of them."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
R = TypeVar("R")


async def apart(kind: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of reading a body.

    Args:
        kind: Of the body: each waits for its own only.
        work: Reads it.
        args: Of `work`.
        kwargs: Likewise.
    """
    return await to_thread.run_sync(functools.partial(work, *args, **kwargs), limiter=_one_at_a_time(kind))


@functools.cache
def _one_at_a_time(kind: str) -> CapacityLimiter:
    return CapacityLimiter(1)
