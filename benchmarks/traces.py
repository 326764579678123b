"""What tracing costs a service: processor time of predictions without it, with it, and where its collector is down.

    python -m benchmarks.traces

Requests go to the application itself, without a network or a client, in turns, so that all ways see the same machine.
`--only off --json` prints the milliseconds of one way alone, also of a release that knows no traces, to be compared by
other processes.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from innerloop.service.http.app import create
from innerloop.service.settings import Settings

_WORDS = "tests.service.served:Words"
_COLLECTOR = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def ask(app, path: str, body: object) -> int:
    """Post to an application; returns the status."""
    content, status = json.dumps(body).encode(), 0

    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message):
        nonlocal status
        status = message.get("status", status)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(content)).encode()))
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}
    await app(scope | {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}, receive, send)
    return status


async def taught(app) -> None:
    """A task of two classes."""
    assert await ask(app, "/api/tasks", {"name": "t", "source": _WORDS}) == 201
    examples = [{"label": text[0], "text": text} for text in ("aaa", "aab", "bbb", "bbc")]
    assert await ask(app, "/api/tasks/t/examples", {"examples": examples}) == 201
    await asked(app, 50)


async def asked(app, count: int) -> float:
    """Milliseconds of the processor for one of so many predictions."""
    began = time.process_time()
    for _ in range(count):
        assert await ask(app, "/api/tasks/t/predict", {"texts": ["aab"]}) == 200
    return 1000 * (time.process_time() - began) / count


async def measured(ways: dict[str, str | None], count: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Milliseconds of each way, in each round."""
    apps = {}
    for way, address in ways.items():
        settings = Settings(store=str(folder / way), sources=(_WORDS,), allow=("tests",))
        # A release that knows no traces is asked without them.
        apps[way] = create(settings if address is None else dataclasses.replace(settings, traces=address))
        await taught(apps[way])
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways) if turn % 2 else reversed(list(ways)):
            found[way].append(await asked(apps[way], count))
    for app in apps.values():
        app.state.service.close()
    return found


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="predictions of each way in a round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", choices=["off"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))  # nobody listens there
        with subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True) as collector:
            assert collector.stdout is not None
            port = collector.stdout.readline().strip()
            ways = {"off": None, "on": f"http://127.0.0.1:{port}", "down": f"http://127.0.0.1:{free.getsockname()[1]}"}
            ways = {way: address for way, address in ways.items() if options.only in (None, way)}
            found = asyncio.run(measured(ways, options.count, options.rounds, Path(folder)))
            collector.kill()
    if options.json:
        print(json.dumps(found))
        return
    for way, times in found.items():
        ratios = [one / off for one, off in zip(times, found["off"], strict=True)]
        spread = f"[{min(times):.3f} to {max(times):.3f}]"
        print(f"{way:5} {statistics.median(times):.3f} ms {spread}, over off {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
