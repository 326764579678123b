"""From labelled examples to a portable file, and to a file that knows more or less."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.encoders import hub
from innerloop.fewshot import examples, paths
from innerloop.fewshot import export as graphs
from innerloop.fewshot.asking import opened
from innerloop.fewshot.budget import checked
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.file import read as read_task
from innerloop.fewshot.settings import Head, Names
from innerloop.fewshot.summaries import repeated, summary_of
from innerloop.fewshot.tuning import checked_seconds
from innerloop.tasks.columns import TableOptions

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
    tune_encoder: float | None = None,
    budget: int | None = None,
    prior: str | None = None,
) -> dict[str, Any]:
    """Teach new classes to what was trained before, and keep what it learned.

    Args:
        source: A run folder, a shipped run, a frozen encoder, or `package.module:attribute` of a network.
        data: Labelled examples, see `examples.labelled`; `-`: standard input. None: there are `classes` alone.
        out: The file to write.
        reject: Share of examples of no class that may be taken for one; None: every example is named.
        context: What the source may name.
        head: What is fitted to the rows of an encoder, or of a run's map; None: as `FewShotClassifier` has it.
        table: How a table of examples is read.
        classes: That are known by their names, with examples or without.
        names: Whether names of classes are learned from; None: as `FewShotClassifier` has it.
        descriptions: A table of `label` and `text`, which says what classes are.
        download: Whether a source of the Hugging Face Hub is fetched first; otherwise nothing asks the network.
        coverage: In place of `reject`: share of examples of the classes that are to be named.
        tune_encoder: Seconds that tuning the encoder may take; None: it stays as it comes.
        budget: How many examples of each class stay; None: all of them.
        prior: A run over the rows of the source, which teaching starts from; None, as "none": the rows as they are.

    Returns:
        The file, the number of examples of each class, the calibration, the seconds it took once the source was
        loaded and the examples were found, and what was taught more than once, in plain JSON.

    Raises:
        InputError: They do not fit together; nothing is written.
    """
    if data is None and not classes:
        raise InputError(f"there is nothing to learn from: {_NOTHING}")
    said = None if descriptions is None else examples.described(descriptions)
    if tune_encoder is not None:
        checked_seconds(tune_encoder)
        if data is None:
            raise InputError("an encoder is tuned to examples, and there are names alone: leave out --tune-encoder")
    if download:
        hub.fetch(str(source))
    classifier = FewShotClassifier.load(
        source,
        context.allow,
        reject=reject,
        head=head,
        names=names,
        descriptions=said,
        coverage=coverage,
        tune_encoder=tune_encoder,
        budget=checked(budget),
        prior=prior,
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
    feedback: bool = False,
) -> dict[str, Any]:
    """Teach a file more examples, of classes that it knows or of new ones, and write it again.

    Args:
        file: What `adapt` wrote.
        data: Labelled examples, see `examples.labelled`; `-`: standard input. None: there are `classes` alone.
        context: What the file may name.
        table: How a table of examples is read.
        classes: New ones, that an encoder of texts knows by their names.
        feedback: Whether they came in use: they are asked before they are learned, by which drift is told.

    Raises:
        InputError: They do not fit together; the file stays as it was.
    """
    if data is None and not classes:
        raise InputError(f"there is nothing to add to {file}: {_NOTHING}")
    with files.locked(Path(file)):  # from reading to writing: of two at once, the second adds to what the first wrote
        classifier = opened(file, context)
        known = [str(label) for label in classifier.classes_.tolist()]
        raw, labels = ([], []) if data is None else examples.labelled(data, classifier.kind, table, known)
        if classes:
            classifier.add_names(classes)
        if data is not None:
            _ = classifier.feedback(raw, labels) if feedback else classifier.partial_fit(raw, labels)
        classifier.save(file)
    task = classifier.task
    # What was added last; a budget may have let earlier rows go, so that their number says nothing.
    since = min((first for _, first, _ in task.history.present.added), default=len(task.rows))
    return summary_of(file, classifier) | repeated(task, since)


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
        classifier = opened(file, context)
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
        classifier = opened(file, context)
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
    return {"file": str(file)} | opened(file, context).show()


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
    result = graphs.export(read_task(paths.existing(file), context.allow), out, to)
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
