"""A server that is killed while it works, clients that keep a diary, and the replay that compares the two."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from benchmarks.machine import cpu_seconds

PLAIN = "benchmarks.serve_load:Plain"
"""A source whose rows are the numbers that were sent."""
_ROOT = Path(__file__).parents[1]
_CLASSES = ("ant", "bee", "cat", "dog")
_MOST = 60
_REPLAYED = 3_000
_SHARED = "shared"
_PROXY = (502, 504)
"""What a proxy says when no answer came from behind it."""
_UNKNOWN = b"may have been made or not"
"""What a store says that went away while it was asked to commit."""
_CLOSE = 1e-3
"""Probabilities that differ by less are the same: rounding depends on what else was in a batch."""


class Plain(nn.Module):
    """Eight numbers, as they are."""

    kind = "features"
    features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Server:
    """`innerloop serve` as a process of its own, on a port of its own.

    Args:
        store: Its folder, or the address of its database.
        source: The sources that it offers, with blanks between them.
        options: Further options of the command.
        log: Where it writes what it says; None: beside its folder.
    """

    def __init__(self, store: Path | str, source: str, *options: str, log: Path | None = None):
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
        paths = os.pathsep.join(map(str, (_ROOT / "src", _ROOT)))  # benchmarks are no part of what is installed
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, env=environment, cwd=_ROOT, start_new_session=True
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


@dataclass
class Asked:
    """A prediction that was answered."""

    version: int
    example: Any
    answer: dict[str, Any]


@dataclass
class Diary:
    """What one writer knows of its own task."""

    task: str
    reject: float | None
    versions: dict[int, dict[int, tuple[str, Any]]] = field(default_factory=lambda: {0: {}})
    """By version, by id: label and example."""
    asked: list[Asked] = field(default_factory=list)
    acknowledged: int = 0
    """Examples that the server said it has."""
    unknown: int = 0
    """Changes that got no answer and were looked up afterwards."""
    refused: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What a run with kills came to."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    """Examples that a task has and nobody knows of, or that were taught twice."""
    differing: int = 0
    """Versions that hold another number of examples than they should, or that should not be there."""
    asked: int = 0
    """Answers that came."""
    answers: int = 0
    """Those that were compared."""
    wrong: int = 0
    unknown: int = 0
    refused: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


class Writer(threading.Thread):
    """Teaches, corrects, rolls back and asks a task of its own, and teaches one that all share."""

    def __init__(
        self, port: int, number: int, source: str, make: Callable[[random.Random], Any], stop: threading.Event
    ):
        super().__init__(daemon=True)
        self.diary = Diary(f"own-{number}", 0.1 if number % 2 else None)
        self.shared: list[tuple[int, int, Any]] = []
        """Version, id and example of what it taught to the shared task."""
        self.shared_asked: list[Asked] = []
        self.failure: BaseException | None = None
        self._random, self._make, self._halt, self._source = random.Random(number), make, stop, source
        self._client = Client(port)

    def run(self) -> None:
        try:
            self._begin(self.diary.task, self.diary.reject)
            self._begin(_SHARED)
            while not self._halt.is_set():
                self._step()
        except BaseException as error:
            self.failure = error

    def _begin(self, task: str, reject: float | None = None) -> None:
        self._persist("POST", "/api/tasks", {"name": task, "source": self._source, "reject": reject}, (201, 409))

    def _step(self) -> None:
        r, now = self._random.random(), self._now()
        labels = {label for label, _ in now.values()}
        enough = len(labels) == len(_CLASSES) and len(now) >= 3 * len(_CLASSES)
        if not enough or (r < 0.15 and len(now) < _MOST):
            self._add(2 if enough else 4)
        elif r < 0.20:
            self._relabel(self._random.choice(list(now)))
        elif r < 0.25 or len(now) >= _MOST:
            self._change("DELETE", f"examples/{(id := self._random.choice(list(now)))}", None, _without(now, id))
        elif r < 0.27:
            to = self._random.choice(list(self.diary.versions)[:-1])
            self._change("POST", "rollback", {"version": to}, self.diary.versions[to])
        elif r < 0.32:
            self._teach_shared()
        elif r < 0.40:
            self._ask(_SHARED, self.shared_asked)
        else:
            self._ask(self.diary.task, self.diary.asked)

    def _now(self) -> dict[int, tuple[str, Any]]:
        return self.diary.versions[max(self.diary.versions)]

    def _add(self, count: int) -> None:
        examples = [(self._random.choice(_CLASSES), self._make(self._random)) for _ in range(count)]
        body = {"examples": [{"label": label} | example for label, example in examples]}
        now, version = self._now(), max(self.diary.versions)
        try:
            status, content = self._client.ask("POST", f"/api/tasks/{self.diary.task}/examples", body)
        except (OSError, http.client.HTTPException):
            if self._settled() == version:
                return
            listed = self._persist("GET", f"/api/tasks/{self.diary.task}/examples?limit=1000", None, (200,))
            ids = sorted(row["id"] for row in listed if row["id"] not in now)
            self._keep(version + 1, now | dict(zip(ids, examples, strict=True)))
            return
        if self._done(status, content):
            self.diary.acknowledged += count
            self._keep(content["version"], now | dict(zip(content["ids"], examples, strict=True)))

    def _relabel(self, id: int) -> None:
        label, now = self._random.choice(_CLASSES), self._now()
        self._change("PATCH", f"examples/{id}", {"label": label}, now | {id: (label, now[id][1])})

    def _change(self, method: str, path: str, body: Any, then: dict[int, tuple[str, Any]]) -> None:
        version = max(self.diary.versions)
        try:
            status, content = self._client.ask(method, f"/api/tasks/{self.diary.task}/{path}", body)
        except (OSError, http.client.HTTPException):
            if self._settled() != version:
                self._keep(version + 1, then)
            return
        if self._done(status, content):
            self._keep(content["version"], then)

    def _teach_shared(self) -> None:
        example = self._make(self._random)
        body = {"examples": [{"label": _shared_label(example)} | example]}
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, content = self._client.ask("POST", f"/api/tasks/{_SHARED}/examples", body)
            if self._done(status, content):
                self.shared.append((content["version"], content["ids"][0], example))

    def _ask(self, task: str, kept: list[Asked]) -> None:
        example = self._make(self._random)
        (kind, value), *_ = example.items()
        body = {"texts" if kind == "text" else kind: [value]}
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, content = self._client.ask("POST", f"/api/tasks/{task}/predict", body)
            if status != 409 and self._done(status, content):
                kept.append(Asked(content["version"], example, content["predictions"][0]))

    def _keep(self, version: int, then: dict[int, tuple[str, Any]]) -> None:
        if version != max(self.diary.versions) + 1:
            raise AssertionError(f"{self.diary.task}: version {version} after {max(self.diary.versions)}")
        self.diary.versions[version] = then

    def _settled(self) -> int:
        """The version after a change that got no answer."""
        self.diary.unknown += 1
        # Changes come one after the other, also one that is refused: what was being committed is over by its turn.
        self._begin(_SHARED)
        return self._persist("GET", f"/api/tasks/{self.diary.task}", None, (200,))["version"]

    def _persist(self, method: str, path: str, body: Any, wanted: tuple[int, ...]) -> Any:
        """Ask again until there is a server that answers."""
        for _ in range(1200):
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, content = self._client.ask(method, path, body)
                if status in wanted:
                    return content
                if status != 503:
                    raise AssertionError(f"{method} {path}: {status} {content}")
            time.sleep(0.1)
        raise AssertionError(f"{method} {path}: no answer in two minutes")

    def _done(self, status: int, content: Any) -> bool:
        if status not in (200, 201):
            self.diary.refused.append(f"{status} {content}")
            time.sleep(0.05)
        return status in (200, 201)


def mixed(
    server: Served,
    source: str,
    make: Callable[[random.Random], Any],
    seconds: float,
    every: float | None,
    writers: int = 4,
) -> Found:
    """Load a running server for a while, killing and starting it again, then compare what it has with the diaries.

    Args:
        server: It has been started.
        source: What tasks are taught to, offered by it.
        make: Draws an example, as its JSON.
        seconds: How long.
        every: Seconds between kills; None: there is none.
        writers: Clients.
    """
    found, stop = Found(), threading.Event()
    threads = [Writer(server.port, i, source, make, stop) for i in range(writers)]
    for thread in threads:
        thread.start()
    end = time.perf_counter() + seconds
    try:
        while (left := end - time.perf_counter()) > 0 and not any(t.failure for t in threads):
            time.sleep(min(left, every or 1.0))
            found.resident.append(server.resident())
            if every is not None:
                server.kill()
                found.kills += 1
                found.starts.append(server.start())
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=180)
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
    if every is not None:
        server.kill()  # and once more, so that what is compared was read from the disk
        found.kills += 1
        found.starts.append(server.start())
    compare(server, source, threads, found)
    return found


def compare(server: Served, source: str, threads: list[Writer], found: Found) -> None:
    """Count what was lost, and which answers a classifier that saw the same examples does not give.

    Of the versions that answered, `_REPLAYED` are drawn: each takes a classifier of its own.
    """
    replay, waiting = Replay(source, found), []
    for thread in threads:
        diary = thread.diary
        expected = diary.versions[max(diary.versions)]
        now = {row["id"]: row["label"] for row in _listed(server, diary.task)}
        found.lost += sum(now.get(id) != label for id, (label, _) in expected.items())
        found.doubled += sum(id not in expected for id in now)
        versions = _versions(server, diary.task)
        found.differing += sum(versions.get(v) != len(members) for v, members in diary.versions.items() if v)
        found.differing += sum(v not in diary.versions for v in versions)
        found.acknowledged += diary.acknowledged + len(thread.shared)
        found.unknown += diary.unknown
        found.refused += diary.refused
        waiting += [(diary, *group) for group in _grouped(diary.asked)]
    shared = {row["id"]: row for row in _listed(server, _SHARED)}
    found.lost += sum(id not in shared for thread in threads for _, id, _ in thread.shared)
    counts = _versions(server, _SHARED)
    drawn = {id: example for thread in threads for _, id, example in thread.shared}
    waiting += [(None, *group) for group in _grouped([a for thread in threads for a in thread.shared_asked])]
    found.asked = sum(len(asked) for _, _, asked in waiting)
    for diary, version, asked in random.Random(0).sample(waiting, min(len(waiting), _REPLAYED)):
        if diary is not None:
            members = diary.versions[version]
            replay.of([members[id] for id in sorted(members)], asked, diary.reject)
            continue
        ids = sorted(shared)[: counts[version]]
        if all(id in drawn for id in ids):  # an example whose teacher got no answer is known by its text alone
            replay.of([(shared[id]["label"], drawn[id]) for id in ids], asked)


class Replay:
    """What a classifier in this process answers that was fitted to the same examples.

    Args:
        source: What it learns from.
        found: Is told.
    """

    def __init__(self, source: str, found: Found):
        self._source, self._found = source, found
        self._known: dict[str, torch.Tensor] = {}

    def of(self, examples: list[tuple[str, Any]], asked: list[Asked], reject: float | None = None) -> None:
        """Answer what was asked of a task that held these examples, and compare."""
        from innerloop.fewshot.classifier import FewShotClassifier

        classifier = FewShotClassifier(self._source, reject=reject, allow=("benchmarks",))
        learned, questions = [example for _, example in examples], [a.example for a in asked]
        self._encode(classifier, learned + questions)
        classifier.fit(self._rows(learned), [label for label, _ in examples])
        said = classifier.answers(self._rows(questions))
        names = [str(name) for name in classifier.classes_]
        for a, p, accepted in zip(asked, said.probabilities, said.accepted, strict=True):
            served = a.answer["probabilities"]
            same = set(served) == set(names) and all(
                abs(served[name] - q) < _CLOSE for name, q in zip(names, p, strict=True)
            )
            self._found.answers += 1
            known = bool(accepted) == a.answer["accepted"] or self._narrow(classifier, a.example)
            self._found.wrong += not (same and known)

    def _encode(self, classifier: Any, examples: list[Any]) -> None:
        """Each example goes through the encoder once, however many versions hold it."""
        new = list({_key(e): e for e in examples if _key(e) not in self._known}.values())
        if new:
            self._known |= zip(map(_key, new), classifier.rows(_values(new)), strict=True)

    def _rows(self, examples: list[Any]) -> Any:
        from innerloop.fewshot.rows import Rows

        return Rows(torch.stack([self._known[_key(e)] for e in examples]))

    def _narrow(self, classifier: Any, example: Any) -> bool:
        """Whether an example lies on the threshold, so that rounding decides."""
        z = classifier._fitted().logits(self._rows([example]).x)
        return abs(float(z.max()) - classifier.calibration_.threshold) < _CLOSE


def _key(example: Any) -> str:
    return json.dumps(example)


def _values(examples: list[Any]) -> Any:
    values = [next(iter(example.values())) for example in examples]
    return values if isinstance(values[0], str) else torch.tensor(values, dtype=torch.float32)


def _versions(server: Served, task: str) -> dict[int, int]:
    rows = Client(server.port).ask("GET", f"/api/tasks/{task}/versions")[1]
    return {row["version"]: row["examples"] for row in rows}


def _listed(server: Served, task: str) -> list[dict[str, Any]]:
    client, found = Client(server.port), []
    while True:
        after = found[-1]["id"] if found else 0
        page = client.ask("GET", f"/api/tasks/{task}/examples?limit=1000&after={after}")[1]
        found += page
        if len(page) < 1000:
            return found


def _grouped(asked: list[Asked]) -> Iterator[tuple[int, list[Asked]]]:
    by: dict[int, list[Asked]] = {}
    for a in asked:
        by.setdefault(a.version, []).append(a)
    yield from sorted(by.items(), key=lambda pair: pair[0])


def _shared_label(example: Any) -> str:
    return _CLASSES[len(str(example)) % len(_CLASSES)]


def _without(members: dict[int, tuple[str, Any]], id: int) -> dict[int, tuple[str, Any]]:
    return {k: v for k, v in members.items() if k != id}


class Letters(nn.Module):
    """Texts as counts of letters, where no encoder is at hand."""

    kind = "texts"
    features = 26

    def forward(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[text.count(chr(97 + i)) + 0.1 for i in range(self.features)] for text in texts])


def numbers(r: random.Random) -> dict[str, list[float]]:
    """An example for `Plain`."""
    return {"features": [round(r.gauss(0, 1), 4) for _ in range(Plain.features)]}
