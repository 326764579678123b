"""Streams whose labels are known: a text is labelled by its first letters, in place of a network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from innerloop.apps.text.watch.correction import Confusion
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.tasks import Subject
from innerloop.apps.text.watch.watch import Watch
from innerloop.fewshot.classifier import FewShotClassifier

BEGIN = 1_767_225_600_000  # 2026
TOPICS, MOODS = "abc", "gh"
ENCODER = "tests.apps.text.watch.streams:Letters"
encoded: list[int] = []
"""How many texts each call of the encoder had."""


class Letters(nn.Module):
    """Features of a text: which letters it has."""

    kind = "texts"

    def forward(self, texts: list[str]) -> torch.Tensor:
        encoded.append(len(texts))
        return torch.tensor([[1.0 + 4 * (letter in text) for letter in TOPICS + MOODS] for text in texts])


class Known:
    """Two tasks that read the first two letters."""

    subjects = (
        Subject(
            name="topic",
            answers=tuple(TOPICS),
            confusion=Confusion(np.array([[18.0, 1, 1], [1, 18, 1], [1, 1, 18]])),
            digest="t",
        ),
        Subject(name="mood", answers=tuple(MOODS), confusion=Confusion(np.array([[18.0, 2], [2, 18]])), digest="m"),
    )

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.array([[TOPICS.index(text[0]), MOODS.index(text[1])] for text in texts])


def line(text: str, time: float, id: Any = None, **more: Any) -> bytes:
    """A line at so many seconds."""
    event = {"text": text, "time": BEGIN / 1000 + time} | ({} if id is None else {"id": id}) | more
    return json.dumps(event).encode()


def surging(hours: int = 14, each: int = 40, seed: int = 0, after: int = 8) -> list[bytes]:
    """Lines of some hours, in which topic a and mood h come up together after a while."""
    rng, lines = np.random.default_rng(seed), []
    for hour in range(hours):
        for i in range(each):
            topic = "a" if rng.random() < (0.1 if hour < after else 0.7) else "bc"[rng.integers(2)]
            mood = "h" if topic == "a" and hour >= after else MOODS[rng.integers(2)]
            lines.append(line(f"{topic}{mood} {hour}.{i}", 3600 * hour + 80 * i, id=len(lines), source="shop"))
    return lines


def settings(**changes: Any) -> Settings:
    """A short warm-up."""
    return Settings(**{"warmup": 5, "run_length": 100.0} | changes)


def watched(state: State, lines: list[bytes], batch: int = 100, told: list[str] | None = None, **changes: Any) -> Watch:
    """A watch that has taken lines, so many at once."""
    watch = Watch(Known(), settings(**changes), state, (told if told is not None else []).append)
    for first in range(0, len(lines), batch):
        watch.take(lines[first : first + batch], first)
    return watch


def alerts(state: State) -> list[str]:
    """Those of a state, as they are given out."""
    return [body for (body,) in state.connection.execute("SELECT body FROM alerts ORDER BY number")]


def write(path: Path, lines: list[bytes]) -> Path:
    """A file of lines."""
    path.write_bytes(b"".join(one + b"\n" for one in lines))
    return path


def sizes(state: State) -> Iterator[tuple[int, int]]:
    """Start, in hours, and number of events of each window of an hour."""
    rows = state.connection.execute("SELECT start, counts FROM windows ORDER BY start")
    return (((start - BEGIN) // 3_600_000, sum(json.loads(counts))) for start, counts in rows)


def teach(folder: Path) -> tuple[Path, Path]:
    """Two files on one encoder: topics a, b, c, and moods g, h."""
    files = []
    for name, letters in (("topic", TOPICS), ("mood", MOODS)):
        others = "".join(set(TOPICS + MOODS) - set(letters))
        classifier = FewShotClassifier.load(ENCODER, ("tests",), names="off", head="centroid")
        examples = [(letter + other, letter) for letter in letters for other in others]
        classifier.fit([text for text, _ in examples], [label for _, label in examples])
        files.append(classifier.save(folder / f"{name}.fewshot"))
    return files[0], files[1]
