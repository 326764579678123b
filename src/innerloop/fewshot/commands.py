"""From labelled examples to a portable file, from that to answers, and to a file that knows more or less."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.encoders import hub
from innerloop.fewshot import evaluation, examples
from innerloop.fewshot import export as graphs
from innerloop.fewshot import sets as answer_sets
from innerloop.fewshot.class_names import Names
from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.fewshot.file import read as read_task
from innerloop.fewshot.heads import Head
from innerloop.fewshot.suggestions import suggest as choose
from innerloop.fewshot.summaries import repeated, summary_of
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.pillow import called

_T = TypeVar("_T")

_NOTHING = "give labelled examples, or names of classes with --classes 'refund,delivery'"


def adapt(
    source: str | Path,
    data: str | Path | None,
    out: str | Path,
    reject: float | None = None,
    context: Context = Context(),
    head: Head | None = None,
    table: TableOptions = TableOptions(),
    *,
    classes: Sequence[str] = (),
    names: Names | None = None,
    descriptions: str | Path | None = None,
    download: bool = False,
    coverage: float | None = None,
) -> dict[str, Any]:
    """Teach new classes to what was trained before, and keep what it learned.

    Args:
        source: A run folder, a shipped run, a frozen encoder, or `package.module:attribute` of a network.
        data: Labelled examples, see `examples.labelled`; `-`: standard input. None: there are `classes` alone.
        out: The file to write.
        reject: Share of examples of no class that may be taken for one; None: every example is named.
        context: What the source may name.
        head: What is fitted to the rows of a frozen encoder; None: as `FewShotClassifier` has it.
        table: How a table of examples is read.
        classes: That are known by their names, with examples or without.
        names: Whether names of classes are learned from; None: as `FewShotClassifier` has it.
        descriptions: A table of `label` and `text`, which says what classes are.
        download: Whether a source of the Hugging Face Hub is fetched first; otherwise nothing asks the network.
        coverage: In place of `reject`: share of examples of the classes that are to be named.

    Returns:
        The file, the number of examples of each class, the calibration, the seconds it took once the source was
        loaded and the examples were found, and what was taught more than once, in plain JSON.

    Raises:
        InputError: They do not fit together; nothing is written.
    """
    if data is None and not classes:
        raise InputError(f"there is nothing to learn from: {_NOTHING}")
    said = None if descriptions is None else examples.described(descriptions)
    if download:
        hub.fetch(str(source))
    classifier = FewShotClassifier.load(
        source, context.allow, reject=reject, head=head, names=names, descriptions=said, coverage=coverage
    )
    # After loading, which says more about a file that is damaged; before the examples, which may be many.
    if files.is_file(Path(source)):
        raise InputError(f"{source} was adapted before: `innerloop add {source} {data}` teaches it more")
    raw, labels = ([], []) if data is None else examples.labelled(data, classifier.kind, table, classes)
    # Loading is paid once a process, reading depends on the disk: neither is what teaching costs.
    start = time.perf_counter()
    if classes:
        classifier.fit_names(classes)
    if data is not None:
        classifier.partial_fit(raw, labels)  # which fits where no class was named
    seconds = time.perf_counter() - start
    classifier.save(out)
    about = {"seconds": seconds, "learner": type(classifier.learner).__name__}
    return summary_of(out, classifier) | about | repeated(classifier.task)


def add(
    file: str | Path,
    data: str | Path | None,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    *,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """Teach a file more examples, of classes that it knows or of new ones, and write it again.

    Args:
        file: What `adapt` wrote.
        data: Labelled examples, see `examples.labelled`; `-`: standard input. None: there are `classes` alone.
        context: What the file may name.
        table: How a table of examples is read.
        classes: New ones, that an encoder of texts knows by their names.

    Raises:
        InputError: They do not fit together; the file stays as it was.
    """
    if data is None and not classes:
        raise InputError(f"there is nothing to add to {file}: {_NOTHING}")
    with files.locked(Path(file)):  # from reading to writing: of two at once, the second adds to what the first wrote
        classifier = _file(file, context)
        known = [str(label) for label in classifier.classes_.tolist()]
        raw, labels = ([], []) if data is None else examples.labelled(data, classifier.kind, table, known)
        before = len(classifier.task.rows)
        if classes:
            classifier.add_names(classes)
        if data is not None:
            classifier.partial_fit(raw, labels)
        classifier.save(file)
    return summary_of(file, classifier) | repeated(classifier.task, before)


def drop(file: str | Path, label: str, context: Context = Context()) -> dict[str, Any]:
    """Take a class out of a file; `undo` brings it back.

    Args:
        file: What `adapt` wrote.
        label: The class.
        context: What the file may name.

    Raises:
        InputError: There is no such class, or too few are left; the file stays as it was.
    """
    with files.locked(Path(file)):
        classifier = _file(file, context)
        # A command line has words only; the classes may be whole numbers.
        known = {str(name): name for name in classifier.classes_.tolist()}
        classifier.drop_class(known.get(label, label))
        classifier.save(file)
    return summary_of(file, classifier)


def undo(file: str | Path, to: int | None = None, redo: bool = False, context: Context = Context()) -> dict[str, Any]:
    """Take a file back by one version, or to any version; the versions after it stay in the file.

    Args:
        file: What `adapt` wrote.
        to: A version; None: before the last change.
        redo: Take back the last undo instead.
        context: What the file may name.

    Raises:
        InputError: There is no such version; the file stays as it was.
    """
    if redo and to is not None:
        raise InputError(f"--redo goes to what was undone last: leave out --to {to}")
    with files.locked(Path(file)):
        classifier = _file(file, context)
        _ = classifier.redo() if redo else classifier.undo(to)
        classifier.save(file)
    return summary_of(file, classifier)


def show(file: str | Path, context: Context = Context()) -> dict[str, Any]:
    """What is in a file, in plain JSON: source, classes, calibration and versions.

    Args:
        file: What `adapt` wrote.
        context: What the file may name.

    Raises:
        InputError: It is no such file.
    """
    return {"file": str(file)} | _file(file, context).show()


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

    Raises:
        InputError: An example cannot be read, or there is none that can.
    """
    classifier = _file(file, context)
    if reject is not None or coverage is not None:
        classifier = classifier.rejecting(reject, coverage)
    if sets is not None:
        answer_sets.check(classifier.task, sets)
    names = [str(name) for name in classifier.classes_.tolist()]
    key = "path" if classifier.kind == "pictures" else "text"
    count = 0
    for place in data:
        for part in examples.unlabelled(place, classifier.kind, table=table, unread=unread):
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
        if unread is None or classifier.kind != "pictures" or isinstance(part, np.ndarray):
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
    classifier = _file(file, context)
    if data is None:
        return evaluation.cross_validate(classifier, name=str(file), worst=worst, progress=progress)
    raw, labels = examples.labelled(data, classifier.kind, table)
    place = "standard input" if str(data) == examples.STDIN else str(data)
    worst = evaluation.WORST if worst is None else worst
    return evaluation.evaluate(classifier, raw, labels, name=str(file), data=place, worst=worst, progress=progress)


