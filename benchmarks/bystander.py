"""What a client with short texts waits for while another one has requests of 256 long texts in flight all the time.

    python -m benchmarks.bystander                           # some ten minutes
    python -m benchmarks.bystander --beside ../before        # in turns with the server of another checkout

Every measurement has a server of its own, on a store that is thrown away: first the bystander is alone, then with the
others, and the ratio is of these two. Others come from another address, or from the bystander's own (`--same`), which
makes them one client. All clients share the cores with the server.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.machine import elsewhere, noise
from benchmarks.results import Spread
from benchmarks.serve import about, load, percentile, teach
from benchmarks.serve_process import ROOT, Server
from innerloop.engine.plan import cores

PLACE = Path(__file__).with_name("bystander.json")
_OTHER, _SAME = "127.0.0.2", "127.0.0.1"
_IN_FLIGHT = 4
_TEXTS = 256
_SENTENCE = "what is the balance of my account and when does my new card come "
_WARM = 1.0
"""Seconds before each of the two that do not count."""


class Crowd:
    """Requests of long texts, so many at a time, until it is closed.

    Args:
        port: Of the server.
        address: Where they come from.
        characters: Of each text.
    """

    def __init__(self, port: int, address: str, characters: int):
        text = (_SENTENCE * (1 + characters // len(_SENTENCE)))[:characters]
        self._content = json.dumps({"texts": [text] * _TEXTS})
        self._port, self._address, self._over = port, address, threading.Event()
        self.answered = 0
        for _ in range(_IN_FLIGHT):
            threading.Thread(target=self._ask, daemon=True).start()

    def close(self) -> None:
        """Ask no more; what is in flight ends with the server."""
        self._over.set()

    def _ask(self) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=120, source_address=(self._address, 0)
            )
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request(
                    "POST", "/api/tasks/bench/predict", self._content, {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                answer.read()
                self.answered += answer.status == 200
            self._over.wait(0.05)


def measured(root: Path, options: argparse.Namespace, characters: int, address: str, seed: int) -> dict[str, float]:
    """Seconds that the bystander waits alone and with others, and the CPU seconds of the server.

    Args:
        root: The checkout whose server it is.
        options: Of the command.
        characters: Of each text of the others.
        address: Where the others come from.
        seed: Of what the bystander asks.
    """
    with tempfile.TemporaryDirectory(prefix="innerloop-bystander-") as folder:
        server = Server(Path(folder) / "store", options.source, "--workers", str(options.workers), root=root)
        server.start()
        try:
            teach(server, options.source)
            load(server, options.source, 1, _WARM, 0)
            _, alone = load(server, options.source, 1, options.seconds, seed)
            crowd = Crowd(server.port, address, characters)
            load(server, options.source, 1, _WARM, 0)
            _, beside = load(server, options.source, 1, options.seconds, seed)
            crowd.close()
            used = server.workers_seconds() if options.workers > 1 else 0.0
        finally:
            server.kill()
    row = {"alone": statistics.median(alone), "alone p99": percentile(alone, 99)}
    return row | {"beside": statistics.median(beside), "beside p99": percentile(beside, 99), "seconds": used}


def report(rounds: list[dict[str, float]]) -> str:
    """The ratios of one row, over its rounds."""
    median = Spread.of([one["beside"] / one["alone"] for one in rounds])
    tail = Spread.of([one["beside p99"] / one["alone"] for one in rounds])
    alone, beside, last = (
        1e3 * statistics.median(one[name] for one in rounds) for name in ("alone", "beside", "beside p99")
    )
    return (
        f"median {alone:.1f} to {beside:.1f} ms, {median.middle:.1f}x [{median.low:.1f} to {median.high:.1f}]; "
        f"p99 {last:.0f} ms, {tail.middle:.0f}x [{tail.low:.0f} to {tail.high:.0f}] of the median alone"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="use-multilingual")
    parser.add_argument("--characters", nargs="+", type=int, default=[2_000, 10_000])
    parser.add_argument("--same", action="store_true", help="also with all requests from one address")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each of the two halves of a measurement")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--beside", type=Path, help="another checkout, whose server takes turns with this one's")
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    options = parser.parse_args()
    roots = {"here": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    rows: dict[str, list[dict[str, float]]] = {}
    began, before, used = time.perf_counter(), elsewhere(_children()), 0.0
    for seed in range(options.rounds):
        for characters in options.characters:
            for address in (_OTHER, _SAME) if options.same else (_OTHER,):
                for name, root in roots.items():
                    row = measured(root, options, characters, address, seed)
                    used += row.pop("seconds")
                    who = "another client" if address == _OTHER else "the same client"
                    title = f"{name}: {_TEXTS} texts of {characters:,} characters of {who}"
                    rows.setdefault(title, []).append(row)
                    print(f"round {seed + 1}, {title}: {report([row])}", flush=True)
    seen: dict[str, Any] = about("benchmarks.bystander") | {
        "noise": noise(before, elsewhere(_children() + used), time.perf_counter() - began)
    }
    for name, rounds in sorted(rows.items()):
        print(f"{name}: {report(rounds)}")
    print(seen["noise"])
    if not options.dry:
        results.write({"about": seen, "rows": rows}, PLACE)


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
