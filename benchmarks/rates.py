"""What a rate costs a request on a store in PostgreSQL: without one, counted in memory, and in the store for all hosts.

    python -m benchmarks.rates

One client asks, and again as soon as it has the answer. Requests go to the application itself, and from there over a
socket to the database on this machine, in turns, so that all ways see the same machine.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
from typing import Any
from unittest import mock

from benchmarks.traces import ask, taught
from innerloop.service.http import guard
from innerloop.service.http.app import create
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from tests.service.postgres import Server, serving

_WORDS = "tests.service.served:Words"
_RATE = 1e6
_PATHS = {"a prediction": "/api/tasks/t/predict", "a path that is not there": "/api/nothing"}
_WAYS: dict[str, tuple[float | None, Any]] = {
    "off": (None, contextlib.nullcontext()),
    "memory": (_RATE, mock.patch.object(guard, "Rates", return_value=None)),
    "shared": (_RATE, contextlib.nullcontext()),
}


async def made(server: Server, way: str) -> Any:
    """An application with a task, on a store of its own."""
    rate, changed = _WAYS[way]
    with changed:  # until the first request, with which it is put together
        limits = Limits(rate=rate)
        app = create(Settings(store=server.new(), sources=(_WORDS,), allow=("tests",), limits=limits))
        await taught(app)
    return app


async def asked(app: Any, path: str, count: int) -> float:
    """Milliseconds by the clock until an answer, in the median of so many."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        assert await ask(app, path, {"texts": ["aab"]}) in (200, 404)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


async def measured(server: Server, count: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each path and way, in each round."""
    apps = {way: await made(server, way) for way in _WAYS}
    known = {what: {way: list[float]() for way in _WAYS} for what in _PATHS}
    for turn in range(rounds):
        for what, path in _PATHS.items():
            for way in list(_WAYS) if turn % 2 else reversed(list(_WAYS)):
                known[what][way].append(await asked(apps[way], path, count))
    for app in apps.values():
        app.state.service.close()
    return known


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="requests of each way in a round")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with serving() as server:
        known = asyncio.run(measured(server, options.count, options.rounds))
    for what, ways in known.items():
        print(what)
        for way, times in ways.items():
            spread = f"[{min(times):.3f} to {max(times):.3f}]"
            ratios = [one / off for one, off in zip(times, ways["off"], strict=True)]
            between = f"[{min(ratios):.2f} to {max(ratios):.2f}]"
            median, ratio = statistics.median(times), statistics.median(ratios)
            print(f"  {way:7} {median:.3f} ms {spread}, over off {ratio:.2f} {between}")


if __name__ == "__main__":
    main()