def suggest(
    file: str | Path,
    data: Sequence[str | Path],
    n: int = 10,
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    unread: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Which examples to label next, so that a file learns most from them, the most telling first.

    Args:
        file: What `adapt` wrote; it is not changed.
        data: Where examples are, see `examples.unlabelled`; `-`: standard input.
        n: How many; fewer where there are fewer.
        context: What the file may name.
        table: How a table of examples is read.
        unread: As of `predictions`.

    Returns:
        For each its path, text or row, what the task takes it for, and the next class, in plain JSON.

    Raises:
        InputError: An example cannot be read, or there is none that can.
    """
    classifier = _file(file, context)
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
        raise InputError("there is no example to choose from: give unlabelled ones")
    key = "row" if isinstance(known[0], int) else "path" if classifier.kind == "pictures" else "text"
    chosen = choose(classifier, Rows(torch.stack(rows)), n)
    return [one.to_json() | {key: known[one.index]} for one in chosen]


def export(
    file: str | Path, out: str | Path, to: graphs.Format | None = None, context: Context = Context()
) -> dict[str, Any]:
    """Write an adapted task as ONNX or `.pt2`, once it was seen to answer as the task does.

    Args:
        file: What `adapt` wrote.
        out: The file to write.
        to: Its format; None: as the ending of `out` says.
        context: What the file may name.

    Returns:
        The file, its size in bytes, what goes in and comes out, the largest difference to the original, and the time of
        both for one input, in plain JSON.

    Raises:
        InputError: There is no such file, the learner cannot be a graph, or a package is missing.
        FailedError: The graph does not answer as the task does; nothing is written.
    """
    # A graph cannot be taught: writing it over the task would lose all versions.
    if files.is_file(Path(out)) and files.is_file(Path(file)) and Path(out).samefile(file):
        raise InputError(f"{out} is the task itself: give another file to write")
    result = graphs.export(read_task(Path(file), context.allow), out, to)
    checked = result.checked
    return {
        "file": str(result.path),
        "format": result.format,
        "bytes": result.bytes,
        "seconds": result.seconds,
        "input": result.about["input"],
        "outputs": result.about["outputs"],
        "classes": result.about["classes"],
        "inputs_checked": checked.inputs,
        "largest_difference": checked.difference,
        "beyond_tolerance_by_rounding": checked.rounding,
        "milliseconds_an_input": 1e3 * checked.seconds / checked.inputs,
        "milliseconds_of_original": 1e3 * checked.seconds_of_original / checked.inputs,
    }


def _file(file: str | Path, context: Context) -> FewShotClassifier:
    if not files.is_file(Path(file)):
        what = "is a folder" if files.is_folder(Path(file)) else "does not exist"
        raise InputError(f"{file} {what}; give a file that `innerloop adapt` wrote")
    return FewShotClassifier.load(Path(file), context.allow)
