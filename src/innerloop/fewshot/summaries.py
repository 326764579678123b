"""What a task that was written to a file has come to: in plain JSON, and in words."""

from pathlib import Path
from typing import Any

from innerloop.core.names import printable
from innerloop.evaluate.calibration import Calibration
from innerloop.evaluate.rejection import LOW
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.repeats import repeats, sentences
from innerloop.fewshot.task import Task
from innerloop.tasks.notices import warn


def summary_of(file: str | Path, classifier: FewShotClassifier) -> dict[str, Any]:
    """What a file has come to, in plain JSON."""
    calibration = classifier.calibration_
    if (said := doubt(calibration)) is not None:
        warn(said)
    return {
        "file": str(file),
        "version": classifier.history[-1].version,
        "examples": classifier.examples_,
        "reject": classifier.reject,
        "coverage": classifier.coverage,
        "calibration": calibration.to_json(),
    } | {key: classifier.show()[key] for key in ("head", "names", "tuning", "budget")}


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
    calibration = Calibration(**summary["calibration"])
    return shots if calibration.threshold is None else f"{shots}. {calibration.sides}"


def drift_in_words(told: dict[str, Any]) -> str:
    """What is known of a task's drift, in a line."""
    accuracy = told["accuracy"]
    if told["reason"] is not None:
        return told["reason"]
    if not accuracy["count"]:
        return "no feedback yet"
    return f"none; {100 * accuracy['recent']:.0f}% of the last answers with feedback were right, of {accuracy['count']}"


def doubt(calibration: Calibration) -> str | None:
    """What to do about a threshold that leaves few examples of the classes an answer; None: it does not."""
    coverage = calibration.coverage
    if calibration.threshold is None or coverage is None or coverage >= LOW:
        return None
    return (
        f"only {100 * coverage:.0f}% of examples of the classes would be answered: teach more examples of each class, "
        "or a class for what comes often and is none of these; or let more strangers pass (--strangers), or ask for a "
        "--coverage"
    )
