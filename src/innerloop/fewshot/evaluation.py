"""How good a task is, on labelled examples that it has not seen, or by cross-validation on those that it was taught."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.interval import Share
from innerloop.evaluate.evaluation import Error, Evaluation
from innerloop.fewshot.calibrate import NONE, NOTHING
from innerloop.fewshot.classifier import Examples, FewShotClassifier, Labels, Rows
from innerloop.fewshot.labels import labels, same_names
from innerloop.fewshot.nearest import Neighbour, nearest_examples
from innerloop.fewshot.repeats import as_taught_before, repeats, sentences
from innerloop.fewshot.rows import floats
from innerloop.fewshot.task import Task

__all__ = ["Error", "Evaluation", "cross_validate", "evaluate"]

FOLDS, WORST = 5, 20
_TENTH = 10
_NEAREST = 3
_CHUNK = 256
"""Examples that are asked at once."""
_SHOWN = 5
"""Names of classes in a sentence."""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """Answers to n examples, in the task's order of classes."""

    truth: list[str]
    """Names."""
    probabilities: Tensor
    accepted: Tensor
    examples: Callable[[int], str]
    """What example i is called."""
    numbers: Callable[[int], int | None]
    """Its number in its class, of an example that was taught."""
    nearest: Callable[[list[int]], list[list[Neighbour]]]


