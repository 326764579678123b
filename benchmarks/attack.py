"""What a bystander notices while one server is attacked: small requests with large costs, and clients that only wait.

    python -m benchmarks.attack                    # some four minutes
    python -m benchmarks.attack --only texts idle --seconds 5 --dry

Everything stays on loopback: the server is started here on a store that is thrown away, attackers come from 127.0.0.2
and have a process of their own, and each attack has its seconds. Meanwhile a bystander at 127.0.0.1 asks one text and
one picture in turns, each time until there is an answer, and a teacher adds examples. At the end the server is killed
(-9), started again, and asked for all of them.
"""

import argparse
import base64
import contextlib
import http.client
import io
import itertools
import json
import multiprocessing
import shutil
import socket
import sqlite3
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.machine import cpu_seconds, elsewhere, noise
from benchmarks.serve import about, percentile
from benchmarks.serve_process import LETTERS, Client, Server
from innerloop.fewshot import sources

PLACE = Path(__file__).with_name("attack.json")
PICTURES, TEXTS = "kanji-protonet", "use-multilingual"
_ATTACKER = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
_SLOWEST, _LARGEST_MB = 1.0, 1_200
"""Goals: seconds of the bystander's 99th percentile, and memory of the server."""
_JSON = {"Content-Type": "application/json"}


