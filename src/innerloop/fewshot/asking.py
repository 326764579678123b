"""What a file of `adapt` is asked: the class of examples, how good it is, and what to label next."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.rules import By
from innerloop.core.texts import FILES
from innerloop.evaluate import acquisition
from innerloop.evaluate.by_shots import ByShots
from innerloop.fewshot import evaluation, examples, paths, suggestions
from innerloop.fewshot import sets as answer_sets
from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.fewshot.shots import by_shots
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.pillow import called

_T = TypeVar("_T")


def opened(file: str | Path, context: Context) -> FewShotClassifier:
    """What a file of `adapt` holds.

    Raises:
        InputError: It is no such file, or names what the context does not allow.
    """
    return FewShotClassifier.load(paths.existing(file), context.allow)


def predictions(
    file: str | Path,
    data: Sequence[str | Path],
    reject: float | None = None,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    unread: list[str] | None = None,
    *,
    explain: int = 0,
    coverage: float | None = None,
    sets: float | None = None,
    read: Iterable[examples.Chunk] | None = None,
) -> Iterator[dict[str, Any]]:
    """The class of every example, with the probability of each class, most probable first.

    They are read, named and given out part by part, so that it does not matter how many they are.

    Args:
        file: What `adapt` wrote.
        data: Where examples are, see `examples.unlabelled`; `-`: standard input.
        reject: Another false-accept rate than the file was adapted with; None: that one.
        context: What the file may name.
        table: How a table of examples is read.
        unread: Where messages about files go that cannot be read, while the others are answered; None: the first one
            is raised.
        explain: How many of the nearest taught examples are given with each answer, as `nearest`.
        coverage: In place of `reject`: another share of examples of the classes that are to be named.
        sets: How often the `set` that is given with each answer is to hold the right class; None: none is given.
        read: The examples of `data`, where they were read already.

    Raises:
        InputError: An example cannot be read, or there is none that can.
    """
    classifier = opened(file, context)
    if reject is not None or coverage is not None:
        classifier = classifier.rejecting(reject, coverage)
    if sets is not None:
        answer_sets.check(classifier.task, sets)
    names = [str(name) for name in classifier.classes_.tolist()]
    key = "path" if classifier.kind in FILES else "text"
    count = 0
    if read is None:
        read = itertools.chain.from_iterable(
            examples.unlabelled(place, classifier.kind, table=table, unread=unread) for place in data
        )
    for part in read:
        for one, entry in _answered(classifier, part, names, explain, sets, unread):
            about = {"row": count} if isinstance(one, np.ndarray) else {key: called(one, count)}
            yield about | entry
            # Rows are numbered over all places, since they have no other name.
            count += 1
    if unread and not count:
        raise _none(unread)


def _answered(
    classifier: FewShotClassifier,
    part: examples.Chunk,
    names: list[str],
    explain: int,
    sets: float | None,
    unread: list[str] | None,
) -> Iterator[tuple[Any, dict[str, Any]]]:
    def entries(some: Any) -> list[dict[str, Any]]:
        asked = evaluation.encoded_once(classifier, some) if explain or sets is not None else some
        answers = [answer.to_json() for answer in classifier.answers(asked).each(names)]
        if sets is not None:
            held = ([str(label) for label in some] for some in classifier.predict_sets(asked, sets))
            answers = [answer | {"set": some} for answer, some in zip(answers, held, strict=True)]
        if not explain:
            return answers
        reasons = ([other.to_json() for other in near] for near in classifier.explain(asked, explain))
        return [answer | {"nearest": nearest} for answer, nearest in zip(answers, reasons, strict=True)]

    return _readable(classifier, part, entries, unread)


def _readable(
    classifier: FewShotClassifier, part: examples.Chunk, work: Callable[[Any], Sequence[_T]], unread: list[str] | None
) -> Iterator[tuple[Any, _T]]:
    """What `work` makes of every example of a part that can be read, beside it; see `predictions`."""
    try:
        results = work(part)
    except InputError:
        if unread is None or classifier.kind not in FILES or isinstance(part, np.ndarray):
            raise
        # Alone a picture gets the answer that it gets among others.
        for one in part:
            try:
                yield one, work([one])[0]
            except InputError as error:
                unread.append(str(error))
        return
    yield from zip(part, results, strict=True)


def _none(unread: list[str]) -> InputError:
    return InputError(unread[0] + (f" ({len(unread) - 1} more are like it)" if len(unread) > 1 else ""))


def evaluate(
    file: str | Path,
    data: str | Path | None = None,
    *,
    worst: int | None = None,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    progress: evaluation.Progress = lambda done, total: None,
) -> evaluation.Evaluation:
    """How good a file is, on labelled examples, or by cross-validation on its own.

    Args:
        file: What `adapt` wrote; it is not changed.
        data: Labelled examples that it has not learned from, see `examples.labelled`; None: its own.
        worst: How many wrong answers are shown; None: 20, or more where they are its own.
        context: What the file may name.
        table: How a table of examples is read.
        progress: Called while it goes on.

    Raises:
        InputError: There is no such file, examples cannot be read, or are of fewer than two of its classes.
    """
    classifier = opened(file, context)
    if data is None:
        return evaluation.cross_validate(classifier, name=str(file), worst=worst, progress=progress)
    raw, labels = examples.labelled(data, classifier.kind, table)
    place = "standard input" if str(data) == examples.STDIN else str(data)
    worst = evaluation.WORST if worst is None else worst
    return evaluation.evaluate(classifier, raw, labels, name=str(file), data=place, worst=worst, progress=progress)


def evaluate_shots(
    file: str | Path,
    data: str | Path | None,
    shots: Sequence[int],
    *,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    progress: evaluation.Progress = lambda done, total: None,
) -> ByShots:
    """How good a file would be with fewer examples, and what more of them would bring.

    Args:
        file: What `adapt` wrote; it is not changed.
        data: As of `evaluate`.
        shots: How many examples of each class it learns from.
        context: What the file may name.
        table: How a table of examples is read.
        progress: Called while it goes on.

    Raises:
        InputError: As of `evaluate` and `shots.by_shots`.
    """
    classifier = opened(file, context)
    if data is None:
        return by_shots(classifier, shots, progress=progress)
    raw, labels = examples.labelled(data, classifier.kind, table)
    return by_shots(classifier, shots, raw, labels, data=str(data), progress=progress)


def suggest(
    file: str | Path,
    data: Sequence[str | Path],
    n: int = 10,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    unread: list[str] | None = None,
    *,
    by: By = "margin",
    notices: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Which examples to label next, so that a file learns most from them, the most telling first.

    Args:
        file: What `adapt` wrote; it is not changed.
        data: Where examples are, see `examples.unlabelled`; `-`: standard input.
        n: How many; fewer where there are fewer.
        context: What the file may name.
        table: How a table of examples is read.
        unread: As of `predictions`.
        by: What uncertainty is, see `suggestions.suggest`.
        notices: Where it is said that examples were passed over, and why.

    Returns:
        For each its path, text or row, what the task takes it for, and the next class, in plain JSON.

    Raises:
        InputError: An example cannot be read, there is none that can, all were taught already, or the learner has one
            member where these are to disagree.
    """
    classifier = opened(file, context)
    acquisition.check_rule(by, classifier.learner)
    known: list[Any] = []
    rows: list[Tensor] = []
    for place in data:
        for part in examples.unlabelled(place, classifier.kind, table=table, unread=unread):
            for one, row in _readable(classifier, part, lambda some: list(classifier.rows(some)), unread):
                known.append(len(known) if isinstance(one, np.ndarray) else called(one, len(known)))
                rows.append(row)
    if unread and not rows:
        raise _none(unread)
    if not rows:
        raise InputError(suggestions.NOTHING)
    key = "row" if isinstance(known[0], int) else "path" if classifier.kind in FILES else "text"
    x = torch.stack(rows)
    p = from_numpy(classifier.predict_proba(Rows(x)))
    chosen = suggestions.most_telling(classifier.task, x, p, n, by)
    if not chosen.places:
        raise InputError(f"{'; '.join(chosen.notices)}: give unlabelled ones that it was not taught")
    if notices is not None:
        notices += chosen.notices
    places = suggestions.described(classifier.task, p, chosen.places)
    return [one.to_json() | {key: known[one.index]} for one in places]
