"""The engine's own watchers: `metrics.jsonl`, and a progress bar."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from innerloop.core import files
from innerloop.engine.config import TrainConfig
from innerloop.engine.metrics import lines_of, step_of
from innerloop.engine.watchers import Watcher

if TYPE_CHECKING:
    from rich.progress import TaskID


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
            kept = [line for line in lines_of(self.path) if step_of(line) <= self.after]
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
        # Here: who only adapts and predicts need not wait for it.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
