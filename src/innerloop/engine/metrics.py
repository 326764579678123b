"""What a run wrote into its `metrics.jsonl`, read back; nothing that trains is imported for it."""

import json
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The entries of a `metrics.jsonl`, without lines that a crash cut or someone damaged; none where there is no file.

    Every entry has a number `step`; its `loss` and `score`, and `mean` and `ci95` of its `validation`, are numbers.
    """
    try:
        lines = lines_of(path) if path.exists() else []
    except (InputError, OSError):  # it may not be read: a page can be shown without it
        return []
    return [entry for line in lines if (entry := _entry(line)) is not None]


def lines_of(path: Path) -> list[str]:
    """The lines of the file; an `InputError` where it may not be read."""
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


def step_of(line: str) -> float:
    """The step of a line; past all others where the line is damaged."""
    entry = _entry(line)
    return float("inf") if entry is None else entry["step"]
