"""What serving costs, and whether a server that is killed loses anything: ratios to the bare encoder in one run.

    python -m benchmarks.serve                     # some 25 minutes
    python -m benchmarks.serve --minutes 1 --rounds 2

1. Throughput of 32 clients that each send one example a request and wait for the answer, to what the encoder alone
   does in batches of 32 in a process of its own, on the same cores; in turns.
2. The 99th percentile of their waiting to the median of a client that is alone; and the same where they pause, so that
   half as much is asked. C clients that never pause wait C / throughput on average, whatever is done.
3. `--minutes` of mixed load (teach, relabel, remove, roll back, ask) with a `kill -9` every 30 s, then a replay.
4. As long without kills, likewise. One of its tasks is never made smaller.
5. As long of teaching, asking and going back, so that nothing grows: what the server holds in memory must not.

The clients run on the same machine and are part of what is measured.
"""

import argparse
import asyncio
import base64
import functools
import io
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.machine import elsewhere, noise, processor
from benchmarks.results import Spread
from benchmarks.serve_load import Found, mixed
from benchmarks.serve_process import Client, Reached, Server
from innerloop.core.errors import InputError
from innerloop.engine.plan import cores
from innerloop.fewshot import sources

PLACE = Path(__file__).with_name("serve.json")
CLIENTS = 32
EVERY = 30.0
MIXED = ("kills", "steady", "level")
_SAID = (
    "my card account balance transfer money weather today tomorrow song play alarm set flight book hotel recipe "
    "translate please how what when can you the a to for in of lost stolen bill pay rent restaurant table time"
)
_SMALL = ("--adapted-mb", "64", "--recent-mb", "16")
"""Caches that are full after a fifth of the time."""
_TOPICS = ("ant", "bee", "cat", "dog")


def sentence(r: random.Random, words: int | None = None) -> dict[str, str]:
    """An example for an encoder of texts, of so many words; None: 4 to 12."""
    return {"text": " ".join(r.choices(_SAID.split(), k=words or r.randint(4, 12)))}


