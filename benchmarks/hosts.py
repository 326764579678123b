"""Two hosts on one PostgreSQL behind nginx: what the second brings, when it hears of changes, and what kills leave.

    python -m benchmarks.hosts
    python -m benchmarks.hosts --minutes 1 --rounds 2 --dry

1. Throughput of 32 clients through the proxy with two hosts, to that with one, in turns. A host is a process with one
   worker and one thread on a core of its own. Clients, proxy and database take their part of the same cores, so texts
   are long (`--words`): the encoder is the limit, not they.
2. Milliseconds from the answer that one host gives to a change until the other has adapted the task of twenty texts
   anew, unasked.
3. `--minutes` of mixed load (teach, relabel, remove, roll back, ask), in which one host, then the other, is killed with
   `kill -9` again and again, and the database every third time as well; then a replay.

The proxy is nginx by the block of `docs/scale.md`, with other addresses (Debian: `apt install nginx postgresql`).
"""

import argparse
import contextlib
import itertools
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.results import Spread
from benchmarks.serve import CLIENTS, about, drawing, load, said, teach
from benchmarks.serve_load import mixed
from benchmarks.serve_process import PLAIN, Client, Server, numbers
from tests.service.postgres import Server as Database
from tests.service.postgres import serving

PLACE = Path(__file__).with_suffix(".json")
BLOCK = Path(__file__).parents[1] / "deploy" / "nginx" / "innerloop.conf"
"""The block of `docs/scale.md`."""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_DATABASE = 3
"""Of so many kills one is the database's as well."""


class Proxy:
    """nginx in front of hosts, as the guide has it.

    Args:
        folder: For its files.
        ports: Of the hosts, on this machine.
    """

    def __init__(self, folder: Path, ports: Sequence[int]):
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise FileNotFoundError("no nginx on this machine (Debian: apt install nginx)")
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        places = "".join(f"{name}_temp_path {folder / name};\n" for name in _TEMPORARY)
        inside = f"access_log off;\n{places}{self._block(ports)}"
        (folder / "nginx.conf").write_text(f"daemon off;\npid {folder / 'pid'};\nevents {{}}\nhttp {{\n{inside}}}\n")
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        self._process = subprocess.Popen(command)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"nginx does not start: {(folder / 'error.log').read_text()}")

    def _block(self, ports: Sequence[int]) -> str:
        """The block of the guide, whose addresses are those of this machine."""
        block = BLOCK.read_text(encoding="utf-8")
        (rest,) = set(re.findall(r"server host\d:8000 (.*?);", block))
        hosts = "".join(f"    server 127.0.0.1:{port} {rest};\n" for port in ports)
        text = re.sub(r"(    server host\d:8000 .*?;\n)+", hosts, block)
        return text.replace("listen 80;", f"listen 127.0.0.1:{self.port};")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


class Hosts:
    """Hosts on one database behind a proxy, of which one after the other is killed.

    Args:
        folder: For logs.
        database: Runs.
        source: What tasks are taught to.
        cores: The core of each host; None: any.
    """

    def __init__(self, folder: Path, database: Database, source: str, cores: Sequence[int | None] = (None, None)):
        self._database, self._folder, store = database, folder, database.new()
        self.all = [
            Server(store, source, "--proxy", "127.0.0.1", log=folder / f"host-{i}.log", core=core)
            for i, core in enumerate(cores)
        ]
        for host in self.all:
            host.start()
        self._proxy = Proxy(folder / "nginx", [host.port for host in self.all])
        self.port = self._proxy.port
        self._turns = itertools.cycle(self.all)
        self._killed: Server | None = None
        self.kills, self.restarts = 0, 0

    def kill(self) -> None:
        """`kill -9` of the host whose turn it is, and every third time an end of the database as by a crash."""
        self._killed = next(self._turns)
        self._killed.kill()
        self.kills += 1
        if self.kills % _DATABASE == 0:
            self._database.stop("immediate")
            self._database.start()
            self.restarts += 1

    def start(self) -> float:
        """Start the host that was killed; returns the seconds."""
        assert self._killed is not None
        return self._killed.start()

    def resident(self) -> float:
        """Megabytes that all hosts hold."""
        return sum(host.resident() for host in self.all)

    @contextlib.contextmanager
    def only(self, count: int) -> Iterator[Proxy]:
        """Another proxy, in front of the first hosts alone."""
        proxy = Proxy(self._folder / f"nginx-{time.monotonic_ns()}", [host.port for host in self.all[:count]])
        try:
            yield proxy
        finally:
            proxy.stop()

    def end(self) -> None:
        """End all that was started, but the database."""
        self._proxy.stop()
        for host in self.all:
            host.kill()


