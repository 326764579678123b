"""Where the service meets the classifier: raw examples as rows, and tasks that were adapted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.dry_run import outputs
from innerloop.core.errors import InputError
from innerloop.core.rules import By
from innerloop.fewshot import class_names
from innerloop.fewshot.answers import Answer
from innerloop.fewshot.calibrate import Wanted
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import Progress, cross_validate
from innerloop.fewshot.nearest import Neighbour
from innerloop.fewshot.rows import Rows, floats, read
from innerloop.fewshot.settings import Names
from innerloop.fewshot.shots import by_shots
from innerloop.fewshot.sources import Source
from innerloop.fewshot.suggestions import Chosen, most_telling
from innerloop.fewshot.task import Task
from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits
from innerloop.service.store.held import Held
from innerloop.service.store.records import Naming
from innerloop.service.store.records import Task as Kept
from innerloop.tasks.images import Scan


class Raw(NamedTuple):
    """An example as a client sent it."""

    kind: str
    """pictures, sounds, texts or features."""
    value: Any
    """bytes, str or a list of numbers."""
    name: str
    """What errors call it."""
    label: str | None = None
    file: str | None = None
    """What it is called in the zip that it came in; None: it came by itself."""


class Measured(NamedTuple):
    """What the examples of a task say of it, in plain JSON."""

    calibration: dict[str, Any]
    head: dict[str, Any] | None
    """The head that it has, and why; None: its source takes none."""
    names: dict[str, Any] | None
    """Whether it learned from names of classes, and why; None: its source reads none."""
    tuning: dict[str, Any] | None
    """Whether the encoder was tuned before it came here as a file, and why; None: nobody asked for it."""


def check_kind(source: Source, raw: Sequence[Raw]) -> None:
    """Refuse examples of a kind that the source does not take.

    Raises:
        HTTPError: There is one.
    """
    numbers = source.kind == "features" or source.encoder is not None
    for example in raw:
        if example.kind != source.kind and not (example.kind == "features" and numbers):
            raise HTTPError(
                422,
                f"{example.name} is of the wrong kind: source '{source.name}' takes {source.kind}, not {example.kind}",
            )


def check_shape(task: Kept, rows: Sequence[np.ndarray], named: Sequence[Raw | Held]) -> None:
    """Refuse rows of another shape than a task has.

    Raises:
        HTTPError: There is one.
    """
    shape = task.shape or rows[0].shape
    for row, example in zip(rows, named, strict=True):
        if row.shape != shape:
            raise HTTPError(
                422,
                f"{example.name} has {row.size:,} numbers, and examples of task '{task.name}' have "
                f"{int(np.prod(shape)):,}",
            )


def check_ways(source: Source, shape: tuple[int, ...], ways: int) -> None:
    """Refuse more classes than a network with a fixed number of outputs can tell apart.

    Raises:
        InputError: They are too many.
    """
    most = ways if ways < 2 else outputs(source.learner, source.params, shape, ways)
    if most < ways:
        raise InputError(
            f"source '{source.name}' tells {most} classes apart, and these would be {ways}: take a source for any "
            "number of classes, such as kanji-protonet or a frozen encoder"
        )


def decide(source: Source, scans: Sequence[Scan]) -> Source:
    """The source as it is to be read once examples were learned from; see `rows.read`.

    Args:
        source: As it is read before.
        scans: The pictures among the examples, where they decide.
    """
    reading = source.reading
    if source.preprocessing is not None:
        reading = reading.of_scans(scans)
    elif reading.unit is None:
        reading = replace(reading, unit=1)  # numbers in JSON have no type
    return replace(source, reading=reading)


def naming_of(
    source: Source, names: Names | None, descriptions: Mapping[str, str] | None, classes: Sequence[str], limits: Limits
) -> Naming | None:
    """How a new task of a source learns from names of classes; None: it does not.

    Raises:
        HTTPError: The source reads none.
        InputError: Likewise, or they are too many, or no texts.
    """
    source = class_names.reading(source, names, descriptions)
    if classes and source.names in (None, "off"):
        raise HTTPError(422, f"source '{source.name}' does not learn from names of classes: leave out classes")
    if source.names is None:
        return None
    known = class_names.declared(classes) if classes else ()
    if len(known) > limits.classes:
        raise InputError(f"a task has at most {limits.classes:,} classes, these would be {len(known):,}")
    return Naming(asked=source.names, descriptions=source.descriptions, classes=known, shape=source.shape)


def encode(source: Source, raw: Sequence[Raw]) -> list[np.ndarray]:
    """Rows as the learner takes them: uint8 for pictures, float32 for features.

    Raises:
        InputError: One cannot be read, or has the wrong length.
    """
    rows: list[np.ndarray | None] = [None] * len(raw)
    # A request may hold texts and vectors at once, and a reader takes one kind.
    for kind in dict.fromkeys(example.kind for example in raw):
        places = [i for i, example in enumerate(raw) if example.kind == kind]
        these = [raw[i] for i in places]
        values: Any = [example.value for example in these]
        if kind == "features":
            values = np.stack([_vector(source, example, these[0]) for example in these])
        names = [example.name for example in these]
        for i, row in zip(places, read(values, source, names=names)[0].detach().cpu().numpy(), strict=True):
            rows[i] = np.ascontiguousarray(row)
    done = [row for row in rows if row is not None]
    for row, example in zip(done, raw, strict=True):
        if row.dtype != np.uint8 and not np.isfinite(row).all():
            raise InputError(f"{example.name} gives NaN or infinite features: leave it out")
    return done


class Adapted:
    """A task that has learned from its examples; many threads may ask it at once.

    Args:
        source: What it was taught to.
        rows: [n, ...] examples.
        labels: [n] their classes.
        wanted: What was asked of "none of these".
        named: Classes that are known by their names.

    Raises:
        InputError: They cannot be learned from.
    """

    def __init__(self, source: Source, rows: np.ndarray, labels: list[str], wanted: Wanted, named: Sequence[str] = ()):
        self.source = source
        self.classifier = FewShotClassifier(source, reject=wanted.strangers, coverage=wanted.coverage)
        """What learned; many ask it, nobody changes it."""
        if named:
            self.classifier.fit_names(named)
        if labels:
            self.classifier.partial_fit(Rows(from_numpy(rows)), labels)
        self._labels = [str(label) for label in self.classifier.classes_]
        self.shape = tuple(self.classifier.task.rows.shape[1:])
        """Shape of one row."""
        self.size = rows.nbytes * 4 + self.classifier.nbytes + 4096
        """Bytes that it takes, roughly: the rows as they came and as they are learned from, and what was learned."""

    def answer(self, rows: Sequence[np.ndarray], raw: Sequence[Raw]) -> list[Answer]:
        """The class of each row, which `encode` made of an example, together with others."""

        def again(i: int) -> Tensor:
            return from_numpy(np.stack(encode(self.source, raw[i : i + 1])))

        encoded = self.source.encoder is not None
        return self.classifier.answers(Rows(stacked(rows), again if encoded else None)).each(self._labels)

    @property
    def task(self) -> Task:
        """What was taught."""
        return self.classifier.task

    def sets(self, rows: Sequence[np.ndarray], coverage: float) -> list[list[str]]:
        """The fewest classes for each row that hold the right one so often.

        Raises:
            HTTPError: It has too few examples.
        """
        try:
            answers = self.classifier.predict_sets(Rows(stacked(rows)), coverage)
        except InputError as error:
            raise HTTPError(409, str(error)) from error
        return [[str(label) for label in some] for some in answers]

    def nearest(self, rows: Sequence[np.ndarray], n: int) -> list[list[Neighbour]]:
        """The n taught examples that are nearest to each row."""
        return self.classifier.explain(Rows(stacked(rows)), n)

    def most_telling(self, answered: Sequence[tuple[np.ndarray, Answer]], n: int, by: By) -> Chosen:
        """Places of the n examples, by their rows and answers, whose labels it would learn most from."""
        probabilities = [[answer.probabilities[label] for label in self._labels] for _, answer in answered]
        rows = stacked([row for row, _ in answered])
        return most_telling(self.classifier.task, rows, torch.tensor(probabilities, dtype=torch.float64), n, by)

    def evaluation(self, name: str, progress: Progress) -> dict[str, Any]:
        """How good it is by cross-validation on its own examples, in plain JSON.

        Raises:
            HTTPError: It has too few examples.
        """
        try:
            return cross_validate(self.classifier, name=name, progress=progress).to_json()
        except InputError as error:
            raise HTTPError(409, str(error)) from error

    def by_shots(self, shots: Sequence[int], progress: Progress) -> dict[str, Any]:
        """How good it would be with fewer of its examples, in plain JSON.

        Raises:
            HTTPError: It has too few examples.
        """
        try:
            return by_shots(self.classifier, shots, progress=progress).to_json()
        except InputError as error:
            raise HTTPError(409, str(error)) from error

    def measured(self) -> Measured:
        """What is known about its probabilities, its threshold, its head, its names and its encoder."""
        shown = self.classifier.show()
        return Measured(shown["calibration"], shown["head"], shown["names"], shown["tuning"])


def stacked(rows: Sequence[np.ndarray]) -> Tensor:
    """[n, ...] rows, bytes as long as all are."""
    if len({row.dtype for row in rows}) > 1:
        return torch.stack([floats(from_numpy(row)) for row in rows])
    return from_numpy(np.stack(rows))


def _vector(source: Source, raw: Raw, first: Raw) -> np.ndarray:
    row = np.asarray(raw.value, np.float32)
    encoded = source.kind == "features" and source.encoder is not None
    if source.shape is None or encoded:
        if row.size != len(first.value):
            raise InputError(
                f"{raw.name} has {row.size:,} numbers, and {first.name} has {len(first.value):,}: give equally many"
            )
        return row
    if row.size != int(np.prod(source.shape)):
        raise InputError(
            f"{raw.name} has {row.size:,} numbers; source '{source.name}' takes {int(np.prod(source.shape)):,}"
        )
    return row.reshape(source.shape)
