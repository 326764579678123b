"""Clients that teach and ask a server that may be killed, and keep a diary of what it acknowledged."""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.serve_process import Client

SHARED = "shared"
"""The task that all teach."""
_CLASSES = ("ant", "bee", "cat", "dog")
_MOST = 60


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
            self._begin(SHARED)
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
            self._ask(SHARED, self.shared_asked)
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
            status, content = self._client.ask("POST", f"/api/tasks/{SHARED}/examples", body)
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
        self._begin(SHARED)
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


def _shared_label(example: Any) -> str:
    return _CLASSES[len(str(example)) % len(_CLASSES)]


def _without(members: dict[int, tuple[str, Any]], id: int) -> dict[int, tuple[str, Any]]:
    return {k: v for k, v in members.items() if k != id}
