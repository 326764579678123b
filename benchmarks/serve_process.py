"""A server as a process of its own, a client that asks it, and sources that it needs no data for."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from benchmarks.machine import cpu_seconds

PLAIN = "benchmarks.serve_process:Plain"
"""A source whose rows are the numbers that were sent."""
LETTERS = "benchmarks.serve_process:Letters"
"""A source of texts."""
ROOT = Path(__file__).parents[1]
"""This checkout."""
_PROXY = (502, 504)
"""What a proxy says when no answer came from behind it."""
_UNKNOWN = b"may have been made or not"
"""What a store says that went away while it was asked to commit."""


class Plain(nn.Module):
    """Eight numbers, as they are."""

    kind = "features"
    features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Letters(nn.Module):
    """Texts as counts of letters, where no encoder is at hand."""

    kind = "texts"
    features = 26

    def forward(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[text.count(chr(97 + i)) + 0.1 for i in range(self.features)] for text in texts])


def numbers(r: random.Random) -> dict[str, list[float]]:
    """An example for `Plain`."""
    return {"features": [round(r.gauss(0, 1), 4) for _ in range(Plain.features)]}


class Server:
    """`innerloop serve` as a process of its own, on a port of its own.

    Args:
        store: Its folder, or the address of its database.
        source: The sources that it offers, with blanks between them.
        options: Further options of the command.
        log: Where it writes what it says; None: beside its folder.
        root: The checkout whose server it is.
        core: The one that it has, and no other; None: all.
    """

    def __init__(
        self,
        store: Path | str,
        source: str,
        *options: str,
        log: Path | None = None,
        root: Path = ROOT,
        core: int | None = None,
    ):
        self._root, self._core = root, core
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = [
            "serve",
            "--store",
            str(store),
            "--port",
            str(self.port),
            "--source",
            *source.split(),
            "--allow",
            "benchmarks",
        ]
        self._command = [sys.executable, "-m", "innerloop.cli.main", *words, *options]
        self._log = (log or Path(f"{store}.log")).open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, and wait until it answers; returns the seconds."""
        began = time.perf_counter()
        paths = os.pathsep.join(
            map(str, (self._root / "src", self._root))
        )  # benchmarks are no part of what is installed
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        with _on(self._core):  # what is started has the cores of who starts it
            self.process = subprocess.Popen(
                self._command,
                stdout=self._log,
                stderr=self._log,
                env=environment,
                cwd=self._root,
                start_new_session=True,
            )
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if Client(self.port).ask("GET", "/healthz")[0] == 200:
                    return time.perf_counter() - began
            if self.process.poll() is not None:
                raise RuntimeError(f"the server stopped with {self.process.returncode}: see {self._log.name}")
            if time.perf_counter() - began > 120:
                raise RuntimeError(f"the server did not answer in two minutes: see {self._log.name}")
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9` of it and of its workers."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; returns its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)

    def workers_seconds(self) -> float:
        """CPU seconds of its living workers, which are nobody's children any more when it is killed."""
        assert self.process is not None
        found = 0.0
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            with contextlib.suppress(ProcessLookupError):
                if pid != self.process.pid and os.getpgid(pid) == self.process.pid:
                    found += cpu_seconds(pid)
        return found

    def resident(self) -> float:
        """Megabytes that it holds."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the server stopped by itself with {self.process.returncode}: see {self._log.name}")
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextlib.contextmanager
def _on(core: int | None) -> Iterator[None]:
    """Have this thread run on one core alone for the length of the block; None: where it may anyway."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Reached(Protocol):
    """What answers on a port of this machine."""

    port: int


class Served(Reached, Protocol):
    """What is loaded and killed: a server, or several hosts behind a proxy."""

    def start(self) -> float:
        """Start what was killed, and wait until it answers; returns the seconds."""
        ...

    def kill(self) -> None:
        """`kill -9` of a part, which is nobody's turn twice."""
        ...

    def resident(self) -> float:
        """Megabytes that it holds."""
        ...


class Client:
    """One connection that is kept, and made again when it broke."""

    def __init__(self, port: int):
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and content.

        Raises:
            OSError: No answer came, so it is not known whether anything was done.
            http.client.HTTPException: Likewise.
        """
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            content = None if body is None else json.dumps(body)
            self._connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status in _PROXY or (answer.status == 503 and _UNKNOWN in text):
                raise ConnectionError(f"{answer.status} does not say whether anything was done")
        except BaseException:
            self._connection.close()
            self._connection = None
            raise
        return answer.status, json.loads(text) if text else None