@contextlib.contextmanager
def hosts(source: str, cores: Sequence[int | None] = (None, None)) -> Iterator[Hosts]:
    """Hosts that run as long as the block, with their database and proxy."""
    with serving() as database, tempfile.TemporaryDirectory(prefix="innerloop-hosts-") as folder:
        several = Hosts(Path(folder), database, source, cores)
        try:
            yield several
        finally:
            several.end()


def speed(source: str, rounds: int, seconds: float, words: int) -> dict[str, Any]:
    """Answers a second with one host and with two, in turns."""
    row: dict[str, Any] = {"source": source, "words": words, "one": [], "two": []}
    cores = sorted(os.sched_getaffinity(0))[:2]
    with hosts(source, cores) as several, several.only(1) as first, several.only(2) as both:
        teach(several, source)
        load(both, source, CLIENTS, min(2.0, seconds), 0, words=words)
        for i in range(rounds):
            row["one"].append(load(first, source, CLIENTS, seconds, i, words=words)[0])
            row["two"].append(load(both, source, CLIENTS, seconds, i, words=words)[0])
    return row


def notices(source: str, changes: int) -> list[float]:
    """Milliseconds from a change's answer on one host until the other has adapted the task, unasked."""
    waits = []
    with hosts(source) as several:
        teach(several, source)
        a, b = (Client(host.port) for host in several.all)
        question = {"texts": [drawing(source)(random.Random(2))["text"]]}
        if b.ask("POST", "/api/tasks/bench/predict", question)[0] != 200:
            raise RuntimeError("the second host does not answer")
        for i in range(changes):
            before = adapted(several.all[1])
            # Back and forth, so that the task stays as large as it is.
            status, content = a.ask("PATCH", "/api/tasks/bench/examples/1", {"label": ("bee", "ant")[i % 2]})
            began = time.perf_counter()
            if status != 200:
                raise RuntimeError(f"a label was not changed: {content}")
            while adapted(several.all[1]) == before:
                if time.perf_counter() - began > 5:
                    raise RuntimeError("the second host was told of nothing in 5 s")
            waits.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.2)
    return waits


def adapted(host: Server) -> float:
    """Tasks that a host has adapted since it started, by its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return float(re.findall(r"^innerloop_adaptations_total (\S+)", text, re.MULTILINE)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="use-multilingual", help="an encoder of texts")
    parser.add_argument("--rounds", type=int, default=5, help="of throughput; 0: none")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one of them")
    parser.add_argument("--words", type=int, default=100, help="of each text")
    parser.add_argument("--changes", type=int, default=100, help="that the other host is told of; 0: none")
    parser.add_argument("--minutes", type=float, default=10.0, help="of mixed load; 0: none")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between kills")
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    options = parser.parse_args()

    def keep(name: str, row: dict[str, Any]) -> None:
        if not options.dry:
            rows = results.read(PLACE) if PLACE.exists() else {}
            results.write(rows | {name: about("benchmarks.hosts") | row}, PLACE)

    if options.rounds:
        row = speed(options.source, options.rounds, options.seconds, options.words)
        ratio = Spread.of([two / one for one, two in zip(row["one"], row["two"], strict=True)])
        print(
            f"two hosts to one: {ratio.middle:.2f} [{ratio.low:.2f} to {ratio.high:.2f}], at least 1.7: "
            f"{statistics.median(row['two']):,.0f} and {statistics.median(row['one']):,.0f} answers a second",
            flush=True,
        )
        keep("speed", row)
    if options.changes:
        waits = sorted(notices(options.source, options.changes))
        print(
            f"the other host is ready after {statistics.median(waits):.0f} ms, at most {waits[-1]:.0f}, of {len(waits)}"
        )
        keep("notices", {"milliseconds": waits})
    if options.minutes:
        with hosts(PLAIN) as several:
            found = mixed(several, PLAIN, numbers, 60 * options.minutes, options.every)
            print(f"{options.minutes:g} minutes, {several.restarts} restarts of the database: {said(found)}")
            kept = vars(found) | {"refused": found.refused[:10], "refusals": len(found.refused)}
            keep("kills", {"minutes": options.minutes, "restarts": several.restarts} | kept)


if __name__ == "__main__":
    main()