def evaluate(
    classifier: FewShotClassifier,
    X: Examples,
    y: Labels,
    *,
    name: str = "task",
    data: str = "",
    worst: int = WORST,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Ask a task about labelled examples that it has not learned from.

    Examples of classes that it does not know are counted apart: no answer but "none of these" is right for them.

    Args:
        classifier: After `fit`, `load`.
        X: [n, ...] examples.
        y: [n] their true classes.
        name: What the task is called.
        data: What the examples are called.
        worst: How many wrong answers are shown.
        progress: Called while it goes on.

    Raises:
        InputError: Examples that cannot be read, or of fewer than two classes of the task.
    """
    task = classifier.task
    raw: Any = X if isinstance(X, list | np.ndarray | Tensor | Rows) or hasattr(X, "iloc") else list(X)
    count = len(raw.x if isinstance(raw, Rows) else raw)
    truth = truths(y, count, task, data)
    taught = floats(task.rows[torch.tensor(task.taught[0], dtype=torch.long)]).flatten(1)
    parts, known = [], 0
    for start in range(0, count, _CHUNK):
        places = list(range(start, min(start + _CHUNK, count)))
        part = encoded_once(classifier, _some(raw, places))
        parts.append(classifier.answers(part))
        known += int(as_taught_before(taught, classifier.rows(part).flatten(1)).sum())
        progress(start + len(places), count)
    asked = _Asked(
        truth=truth,
        probabilities=torch.tensor(np.concatenate([part.probabilities for part in parts]), dtype=torch.float64),
        accepted=torch.tensor(np.concatenate([part.accepted for part in parts])),
        examples=lambda i: _called(raw, i),
        numbers=lambda i: None,
        nearest=lambda places: classifier.explain(_some(raw, places), _NEAREST),
    )
    method = f"{count:,} example{'s' * (count > 1)}" + (f" of {data}" if data else "")
    notes = []
    if known:
        notes.append(
            f"{known:,} of them {'are' if known > 1 else 'is'} among the examples that it was taught, which makes it "
            "look better than it is: ask about others, or about its own by cross-validation"
        )
    return _evaluation(task, asked, name=name, method=method, folds=None, worst=worst, notes=notes)


def cross_validate(
    classifier: FewShotClassifier,
    *,
    folds: int = FOLDS,
    name: str = "task",
    worst: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Ask a task about its own examples, each after learning from the others anew.

    The folds take from every class alike and are the same every time. A class with one example would be gone without
    it, so it is taught and never asked. Fewer examples are learned from than the task has, which makes it look a little
    worse than it is; examples that resemble each other, such as frames of one film, make it look better.

    Args:
        classifier: After `fit` or `load`; it is not changed.
        folds: How many at most; a class with fewer examples is in fewer of them.
        name: What the task is called.
        worst: How many wrong answers are shown; None: a tenth of the examples, but no fewer than 20, among which
            labels that are wrong themselves mostly are.
        progress: Called while it goes on.

    Raises:
        InputError: Fewer than two classes have two examples, or folds is less than 2.
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise InputError(f"cross-validation takes 2 or more folds; got {folds!r}")
    task = classifier.task
    members = task.history.members()
    several = {label: places for label, places in members.items() if len(places) > 1}
    tuning = task.source.tuning
    seen = set() if tuning is None else set(tuning.kept(floats(task.rows)).nonzero().flatten().tolist())
    several = {label: left for label, places in several.items() if (left := [p for p in places if p not in seen])}
    if seen and len(several) < 2:
        assert tuning is not None
        raise InputError(
            f"the encoder was tuned on {len(seen)} of the task's own examples, and asked about those it would look "
            f"better than it is: give labelled examples to evaluate on. When it was tuned: {tuning.reason}"
        )
    if len(several) < 2:
        raise InputError(
            f"cross-validation takes 2 examples of at least 2 classes, and {_list(several) or 'no class'} "
            f"{'has' if len(several) < 2 else 'have'} 2: give labelled examples to evaluate on, or teach more"
        )
    folds = min(folds, max(map(len, several.values())))
    # By place in its class, so that each fold takes from every class alike.
    fold_of = {row: i % folds for places in several.values() for i, row in enumerate(places)}
    label_of = {row: str(label) for label, places in members.items() for row in places}
    number_of = {row: i for places in members.values() for i, row in enumerate(places, 1)}
    rows, answers, neighbours, thresholds = sorted(fold_of), {}, {}, True
    for fold in range(folds):
        held = [row for row in rows if fold_of[row] == fold]
        trained, has_threshold = _without(task, held)
        thresholds &= has_threshold
        x = task.rows[torch.tensor(held)]
        fold_answers = classifier.holding(trained).answers(Rows(x))
        nearest = nearest_examples(trained, x, _NEAREST, members)
        for i, row in enumerate(held):
            answers[row] = (fold_answers.probabilities[i], bool(fold_answers.accepted[i]))
            neighbours[row] = nearest[i]
        progress(fold + 1, folds)
    asked = _Asked(
        truth=[label_of[row] for row in rows],
        probabilities=torch.tensor(np.stack([answers[row][0] for row in rows]), dtype=torch.float64),
        accepted=torch.tensor([answers[row][1] or not thresholds for row in rows]),
        examples=lambda i: f"{label_of[rows[i]]} #{number_of[rows[i]]}",
        numbers=lambda i: number_of[rows[i]],
        nearest=lambda places: [neighbours[rows[i]] for i in places],
    )
    if worst is None:
        worst = max(WORST, len(rows) // _TENTH)
    notes = []
    if single := [label for label, places in members.items() if len(places) == 1]:
        notes.append(f"classes of one example are taught and not asked: {_list(single)}")
    if seen:
        notes.append(f"{len(seen)} examples that the encoder was tuned on are taught and not asked")
    if bare := [label for label, places in members.items() if not places]:
        notes.append(f"classes without an example are known by their names and not asked: {_list(bare)}")
    notes += sentences(repeats(task))
    if not thresholds:
        notes.append('what is left without a fold is too little to say when to answer "none of these": it never is')
    method = f"{folds}-fold cross-validation on {len(rows):,} of its own examples"
    return _evaluation(
        task if thresholds else replace(task, wanted=NOTHING),
        asked,
        name=name,
        method=method,
        folds=folds,
        worst=worst,
        notes=notes,
    )


def encoded_once(classifier: FewShotClassifier, part: Any) -> Any:
    """Examples that are asked about more than once, as rows where an encoder, which is what takes long, makes them."""
    if classifier.task.source.encoder is None or not isinstance(part, list):
        return part
    return Rows(classifier.rows(part), lambda i: classifier.rows([part[i]]))


def _without(task: Task, held: Sequence[int]) -> tuple[Task, bool]:
    """The task that has never seen some of its examples, and whether it can still say "none of these"."""
    history = task.history.without(held)
    try:
        return task.at(history), True
    except InputError:
        if task.reject is None:
            raise
        return replace(task, wanted=NOTHING).at(history), False


def _evaluation(
    task: Task, asked: _Asked, *, name: str, method: str, folds: int | None, worst: int, notes: Sequence[str] = ()
) -> Evaluation:
    classes = [str(label) for label in task.classes]
    index = {label: i for i, label in enumerate(classes)}
    truth = torch.tensor([index.get(label, -1) for label in asked.truth])
    inside, best = truth >= 0, asked.probabilities.argmax(-1)
    wrong = asked.accepted & (best != truth)
    if task.reject is None:
        wrong &= inside  # every stranger gets an answer then: that is told by their number
    confidence = asked.probabilities.amax(-1)
    of_truth = asked.probabilities.gather(1, truth.clamp_min(0)[:, None])[:, 0]
    # Where labels are wrong, they are among the first, as by the normalized margin of Northcutt, Jiang and Chuang 2021,
    # https://arxiv.org/abs/1911.00068; its logarithm still tells apart what is all but certain.
    other = torch.where(inside, of_truth, 1 - confidence).clamp_min(torch.finfo(of_truth.dtype).tiny)
    against = confidence.log() - other.log()
    places = wrong.nonzero().flatten()
    places = places[against[places].argsort(descending=True, stable=True)][:worst].tolist()
    errors = [
        Error(
            example=asked.examples(i),
            number=asked.numbers(i),
            truth=asked.truth[i],
            known=bool(inside[i]),
            answer=classes[int(best[i])],
            probability=confidence[i].item(),
            probability_of_truth=of_truth[i].item() if bool(inside[i]) else None,
            nearest=tuple(one.to_json() for one in nearest),
        )
        for i, nearest in zip(places, asked.nearest(places) if places else [], strict=True)
    ]
    strangers = {
        label: Share(sum(bool(asked.accepted[i]) for i in rows), len(rows))
        for label in sorted({label for label in asked.truth if label not in index})
        if (rows := [i for i, other in enumerate(asked.truth) if other == label])
    }
    return Evaluation(
        task=name,
        version=task.history.present.version,
        source=task.source.name,
        method=method,
        folds=folds,
        classes=tuple(classes),
        truth=truth[inside],
        probabilities=asked.probabilities[inside],
        accepted=asked.accepted[inside],
        reject=task.reject,
        strangers=strangers,
        errors=tuple(errors),
        wrong=int(wrong.sum()),
        notes=tuple(notes),
    )


def truths(y: Labels, count: int, task: Task, data: str) -> list[str]:
    """Labels as names, in the spelling of the task; a table of words may name classes that are whole numbers.

    Args:
        y: [count] labels.
        count: How many there must be.
        task: That is to be asked.
        data: What the examples are called.

    Raises:
        InputError: They are no labels, or of fewer than two classes of the task.
    """
    truth = [str(label) for label in same_names(labels(y, count, NONE), task.classes)]
    _check_classes(truth, task, data or "the examples")
    return truth


def _check_classes(truth: Sequence[str], task: Task, data: str) -> None:
    known = {str(label) for label in task.classes}
    present = [label for label in dict.fromkeys(truth) if label in known]
    if not truth:
        raise InputError(f"{data} holds no example: give labelled ones of the classes {_list(task.classes)}")
    if not present:
        raise InputError(
            f"the task knows none of the classes of {data} ({_list(dict.fromkeys(truth))}): it was taught "
            f"{_list(task.classes)}"
        )
    if len(present) < 2:
        raise InputError(
            f"of the task's classes {data} has '{present[0]}' alone: give labelled examples of at least 2 of "
            f"{_list(task.classes)}"
        )


def _list(names: Any) -> str:
    names = list(map(str, names))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _called(raw: Any, i: int) -> str:
    one = raw[i] if isinstance(raw, list) else None
    return str(one) if isinstance(one, str | os.PathLike) else f"example {i + 1}"


def _some(raw: Any, places: list[int]) -> Any:
    if isinstance(raw, Rows):
        return Rows(raw.x[places])
    if isinstance(raw, list):
        return [raw[i] for i in places]
    return raw.iloc[places] if hasattr(raw, "iloc") else raw[places]
