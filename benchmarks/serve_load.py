"""A server that is killed while it works, and the replay that compares what it has with the diaries of its clients."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.serve_process import Client, Served
from benchmarks.serve_writers import SHARED, Asked, Writer

_REPLAYED = 3_000
_CLOSE = 1e-3
"""Probabilities that differ by less are the same: rounding depends on what else was in a batch."""


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
    shared = {row["id"]: row for row in _listed(server, SHARED)}
    found.lost += sum(id not in shared for thread in threads for _, id, _ in thread.shared)
    counts = _versions(server, SHARED)
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
