"""Which unlabelled examples to label next.

`evaluate.acquisition` says how they are chosen, `evaluate.active` measures how much it helps.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core.aligned import aligned, from_numpy
from innerloop.core.errors import InputError
from innerloop.core.plain import plain
from innerloop.core.rules import By
from innerloop.evaluate import acquisition
from innerloop.fewshot.classifier import Examples, FewShotClassifier
from innerloop.fewshot.evaluation import encoded_once
from innerloop.fewshot.nearest import distances
from innerloop.fewshot.repeats import as_taught_before, earlier
from innerloop.fewshot.rows import floats
from innerloop.fewshot.task import Task

MOST = 2_000
"""Examples that are chosen among; of more, the least certain. The table of their likeness has as many rows and
columns."""
_ASKED = 256
"""Rows that all members are asked about at once."""
NOTHING = "there is no example to choose from: give unlabelled ones"
"""What is said of an empty folder."""


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


class Chosen(NamedTuple):
    """Examples to label, of those that are worth it."""

    places: list[int]
    """Among those that were given, the most telling first."""
    known: int
    """How many of these were taught already."""
    again: int
    """How many of the others, of the least certain ones, are the same as one before them."""

    @property
    def notices(self) -> list[str]:
        """What was passed over, in a sentence each."""
        notices = []
        if self.known:
            notices.append(f"{_are(self.known)} taught already, and not suggested")
        if self.again:
            notices.append(f"{_are(self.again)} given more than once, and suggested once at most")
        return notices


def suggest(classifier: FewShotClassifier, X: Examples, n: int = 10, by: By = "margin") -> list[Suggestion]:
    """The unlabelled examples to label next, the most telling first.

    Each is chosen with those before it in mind: two that are alike are not both asked for. Nothing is drawn at random,
    so the same question has the same answer. What was taught already, and what is the same as an example before it, is
    left out.

    Args:
        classifier: After `fit` or `load`; it is not changed.
        X: [m, ...] examples without labels.
        n: How many; fewer where there are fewer.
        by: What uncertainty is: a small `margin` between the first two classes, the `entropy` of all of them, or the
            `mutual_information` of the answer and the member that gives it, for learners of several members.

    Raises:
        InputError: n is no number of examples, there is none, one cannot be read, or the learner has one member.
    """
    acquisition.check_rule(by, classifier.learner)
    x = encoded_once(classifier, X)
    p = from_numpy(classifier.predict_proba(x))
    if not len(p):
        raise InputError(NOTHING)
    return described(classifier.task, p, most_telling(classifier.task, classifier.rows(x), p, n, by).places)


def described(task: Task, p: Tensor, places: Sequence[int]) -> list[Suggestion]:
    """Chosen examples with what a task says of them.

    Args:
        task: Which.
        p: [m, classes] its probabilities.
        places: Of the chosen ones.
    """
    top, classes = p.topk(2, -1)
    names = [str(label) for label in task.classes]
    return [
        Suggestion(
            index=i,
            answer=names[int(classes[i, 0])],
            probability=float(top[i, 0]),
            second=names[int(classes[i, 1])],
            second_probability=float(top[i, 1]),
        )
        for i in places
    ]


def most_telling(task: Task, rows: Tensor, probabilities: Tensor, n: int, by: By = "margin") -> Chosen:
    """The n rows whose labels a task would learn most from, see `suggest`.

    Args:
        task: Which.
        rows: [m, ...] uint8 or float32.
        probabilities: [m, classes] what the task says of them.
        n: How many.
        by: What uncertainty is.

    Raises:
        InputError: n is no number of examples, or the learner has one member.
    """
    n = plain(n)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"a number of examples to label is 1 or more; got {n!r}")
    acquisition.check_rule(by, task.source.learner)
    taught, known = task.taught
    own = floats(task.rows[torch.tensor(taught, dtype=torch.long)]).flatten(1)
    fresh = (~as_taught_before(own, floats(rows).flatten(1))).nonzero()[:, 0]
    passed, again = len(rows) - len(fresh), 0
    if len(fresh):
        members = _members(task, rows[fresh]) if by == "mutual_information" else None
        doubt = acquisition.doubt(by, probabilities[fresh], members)
        # Of those that are as uncertain the first.
        some = doubt.argsort(descending=True, stable=True)[:MOST].sort().values
        first = torch.tensor(earlier(floats(rows[fresh[some]]).flatten(1))) < 0
        again, some = int((~first).sum()), some[first]
        seen = task.features(rows[fresh[some]])
        between, apart = (distances(task, seen, other).float() for other in (seen, known))
        fresh = fresh[some[acquisition.most_telling(doubt[some].float(), between, apart, n)]]
    return Chosen(fresh.tolist(), passed, again)


@torch.no_grad()
def _members(task: Task, rows: Tensor) -> Tensor:
    """[m, n, classes] probabilities of each member, without a temperature, which is one of their mean."""
    learner, ways = task.source.learner, len(task.classes)
    parts = [
        learner.predictive(task.source.params, task.adapted, floats(aligned(part))).outputs[..., :ways]
        for part in rows.split(_ASKED)
    ]
    return acquisition.several(torch.cat(parts, 1), learner)


def _are(count: int) -> str:
    return f"{count:,} example{' was' if count == 1 else 's were'}"
