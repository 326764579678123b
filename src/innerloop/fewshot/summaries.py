"""What a task that was written to a file has come to: in plain JSON, and in words."""

from pathlib import Path
from typing import Any

from innerloop.core.names import printable
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.repeats import repeats, sentences
from innerloop.fewshot.task import Task
from innerloop.tasks.notices import warn


def summary_of(file: str | Path, classifier: FewShotClassifier) -> dict[str, Any]:
    """What a file has come to, in plain JSON."""
    return {
        "file": str(file),
        "version": classifier.history[-1].version,
        "examples": classifier.examples_,
        "reject": classifier.reject,
        "calibration": classifier.calibration_.to_json(),
    } | {key: classifier.show()[key] for key in ("head", "names")}


def repeated(task: Task, since: int = 0) -> dict[str, Any]:
    """What was taught more than once, which is also said: a slip of the hand, or a label that is wrong."""
    said = sentences(repeats(task, since))
    for sentence in said:
        warn(sentence)
    return {"repeats": said}


def changed(summary: dict[str, Any]) -> str:
    """What a change to a file came to, in a line."""
    return f"{summary['file']} is at version {summary['version']}: {describe(summary)}"


def describe(summary: dict[str, Any]) -> str:
    """Classes with their examples, and what is known of "none of these", in a line."""
    shots = ", ".join(f"{printable(name)} ({count})" for name, count in summary["examples"].items())
    calibration = summary["calibration"]
    if calibration["threshold"] is None:
        return shots
    rate = Calibration(**calibration).rate
    known = "" if calibration["auroc"] is None else f", AUROC {calibration['auroc']:.3f}"
    coverage = f"{100 * calibration['coverage']:.0f}%"
    return (
        f'{shots}. "None of these" at a false-accept rate of {rate}: {coverage} of '
        f"examples of the classes are accepted{known} ({calibration['source']})"
    )
