"""How good a taught task is: its answers to labelled examples, and every number that follows from them."""

import csv
import io
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from innerloop.core.interval import Share
from innerloop.evaluate.class_scores import (
    Bin,
    ClassScore,
    RiskCoverage,
    averages,
    class_scores,
    confusion,
    reliability,
    risk_coverage,
)
from innerloop.evaluate.temperature import expected_calibration_error

_POINTS = 200
"""Points of a curve in JSON and in figures, at most."""


@dataclass(frozen=True, kw_only=True)
class Error:
    """A wrong answer that was given, with what speaks for it."""

    example: str
    """A path, a text, or its number."""
    number: int | None
    """Its place in its class, from 1, of an example that the task was taught."""
    truth: str
    known: bool
    """Whether the task was taught the true class."""
    answer: str
    probability: float
    """What the answer has."""
    probability_of_truth: float | None
    """None where the true class is not known."""
    nearest: tuple[dict[str, Any], ...]
    """Taught examples that are nearest: label, number in its class, distance, row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Answers of a task to n labelled examples of its classes, and to others, which are counted apart."""

    task: str
    """What it is called, such as its file."""
    version: int
    source: str
    """What was taught."""
    method: str
    """What was asked, in words: "120 examples of holiday.csv", "5-fold cross-validation on its own 40 examples"."""
    folds: int | None
    """None: examples that were not learned from."""
    classes: tuple[str, ...]
    """Names of the classes, in their order."""
    truth: Tensor
    """[n] true classes."""
    probabilities: Tensor
    """[n, classes] float64."""
    accepted: Tensor
    """[n] bool; False: the answer was "none of these"."""
    reject: float | None
    """The false-accept rate that "none of these" was asked for at; None: it is never answered."""
    strangers: dict[str, Share]
    """Examples of classes that the task does not know, and how many of each are taken for one of its classes."""
    errors: tuple[Error, ...]
    """Those of `wrong` whose answer is furthest more probable than the truth. Of examples that were taught, those whose
    own label may be wrong."""
    wrong: int
    """How many answers are wrong, to strangers too where "none of these" can be answered."""
    notes: tuple[str, ...] = ()
    """What is to be known beside the numbers, a sentence each."""

    @cached_property
    def answers(self) -> Tensor:
        """[n] the most probable class, whether it was accepted or not."""
        return self.probabilities.argmax(-1)

    @cached_property
    def confidence(self) -> Tensor:
        """[n] its probability."""
        return self.probabilities.amax(-1)

    @property
    def accuracy(self) -> Share:
        """Share of the examples of its classes that are named correctly; a refused one is not."""
        return Share(int((self.right & self.accepted).sum()), len(self.truth))

    @property
    def right(self) -> Tensor:
        """[n] whether the most probable class is the true one."""
        return self.answers == self.truth

    @property
    def coverage(self) -> Share:
        """Share of the examples of its classes that is answered."""
        return Share(int(self.accepted.sum()), len(self.truth))

    @property
    def answered(self) -> Share:
        """Share of those that is answered correctly."""
        return Share(self.accuracy.count, self.coverage.count)

    @property
    def forced(self) -> Share:
        """Share that is named correctly if every example must be answered."""
        return Share(int(self.right.sum()), len(self.truth))

    @property
    def let_through(self) -> Share:
        """Share of the examples of unknown classes that are taken for one of the classes."""
        return Share(sum(s.count for s in self.strangers.values()), sum(s.of for s in self.strangers.values()))

    @cached_property
    def confusion(self) -> Tensor:
        """[classes, classes + 1] counts, true classes down; the last column is "none of these"."""
        return confusion(self.truth, torch.where(self.accepted, self.answers, -1), len(self.classes))

    @cached_property
    def per_class(self) -> dict[str, ClassScore]:
        """Precision, recall, F1 and support of every class that has examples or was answered."""
        counts = self.confusion[:, :-1]
        present = (counts.sum(0) + self.confusion.sum(1) > 0).tolist()
        scores = zip(self.classes, class_scores(self.confusion), present, strict=True)
        return {name: score for name, score, there in scores if there}

    @property
    def macro(self) -> ClassScore:
        """Mean over those classes."""
        return averages(list(self.per_class.values()))[0]

    @property
    def weighted(self) -> ClassScore:
        """Mean over their examples."""
        return averages(list(self.per_class.values()))[1]

    @cached_property
    def curve(self) -> RiskCoverage:
        """How often it would be wrong if it answered only what it is most sure of, by the largest probability."""
        return risk_coverage(self.confidence, self.right)

    @property
    def bins(self) -> list[Bin]:
        """Confidence and accuracy of answers of like confidence."""
        return reliability(self.confidence, self.right)

    @property
    def ece(self) -> float:
        """Expected calibration error of the most probable class. Few examples make it too large."""
        return expected_calibration_error(self.confidence, self.right)

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood of the true class, in nats."""
        true = self.probabilities.gather(1, self.truth[:, None])
        # A probability that has underflowed is not 0, and infinity could not be written as JSON.
        return abs(true.clamp_min(torch.finfo(true.dtype).tiny).log().mean().item())

    @property
    def points(self) -> list[tuple[float, float]]:
        """The risk-coverage curve, thinned to what can be drawn."""
        n = len(self.truth)
        places = sorted({round(i * (n - 1) / max(min(_POINTS, n) - 1, 1)) for i in range(min(_POINTS, n))})
        return [(self.curve.coverage[i].item(), self.curve.risk[i].item()) for i in places]

    def confusions(self, name: str) -> list[tuple[str, int]]:
        """What a class is taken for, most often first; "none of these" where it is refused."""
        row = self.confusion[self.classes.index(name)].tolist()
        names = [*self.classes, "none of these"]
        pairs = [(other, count) for other, count in zip(names, row, strict=True) if count and other != name]
        return sorted(pairs, key=lambda pair: -pair[1])

    def worst_classes(self, count: int | None = None) -> list[str]:
        """Classes by F1, the lowest first, of the same the more frequent one first.

        Args:
            count: How many at most; None: all.
        """
        scores = self.per_class
        return sorted(scores, key=lambda name: (scores[name].f1, -scores[name].support))[:count]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "task": self.task,
            "version": self.version,
            "source": self.source,
            "method": self.method,
            "folds": self.folds,
            "accuracy": self.accuracy.to_json(),
            "classes": {name: score._asdict() for name, score in self.per_class.items()},
            "macro": self.macro._asdict(),
            "weighted": self.weighted._asdict(),
            "confusion": {"classes": list(self.classes), "counts": self.confusion.tolist()},
            "risk_coverage": {"area": self.curve.area, "points": [list(point) for point in self.points]},
            "calibration": {"ece": self.ece, "bins": [_of_bin(one) for one in self.bins]},
            "nll": self.nll,
            "reject": self.reject,
            "coverage": self.coverage.to_json(),
            "accuracy_of_answered": self.answered.to_json(),
            "accuracy_if_forced": self.forced.to_json(),
            "strangers": self.let_through.to_json()
            | {"classes": {name: share.to_json() for name, share in self.strangers.items()}},
            "wrong": self.wrong,
            "errors": [asdict(error) | {"nearest": list(error.nearest)} for error in self.errors],
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """The table of classes: class, precision, recall, f1, support."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", *ClassScore._fields])
        writer.writerows([name, *score] for name, score in self.per_class.items())
        return file.getvalue()


def _of_bin(one: Bin) -> dict[str, float | int | None]:
    # JSON knows no NaN.
    return {name: value if value == value else None for name, value in one._asdict().items()}
