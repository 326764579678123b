"""What a run folder has for trackers, read as plain JSON: settings, steps, results of tests, pictures."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from innerloop.track.base import Point, Setting

TRACKING = "tracking"
"""Folder in a run folder, for trackers' own files."""
PICTURES = "pictures"
"""Folder in that one, for pictures that are to be sent."""
_STRANGE = re.compile(r"[^\w./ -]", re.ASCII)


class Curve(NamedTuple):
    """Scores after 0, 1, ... inner steps."""

    name: str
    points: list[Point]


class Tested(NamedTuple):
    """What one result file says."""

    values: dict[str, Setting]
    curve: Curve | None


def settings(run: Path) -> dict[str, Setting]:
    """Hyper-parameters of a run, flat: `learner.inner_lr`, `train.steps`, `record.task.ways`; none that are unset."""
    config = read_json(run / "config.json")
    found: dict[str, Setting] = {}
    learner = config.get("learner")
    if isinstance(learner, Mapping):
        found["learner"] = str(learner.get("class", "")).rpartition(":")[2]
        _flatten("learner", learner.get("fields"), found)
    for part in ("train", "record"):
        _flatten(part, config.get(part), found)
    return found


def read_points(path: Path, offset: int, after: int) -> tuple[list[Point], int]:
    """Steps and validations that were written since.

    Args:
        path: Of `metrics.jsonl`.
        offset: Bytes that were read before.
        after: Steps up to this one were sent before.

    Returns:
        They, and how many bytes were read; a line that is still being written is left for the next time.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    points: list[Point] = []
    for line in whole.splitlines():
        point = _point(line)
        if point is None or point.step <= after:
            continue
        if points and points[-1].step == point.step:
            points[-1].values.update(point.values)
        else:
            points.append(point)
    return points, offset + len(whole)


def tests(run: Path) -> Iterator[tuple[str, str, Path]]:
    """Result files of a run: name, a digest of what they hold, path."""
    yield from ((path.name, digest(path), path) for path in sorted(run.glob("test-*.json")))


def pictures(run: Path) -> Iterator[tuple[str, str, Path]]:
    """Pictures of a run that are to be sent, likewise."""
    for path in sorted((run / TRACKING / PICTURES).glob("*.png")):
        yield path.name, digest(path), path


def digest(path: Path) -> str:
    """What tells a file's content from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def tested(path: Path) -> Tested | None:
    """What a result file says; None: it is none."""
    content = read_json(path)
    protocol = content.get("protocol")
    if not isinstance(protocol, Mapping):
        return None
    metric, task = clean(str(protocol.get("metric", "score"))), _task(protocol.get("sampler"), str(content.get("hash")))
    label = content.get("baseline")
    name = f"test/{task}" + (f"/{clean(str(label))}" if label else "")
    numbers = {metric: content.get("mean"), **{k: content.get(k) for k in ("ci95", "seconds_per_task")}}
    reliability = content.get("reliability")
    if isinstance(reliability, Mapping):
        numbers |= {k: reliability.get(k) for k in ("ece", "temperature", "calibrated")}
    values: dict[str, Setting] = {f"{name}/{k}": float(v) for k, v in numbers.items() if _number(v)}
    values |= {f"{name}/episodes": int(v) for v in (protocol.get("episodes"),) if _number(v)}
    values[f"{name}/normalisation"] = str(protocol.get("normalisation"))
    points = [
        Point(int(row[0]), {f"adaptation/{task}/{metric}": float(row[1])})
        for row in content.get("curve") or ()
        if isinstance(row, list) and len(row) >= 2 and _number(row[0]) and _number(row[1])
    ]
    return Tested(values, Curve(f"adaptation/{task}/{metric}", points) if points and not label else None)


def clean(name: str) -> str:
    """A name with the characters that all trackers take."""
    return _STRANGE.sub("_", name)[:200]


def _task(sampler: Any, mark: str) -> str:
    about = sampler if isinstance(sampler, Mapping) else {}
    words = [str(about.get("dataset") or about.get("kind") or "tasks").replace("/", "_")]
    words += [
        f"{_range(about[k])}{letter}" for k, letter in (("ways", "w"), ("shots", "s")) if about.get(k) is not None
    ]
    return clean("-".join([*words, mark[:4]]))


def _range(value: Any) -> str:
    return "to".join(map(str, value)) if isinstance(value, list) else str(value)


def _point(line: bytes) -> Point | None:
    try:
        entry = json.loads(line)
        step = entry.pop("step")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if type(step) is not int:
        return None
    validation = entry.pop("validation", None)
    kind = "train"
    if isinstance(validation, Mapping):
        kind = "validation"
        score = clean(str(validation.get("score", "score")))
        entry |= {score: validation.get("mean"), "ci95": validation.get("ci95")}
    values = {f"{kind}/{clean(k)}": float(v) for k, v in entry.items() if _number(v)}
    return Point(step, values) if values else None


def _flatten(prefix: str, value: Any, found: dict[str, Setting]) -> None:
    if isinstance(value, Mapping) and set(value) == {"class", "fields"}:
        found[prefix] = str(value["class"]).rpartition(":")[2]
        value = value["fields"]
    if isinstance(value, Mapping) and set(value) == {"callable"}:
        value = str(value["callable"]).rpartition(":")[2]
    if isinstance(value, Mapping) and set(value) == {"tuple"}:
        value = value["tuple"]
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}", inner, found)
    elif isinstance(value, list):
        found[prefix] = ", ".join(map(str, value))[:250]
    elif isinstance(value, str | int | float | bool):
        found[prefix] = value[:250] if isinstance(value, str) else value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: Any) -> TypeGuard[int | float]:
    return type(value) in (int, float) and math.isfinite(value)