def strip(width: int = 65_535) -> bytes:
    """A PNG of one row of black pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(1 + (width + 7) // 8), 9)
    head = struct.pack(">IIBBBBB", width, 1, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(strokes: int) -> str:
    """A drawing of some strokes, as base64."""
    from PIL import Image, ImageDraw

    image, out = Image.new("L", (64, 64), 255), io.BytesIO()
    for i in range(strokes):
        ImageDraw.Draw(image).line((8, 8 + 12 * i, 56, 8 + 9 * i), fill=0, width=4)
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


class Attack:
    """What one attacker does again and again until its time is over.

    Args:
        port: Of the server.
        end: When, by `time.perf_counter`.
    """

    def __init__(self, port: int, end: float):
        self.port, self.end = port, end
        self.asked = 0

    @property
    def over(self) -> bool:
        return time.perf_counter() > self.end

    def post(self, path: str, content: bytes, headers: dict[str, str] = _JSON) -> None:
        """Send one body again and again."""
        while not self.over:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(
                    "127.0.0.1",
                    self.port,
                    timeout=max(0.1, self.end - time.perf_counter()),
                    source_address=(_ATTACKER, 0),
                )
                with contextlib.closing(connection):
                    connection.request("POST", path, content, headers)
                    connection.getresponse().read()
            self.asked += 1

    def open(self, first: bytes, slow: bytes, count: int) -> None:
        """Hold connections open, each sending a piece now and then, and open those again that are closed."""
        held: list[socket.socket] = []
        for turn in itertools.count():
            if self.over:
                break
            while len(held) < count and not self.over:
                try:
                    one = socket.create_connection(("127.0.0.1", self.port), 1, (_ATTACKER, 0))
                    one.sendall(first)
                    one.setblocking(False)
                except OSError:
                    break
                held.append(one)
                self.asked += 1
            held = [one for one in held if _held(one, slow if turn % 10 == 0 else b"")]
            time.sleep(0.02)
        for one in held:
            one.close()

    def stream(self, first: bytes, piece: bytes) -> None:
        """Send without end, on a new connection whenever one is closed."""
        while not self.over:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1, (_ATTACKER, 0)) as one,
            ):
                one.sendall(first)
                while not self.over:
                    self.asked += one.send(piece) > 0


def _held(one: socket.socket, slow: bytes) -> bool:
    try:
        if slow:
            one.send(slow)
        elif not one.recv(65536):
            raise ConnectionError
    except BlockingIOError:
        return True
    except OSError:
        one.close()
        return False
    return True


def _feedback(label: str) -> bytes:
    return json.dumps({"label": label, "text": "a"}).encode()


_POST = (
    b"POST /api/tasks/texts/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
)
_LARGE = b"GET /static/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
_GET = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
ATTACKS: dict[str, tuple[str, int, Callable[[Attack], None]]] = {
    "nothing": ("no attack", 0, lambda attack: None),
    "strip": (
        "PNG of 65,535 x 1",
        4,
        lambda a: a.post(
            "/api/tasks/pictures/predict", json.dumps({"images": [base64.b64encode(strip()).decode()]}).encode()
        ),
    ),
    "wrong": (
        "JSON of 4 MB, every element wrong",
        4,
        lambda a: a.post("/api/tasks/texts/predict", b'{"texts": [' + b"0," * 1_990_000 + b"0]}"),
    ),
    "marks": (
        "label of 64,000 combining marks",
        4,
        lambda a: a.post("/api/tasks/texts/feedback", _feedback("\u0316\u0301" * 32_000)),
    ),
    "lists": (
        "31 MB of tiny lists",
        4,
        lambda a: a.post("/api/tasks/texts/predict", b"[" + b"[]," * 10_300_000 + b"[]]"),
    ),
    "texts": (
        "256 texts of 10,000 characters",
        6,
        lambda a: a.post("/api/tasks/texts/predict", json.dumps({"texts": ["lost card " * 1_000] * 256}).encode()),
    ),
    "idle": ("1,002 idle connections", 1, lambda a: a.open(b"", b"", 1_002)),
    "heads": ("1,002 heads, a letter at a time", 1, lambda a: a.open(_GET + b"X: ", b"x", 1_002)),
    "bodies": ("1,002 bodies, a byte at a time", 1, lambda a: a.open(_POST + b"1000\r\n\r\n", b" ", 1_002)),
    "unread": ("1,002 clients that do not read 4 MB", 1, lambda a: a.open(_LARGE, b"", 1_002)),
    "headers": ("headers without end", 4, lambda a: a.stream(_GET + b"X: ", b"x" * 65_536)),
    "lock": ("another process locks the store", 45, lambda a: a.post("/api/tasks/texts/feedback", _feedback("locked"))),
}
GONE = "gone"
GONE_TITLE = "`rm -r` of the store"


class Bystander(threading.Thread):
    """Asks one thing at a time, again until there is an answer, and notes how long that took."""

    def __init__(self, port: int, end: float):
        super().__init__(daemon=True)
        self.waits: list[float] = []
        self._port, self._end = port, end

    def run(self) -> None:
        client, drawn = Client(self._port), picture(3)
        asked = itertools.cycle([("texts", {"texts": ["how do I return this"]}), ("pictures", {"images": [drawn]})])
        while time.perf_counter() < self._end:
            (task, body), start = next(asked), time.perf_counter()
            while True:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if client.ask("POST", f"/api/tasks/{task}/predict", body)[0] == 200:
                        break
                if time.perf_counter() - start > 60:
                    break
                time.sleep(0.02)
            self.waits.append(time.perf_counter() - start)
            time.sleep(0.01)


class Teacher(threading.Thread):
    """Adds an example now and then, and keeps the ids of those that the server said it has."""

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.acknowledged: set[int] = set()
        self._port, self._halt = port, threading.Event()

    def run(self) -> None:
        client = Client(self._port)
        body = {"examples": [{"label": "card", "text": "my card is lost"}]}
        while not self._halt.wait(0.2):
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, content = client.ask("POST", "/api/tasks/taught/examples", body)
                if status == 201:
                    self.acknowledged.update(content["ids"])

    def stop(self) -> set[int]:
        """What it taught."""
        self._halt.set()
        self.join(130)
        return self.acknowledged

    def lost(self) -> int:
        """How many of them the server does not have now."""
        client, known, after = Client(self._port), set(), 0
        while True:
            status, page = client.ask("GET", f"/api/tasks/taught/examples?limit=1000&after={after}")
            if status != 200 or not page:
                return len(self.acknowledged - known)
            known |= {row["id"] for row in page}
            after = page[-1]["id"]


def prepare(server: Server, texts: str) -> None:
    """Tasks of texts and of pictures."""
    client = Client(server.port)
    for name, source in (("texts", texts), ("taught", texts), ("pictures", PICTURES)):
        assert client.ask("POST", "/api/tasks", {"name": name, "source": source})[0] == 201
    words = {"card": ["my card is lost", "block my card"], "hours": ["when do you open", "are you open on Sunday"]}
    examples = [{"label": label, "text": text} for label, texts_ in words.items() for text in texts_]
    for name in ("texts", "taught"):
        assert client.ask("POST", f"/api/tasks/{name}/examples", {"examples": examples})[0] == 201
    examples = [{"label": f"{n}", "image": picture(n)} for n in (1, 2, 4) for _ in range(2)]
    assert client.ask("POST", "/api/tasks/pictures/examples", {"examples": examples})[0] == 201


def peak(server: Server) -> float:
    """Megabytes that it held at most since it was asked last."""
    assert server.process is not None
    place = Path(f"/proc/{server.process.pid}")
    lines = (place / "status").read_text().splitlines()
    (place / "clear_refs").write_text("5")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def storm(orders: Connection) -> None:
    """A process of attackers: takes what, where and for how long, gives how much was sent."""
    with contextlib.suppress(EOFError):
        while True:
            name, port, seconds = orders.recv()
            _, count, attack = ATTACKS[name]
            attacks = [Attack(port, time.perf_counter() + seconds) for _ in range(count)]
            threads = [threading.Thread(target=attack, args=(one,), daemon=True) for one in attacks]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(seconds + 10)
            orders.send(sum(one.asked for one in attacks))


def attacked(server: Server, name: str, seconds: float, store: Path, attackers: Connection) -> dict[str, Any]:
    """One attack, and what the bystander and the server's memory say of it."""
    peak(server)
    bystander = Bystander(server.port, time.perf_counter() + seconds)
    with contextlib.closing(sqlite3.connect(store / "store.sqlite", isolation_level=None, timeout=5)) as other:
        if name == "lock":
            other.execute("BEGIN IMMEDIATE")
        attackers.send((name, server.port, seconds))
        bystander.start()
        bystander.join(seconds + 70)
        sent = attackers.recv()
    waits = bystander.waits
    return {
        "attack": ATTACKS[name][0],
        "sent": sent,
        "answers": len(waits),
        "median": percentile(waits, 50),
        "p99": percentile(waits, 99),
        "worst": max(waits),
        "peak": peak(server),
    }


