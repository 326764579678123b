"""Which unlabelled examples to label next: those that are uncertain, unlike what was taught, and like many others.

Facility location with what is left to be learned as weights, by its greedy algorithm: Wei, Iyer and Bilmes 2015,
"Submodularity in Data Subset Selection and Active Learning", https://proceedings.mlr.press/v37/wei15.html.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.plain import plain
from innerloop.fewshot.classifier import Examples, FewShotClassifier
from innerloop.fewshot.evaluation import encoded_once
from innerloop.fewshot.nearest import distances
from innerloop.fewshot.task import Task

MOST = 2_000
"""Examples that are chosen among; of more, the least certain. The table of their likeness has as many rows and
columns."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """An example whose label would teach the most."""

    index: int
    """Its place among those that were given."""
    answer: str
    """What the task takes it for."""
    probability: float
    second: str
    """The next class."""
    second_probability: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def suggest(classifier: FewShotClassifier, X: Examples, n: int = 10) -> list[Suggestion]:
    """The unlabelled examples to label next, the most telling first.

    Each is chosen with those before it in mind: two that are alike are not both asked for. Nothing is drawn at random,
    so the same question has the same answer.

    Args:
        classifier: After `fit` or `load`; it is not changed.
        X: [m, ...] examples without labels.
        n: How many; fewer where there are fewer.

    Raises:
        InputError: n is no number of examples, there is none, or one cannot be read.
    """
    n = plain(n)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"a number of examples to label is 1 or more; got {n!r}")
    x = encoded_once(classifier, X)
    p = from_numpy(classifier.predict_proba(x))
    if not len(p):
        raise InputError("there is no example to choose from: give unlabelled ones")
    top, classes = p.topk(2, -1)
    names = [str(label) for label in classifier.task.classes]
    return [
        Suggestion(
            index=i,
            answer=names[int(classes[i, 0])],
            probability=float(top[i, 0]),
            second=names[int(classes[i, 1])],
            second_probability=float(top[i, 1]),
        )
        for i in most_telling(classifier.task, classifier.rows(x), p, n)
    ]


def most_telling(task: Task, rows: Tensor, probabilities: Tensor, n: int) -> list[int]:
    """Places of the n rows whose labels a task would learn most from, see `suggest`.

    Args:
        task: Which.
        rows: [m, ...] uint8 or float32.
        probabilities: [m, classes] what the task says of them.
        n: How many.
    """
    top = probabilities.topk(2, -1).values
    doubt = 1 - (top[:, 0] - top[:, 1])
    # Of those that are as uncertain the first.
    candidates = doubt.argsort(descending=True, stable=True)[:MOST].sort().values
    likeness, covered = _likeness(task, task.features(rows[candidates]))
    return candidates[_greedy(doubt[candidates].float(), likeness, covered, n)].tolist()


def _likeness(task: Task, features: Tensor) -> tuple[Tensor, Tensor]:
    """[m, m] how alike examples are, from 0 to 1, and [m] how like each is to the nearest that was taught."""
    _, known = task.taught
    between, taught = (distances(task, features, other).float() for other in (features, known))
    # As wide as examples usually lie apart.
    width = between.flatten()[:: max(1, between.numel() // 100_000)].median().clamp_min(1e-12)
    if not len(known):  # it knows its classes by their names alone
        return torch.exp(-between / width), torch.zeros(len(features))
    return torch.exp(-between / width), torch.exp(-taught / width).amax(1)


def _greedy(weight: Tensor, likeness: Tensor, covered: Tensor, n: int) -> list[int]:
    """The n of m examples that cover most of what weighs: each adds the most to those before it."""
    chosen: list[int] = []
    left = torch.ones_like(weight, dtype=torch.bool)
    for _ in range(min(n, len(weight))):
        gain = weight @ (likeness - covered[:, None]).clamp_min(0)
        best = int(torch.where(left, gain, -1).argmax())
        chosen.append(best)
        left[best] = False
        covered = torch.maximum(covered, likeness[:, best])
    return chosen
