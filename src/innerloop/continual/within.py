"""How a task was learned while its rows arrived, from the metrics of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from innerloop.engine.metrics import read_metrics


def within(run: Path, stream: Mapping[str, Any]) -> dict[int, list[tuple[int, float]]]:
    """Rows of each task that had arrived and the score then, of its first visit; nothing without `curve_every`.

    Args:
        run: The folder.
        stream: Of its record.
    """
    size, starts = stream["batch_size"], {}
    curves: dict[int, list[tuple[int, float]]] = {}
    end = 0
    for entry in read_metrics(run / "metrics.jsonl"):
        if "current" in entry:
            starts.setdefault(entry["task"], end)
            if starts[entry["task"]] == end:  # its first visit
                curves.setdefault(entry["task"], []).append((size * (entry["step"] - end), entry["current"]))
        elif "scores" in entry:
            if entry["task"] is not None and starts.get(entry["task"], end) == end:
                value = entry["scores"][entry["task"]]
                curves.setdefault(entry["task"], []).append((size * (entry["step"] - end), value))
                starts.setdefault(entry["task"], end)
            end = entry["step"]
    return curves
