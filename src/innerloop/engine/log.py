"""What a run says while it trains: `metrics.jsonl`, and a progress bar."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from innerloop.core import files


class Log:
    """Appends one JSON object a line; lines past a checkpoint are dropped when the run goes on from it."""

    def __init__(self, run: Path | None, step: int):
        self.path = None if run is None else run / "metrics.jsonl"
        self.lines: list[str] = []
        if self.path is not None and self.path.exists():
            kept = [line for line in self.path.read_text().splitlines() if _step(line) <= step]
            files.write(self.path, "".join(f"{line}\n" for line in kept))

    def add(self, **entry: Any) -> None:
        """Keep a line for the next `flush`; without a folder there is none."""
        if self.path is not None:
            self.lines.append(json.dumps(entry))

    def flush(self) -> None:
        """Bring the lines to the file."""
        if self.path is not None and self.lines:
            with files.writing(self.path), self.path.open("a") as file:
                file.write("".join(f"{line}\n" for line in self.lines))
        self.lines.clear()


class Bar:
    """Progress with the latest loss, score and speed."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task, self._best = progress, task, ""

    def best(self, text: str) -> None:
        """Show a validation result until the next one."""
        self._best = text

    def advance(self, metrics: dict[str, float]) -> None:
        """One step done."""
        said = " ".join(f"{k} {v:.4g}" for k, v in metrics.items())
        self._progress.update(self._task, advance=1, said=f"{said} {self._best}")


@contextlib.contextmanager
def progress(name: str, done: int, total: int, shown: bool = True) -> Iterator[Bar]:
    """A bar on standard error, with the time left; silent where that is no terminal, or not `shown`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as drawn:
        yield Bar(drawn, drawn.add_task(name, total=total, completed=done, said=""))


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut by a crash
