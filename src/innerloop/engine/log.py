"""The engine's own watchers: `metrics.jsonl`, and a progress bar."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.engine.config import TrainConfig
from innerloop.engine.watchers import Watcher


class Log(Watcher):
    """Appends one JSON object a line; lines past a checkpoint are dropped when the run goes on from it.

    Args:
        step: Of the checkpoint.
    """

    def __init__(self, step: int):
        self.after = step
        self.path: Path | None = None
        self.lines: list[str] = []

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        self.path = None if run is None else run / "metrics.jsonl"
        if self.path is not None and self.path.exists():
            # Lines after the checkpoint will be written again, and a metric must not stand there twice.
            kept = [line for line in _lines(self.path) if _step(line) <= self.after]
            files.write(self.path, "".join(f"{line}\n" for line in kept))

    def step(self, number: int, metrics: dict[str, float]) -> None:
        self._add(step=number, **metrics)

    def validated(self, number: int, scores: dict[str, Any]) -> None:
        # Beside the scores, which a resumed run repeats to the bit.
        time = {k: scores[k] for k in ("cpu_seconds",) if k in scores}
        self._add(step=number, validation={k: v for k, v in scores.items() if k not in time}, **time)

    def saving(self, number: int) -> None:
        # At a checkpoint, not at every step: lines past the last checkpoint would be dropped anyway.
        if self.path is not None and self.lines:
            files.append(self.path, "".join(f"{line}\n" for line in self.lines))
        self.lines.clear()

    def _add(self, **entry: Any) -> None:
        if self.path is not None:
            self.lines.append(json.dumps(entry))


class Bar(Watcher):
    """A bar on standard error with the latest loss, score and speed, and the time left; on a terminal only.

    Args:
        name: What is trained.
        done: Steps that were done before.
    """

    def __init__(self, name: str, done: int):
        self.name, self.done, self.best = name, done, ""
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[line]}"),
        )
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task: TaskID | None = None

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        self.task = self.progress.add_task(self.name, total=config.steps, completed=self.done, line="")
        self.progress.start()

    def step(self, number: int, metrics: dict[str, float]) -> None:
        if self.task is not None:
            line = " ".join(f"{k} {v:.4g}" for k, v in metrics.items()).replace("tasks_per_second", "tasks/s")
            self.progress.update(self.task, completed=number, line=f"{line} {self.best}")

    def validated(self, number: int, scores: dict[str, Any]) -> None:
        self.best = f"{scores.get('normalisation', '')} validation {scores['mean']:.4g}".lstrip()

    def ended(self, reason: str) -> None:
        self.progress.stop()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The entries of a `metrics.jsonl`, without lines that a crash cut or someone damaged; none where there is no file.

    Every entry has a number `step`; its `loss` and `score`, and `mean` and `ci95` of its `validation`, are numbers.
    """
    try:
        lines = _lines(path) if path.exists() else []
    except (InputError, OSError):  # it may not be read: a page can be shown without it
        return []
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _lines(path: Path) -> list[str]:
    try:
        # Of a line whose bytes are no text no number is read.
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot read {path}: {reason}. Remove it, or choose another folder") from error


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        scores = entry.get("validation", {"mean": 0, "ci95": 0})
        numbers = (entry["step"], entry.get("loss", 0), entry.get("score", 0), scores["mean"], scores["ci95"])
        named = isinstance(scores.get("score", ""), str) and isinstance(scores.get("normalisation", ""), str)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return entry if named and all(type(number) in (int, float) for number in numbers) else None


def _step(line: str) -> float:
    entry = _entry(line)
    return float("inf") if entry is None else entry["step"]