def picture(r: random.Random) -> dict[str, str]:
    """An example for an encoder of pictures: a noisy photograph of 320 x 240, as JPEG."""
    from PIL import Image

    small = Image.frombytes("RGB", (16, 12), r.randbytes(16 * 12 * 3)).resize((320, 240), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return {"image": base64.b64encode(out.getvalue()).decode()}


def drawing(source: str, words: int | None = None) -> Callable[[random.Random], dict[str, str]]:
    """What draws examples for a source; texts have so many words."""
    return picture if sources.kind(source) == "pictures" else functools.partial(sentence, words=words)


def bare(source: str, seconds: float) -> float:
    """Examples a second of the encoder alone, in batches of as many as there are clients, in this process."""
    import torch

    r = random.Random(0)
    drawn = [next(iter(drawing(source)(r).values())) for _ in range(8 * CLIENTS)]
    encoder = sources.source(source).encoder
    if encoder is None:
        raise InputError(f"'{source}' has no encoder to compare with")
    raw = [base64.b64decode(v) for v in drawn] if sources.kind(source) == "pictures" else drawn
    torch.set_num_threads(cores())
    encoder.encode(raw[:CLIENTS])
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        first = done % len(raw)
        done += len(encoder.encode(raw[first : first + CLIENTS]))
    return done / (time.perf_counter() - start)


def bare_elsewhere(source: str, seconds: float) -> float:
    """`bare` in a process of its own, as the server is."""
    command = [sys.executable, "-m", "benchmarks.serve", "--bare", source, "--seconds", str(seconds)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def teach(server: Reached, source: str) -> None:
    """A task of four classes with five examples each."""
    r, make, client = random.Random(1), drawing(source), Client(server.port)
    client.ask("POST", "/api/tasks", {"name": "bench", "source": source})
    examples = [{"label": topic} | make(r) for topic in _TOPICS for _ in range(5)]
    status, content = client.ask("POST", "/api/tasks/bench/examples", {"examples": examples})
    if status != 201:
        raise RuntimeError(f"teaching failed: {content}")


async def _connection(port: int, requests: list[bytes], pause: float, until: float, waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    i, r = 0, random.Random(len(requests[0]))
    while time.perf_counter() < until:
        if pause:
            await asyncio.sleep(r.expovariate(1 / pause))
        start = time.perf_counter()
        writer.write(requests[i % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {head[:100]!r}")
        waits.append(time.perf_counter() - start)
        i += 1
    writer.close()


def load(
    server: Reached,
    source: str,
    clients: int,
    seconds: float,
    seed: int,
    pause: float = 0.0,
    words: int | None = None,
) -> tuple[float, list[float]]:
    """Answers a second, and the seconds that each took.

    Args:
        server: It has been taught.
        source: What kind of examples are asked about.
        clients: Each sends the next request when it has the answer.
        seconds: How long.
        seed: Of what is asked.
        pause: Mean seconds that a client waits before the next request, at random.
        words: Of each text; None: 4 to 12.
    """
    make, kind = drawing(source, words), "images" if sources.kind(source) == "pictures" else "texts"
    waits: list[float] = []

    async def all_of_them() -> float:
        start = time.perf_counter()
        work = []
        for n in range(clients):
            r = random.Random(1000 * seed + n)
            bodies = [json.dumps({kind: [next(iter(make(r).values()))]}).encode() for _ in range(50)]
            head = b"POST /api/tasks/bench/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            requests = [head + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies]
            work.append(functools.partial(_connection, server.port, requests, pause))
        start = time.perf_counter()
        await asyncio.gather(*(each(start + seconds, waits) for each in work))
        return time.perf_counter() - start

    took = asyncio.run(all_of_them())
    return len(waits) / took, waits


def percentile(values: list[float], part: float) -> float:
    """The value below which so many parts of a hundred lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part / 100 * len(ordered)))]


def speed(source: str, rounds: int, seconds: float, workers: int, folder: Path) -> dict[str, Any]:
    """Throughput and waiting, the bare encoder and the server taking turns."""
    server = Server(folder / source, source, "--workers", str(workers))
    row: dict[str, Any] = {
        "workers": workers,
        "start": server.start(),
        "bare": [],
        "served": [],
        "single": [],
        "p99": [],
        "p50": [],
        "half": [],
    }
    try:
        teach(server, source)
        load(server, source, CLIENTS, min(2.0, seconds), 0)
        for i in range(rounds):
            row["bare"].append(bare_elsewhere(source, seconds))
            _, alone = load(server, source, 1, seconds, i)
            found, waits = load(server, source, CLIENTS, seconds, i)
            row["served"].append(found)
            row["single"].append(statistics.median(alone))
            row["p50"].append(percentile(waits, 50))
            row["p99"].append(percentile(waits, 99))
            _, waits = load(server, source, CLIENTS, seconds, i, CLIENTS / (found / 2))
            row["half"].append(percentile(waits, 99))
        row["workers_seconds"] = server.workers_seconds()
    finally:
        server.kill()
    return row


def mixture(source: str, minutes: float, every: float | None, store: Path) -> dict[str, Any]:
    """Mixed load, with kills or without, compared with a replay."""
    server = Server(store, source, *_SMALL)
    server.start()
    try:
        found = mixed(server, source, drawing(source), 60 * minutes, every)
    finally:
        server.kill()
    print(f"{source}, {minutes:g} minutes: {said(found)}", flush=True)
    kept = vars(found) | {"refused": found.refused[:10], "resident": [_settled(found), found.resident[-1]]}
    return {"source": source, "minutes": minutes} | kept


def level(source: str, minutes: float, store: Path) -> dict[str, Any]:
    """Memory while a task is taught, asked and taken back again and again."""
    server, r, make = Server(store, source, *_SMALL), random.Random(3), drawing(source)
    server.start()
    try:
        teach(server, source)
        client, rounds, resident = Client(server.port), 0, []
        first = client.ask("GET", "/api/tasks/bench")[1]["version"]
        kind = "images" if sources.kind(source) == "pictures" else "texts"
        end = time.perf_counter() + 60 * minutes
        while time.perf_counter() < end:
            drawn = [make(r) for _ in range(5)]
            for path, body in (
                ("examples", {"examples": [{"label": _TOPICS[0]} | one for one in drawn]}),
                ("predict", {kind: [next(iter(one.values())) for one in drawn]}),
                ("rollback", {"version": first}),
            ):
                status, content = client.ask("POST", f"/api/tasks/bench/{path}", body)
                if status not in (200, 201):
                    raise RuntimeError(f"{path} failed: {content}")
            rounds += 1
            resident.append(server.resident())
    finally:
        server.kill()
    fifth = rounds // 5
    print(f"{source}, level: {resident[fifth]:.0f} MB after {fifth:,} rounds, {resident[-1]:.0f} after {rounds:,}")
    return {"source": source, "minutes": minutes, "rounds": rounds, "resident": [resident[fifth], resident[-1]]}


def _settled(found: Found) -> float:
    """Megabytes that the server held after a fifth of the time, when all code had run once."""
    return found.resident[len(found.resident) // 5]


def said(found: Found) -> str:
    """What a run of mixed load came to."""
    return (
        f"{found.kills} kills; {found.acknowledged:,} acknowledged examples, {found.lost} lost, "
        f"{found.doubled} doubled; {found.differing} versions differ; "
        f"{found.asked:,} answers, of {found.answers:,} compared {found.wrong} wrong; "
        f"{found.unknown} changes without an answer; {len(found.refused)} refused; "
        f"{_settled(found):.0f} to {found.resident[-1]:.0f} MB"
    )


def report(row: dict[str, Any]) -> list[str]:
    """Ratios of one source, round by round."""
    share = Spread.of([a / b for a, b in zip(row["served"], row["bare"], strict=True)])
    tail = Spread.of([a / b for a, b in zip(row["p99"], row["single"], strict=True)])
    half = Spread.of([a / b for a, b in zip(row["half"], row["single"], strict=True)])
    return [
        f"{CLIENTS} clients to the bare encoder: {share.middle:.2f} [{share.low:.2f} to {share.high:.2f}], at least "
        f"0.7: {statistics.median(row['served']):,.0f} and {statistics.median(row['bare']):,.0f} examples a second",
        f"p99 under load to the median alone: {tail.middle:.1f} [{tail.low:.1f} to {tail.high:.1f}], at most 8: "
        f"{1e3 * statistics.median(row['p99']):,.0f} and {1e3 * statistics.median(row['single']):,.1f} ms",
        f"p99 at half of that throughput: {half.middle:.1f} [{half.low:.1f} to {half.high:.1f}] medians alone",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", default=["use-multilingual", "efficientnet-lite0"])
    parser.add_argument("--rounds", type=int, default=5, help="of the measurements of speed; 0: none")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument("--workers", type=int, default=cores(), help="of the server whose speed is measured")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each mixed load; 0: none")
    parser.add_argument("--mixed", nargs="+", choices=MIXED, default=MIXED)
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(bare(options.bare, options.seconds))
        return

    def keep(name: str, row: dict[str, Any]) -> None:
        if not options.dry:
            results.write(results.read(PLACE) | {name: row}, PLACE)

    with tempfile.TemporaryDirectory(prefix="innerloop-serve-") as folder:
        for source in options.sources if options.rounds else ():
            began, before = time.perf_counter(), elsewhere(_children())
            row = speed(source, options.rounds, options.seconds, options.workers, Path(folder))
            after = elsewhere(_children() + row.pop("workers_seconds"))
            row |= about("benchmarks.serve") | {"noise": noise(before, after, time.perf_counter() - began)}
            print(f"{source}: {'; '.join(report(row))}. {row['noise']}", flush=True)
            keep(source, row)
        for name in options.mixed if options.minutes else ():
            source, store, every = options.sources[0], Path(folder) / name, EVERY if name == "kills" else None
            if name == "level":
                keep(name, about("benchmarks.serve") | level(source, options.minutes, store))
            else:
                keep(name, about("benchmarks.serve") | mixture(source, options.minutes, every, store))


def _children() -> float:
    """CPU seconds of the children that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def about(module: str) -> dict[str, Any]:
    """The machine, the day, and the command that is run.

    Args:
        module: Of the command.
    """
    import torch

    return {
        "date": str(date.today()),
        "processor": processor(),
        "cores": cores(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": f"python -m {module} {' '.join(sys.argv[1:])}".strip(),
    }


if __name__ == "__main__":
    main()