def removed(server: Server, seconds: float, store: Path) -> dict[str, Any]:
    """The folder of the store is removed: what is acknowledged afterwards is lost."""
    teacher = Teacher(server.port)
    teacher.start()
    time.sleep(1.0)
    shutil.rmtree(store)
    time.sleep(0.5)  # what was being written
    before = len(teacher.acknowledged)
    time.sleep(seconds)
    return {"attack": GONE_TITLE, "lost": len(teacher.stop()) - before, "peak": peak(server)}


def _used(server: Server) -> float:
    return 0.0 if server.process is None else cpu_seconds(server.process.pid)


def line(row: dict[str, Any]) -> str:
    """A row of the table in docs/guide/serve.md."""
    if "p99" not in row:
        return f"| {row['attack']}, {row['lost']} acknowledged afterwards | | | | | {row['peak']:,.0f} MB |"
    waits = " | ".join(f"{1e3 * row[kind]:,.0f} ms" for kind in ("median", "p99", "worst"))
    return f"| {row['attack']} | {row['sent']:,} | {waits} | {row['peak']:,.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*ATTACKS, GONE), default=(*ATTACKS, GONE))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each attack")
    parser.add_argument("--texts", default=TEXTS if TEXTS in sources.installed() else LETTERS)
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    fork = multiprocessing.get_context("fork")
    attackers, orders = fork.Pipe()
    process = fork.Process(target=storm, args=(orders,), daemon=True)
    process.start()  # before there are threads
    began, before, used = time.perf_counter(), elsewhere(), 0.0
    with tempfile.TemporaryDirectory(prefix="innerloop-attack-") as folder:
        store = Path(folder) / "store"
        server = Server(store, f"{PICTURES} {options.texts}")
        server.start()
        try:
            prepare(server, options.texts)
            teacher = Teacher(server.port)
            teacher.start()
            print("| attack | sent | median | p99 | worst | peak |\n| --- | --- | --- | --- | --- | --- |", flush=True)
            for name in options.only:
                if name != GONE:
                    rows[name] = attacked(server, name, options.seconds, store, attackers)
                    print(line(rows[name]), flush=True)
            teacher.stop()
            used = _used(server)
            server.kill()
            server.start()
            lost = teacher.lost()
            if GONE in options.only:
                rows[GONE] = removed(server, min(5.0, options.seconds), store)
                print(line(rows[GONE]), flush=True)
                lost += rows[GONE]["lost"]
            used += _used(server)
        finally:
            server.kill()
    seen = about("benchmarks.attack")
    seen |= {"texts": options.texts, "acknowledged": len(teacher.acknowledged), "lost": lost}
    seen["noise"] = noise(before, elsewhere(used + cpu_seconds(process.pid or 0)), time.perf_counter() - began)
    slowest = max((row["p99"] for row in rows.values() if "p99" in row), default=0.0)
    largest = max(row["peak"] for row in rows.values())
    print(
        f"{options.texts} and {PICTURES}: p99 at most {slowest:.2f} s (goal {_SLOWEST:g}), memory at most "
        f"{largest:,.0f} MB (goal {_LARGEST_MB:,}), {lost} of {seen['acknowledged']} acknowledged examples lost "
        f"(goal 0). {seen['noise']}"
    )
    if not options.dry:
        results.write({"about": seen, "rows": rows}, PLACE)


if __name__ == "__main__":
    main()
