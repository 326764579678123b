"""One or two taught tasks asked about the same texts, each of which is encoded once where they share an encoder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from innerloop.apps.text.watch import correction
from innerloop.apps.text.watch.correction import Confusion
from innerloop.apps.text.watch.settings import Settings
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.encoders.base import content_of
from innerloop.fewshot import asking, paths
from innerloop.fewshot.calibrate import NONE
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import encoded_once
from innerloop.tasks.tables import is_table

MOST = 2
_PAIRS = 2_000
"""Pairs of answers of two tasks: a window is corrected by a table with as many rows and columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What one task says of a text."""

    name: str
    answers: tuple[str, ...]
    """Its classes, and "none of these" where it may say so."""
    confusion: Confusion | None
    """What it answers to held-out examples of each; None: unknown."""
    digest: str
    """Hash of what was taught, by which another task is told from it."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What tasks that are tables are taught to."""

    source: str = "use-multilingual"
    """An encoder of texts, or a run over its rows."""
    prior: tuple[str, ...] = ()
    """A run that teaching starts from, such as polarity, or none: one for all tables, or one for each task."""

    def of(self, place: int, count: int) -> str | None:
        """The prior of one of so many tasks.

        Raises:
            InputError: They are as many as neither.
        """
        if len(self.prior) not in (0, 1, count):
            raise InputError(f"{len(self.prior)} priors are given for {count} tasks: give one, or one for each")
        return None if not self.prior else self.prior[place if len(self.prior) == count else 0]


class Labels(Protocol):
    """What says what texts are about."""

    @property
    def subjects(self) -> Sequence[Subject]:
        """One or two."""
        ...

    def __call__(self, texts: list[str]) -> np.ndarray:
        """[n, subjects] places among their answers; that of a text does not depend on the others."""
        ...


class Tasks:
    """Files of `innerloop adapt`, or tables of texts and their labels."""

    def __init__(self, names: Sequence[str | Path], context: Context = Context(), teaching: Teaching | None = None):
        """Read them, and ask each about its own examples, held out, what it takes for what.

        Args:
            names: One or two `.fewshot` files or tables.
            context: What they may name.
            teaching: What tables are taught to; None: as `Teaching` has it.

        Raises:
            InputError: They are more, the same twice, not of texts, or cannot be read; or nothing is to be taught.
        """
        if not 1 <= len(names) <= MOST:
            raise InputError(f"{len(names)} tasks cannot be watched at once: give one or {MOST}")
        files = [paths.existing(name) for name in names]
        if len({file.resolve() for file in files}) < len(files):
            raise InputError(f"{files[0]} is given twice: give two tasks, such as one of topics and one of sentiment")
        tables = [is_table(file) for file in files]
        if teaching is not None and not any(tables):
            raise InputError(f"{files[0]} was taught before: --source and --prior are of tables, leave them out")
        how = teaching or Teaching()
        priors = [how.of(i, len(files)) if table else None for i, table in enumerate(tables)]
        self._classifiers = [
            _taught(file, how.source, prior, context) if table else asking.opened(file, context)
            for file, table, prior in zip(files, tables, priors, strict=True)
        ]
        for file, one in zip(files, self._classifiers, strict=True):
            if one.kind != "texts":
                raise InputError(f"{file} names {one.kind}: give a task that was taught texts")
        stems = [file.stem for file in files]
        called = stems if len(set(stems)) == len(files) else [str(file) for file in files]
        self.subjects = [
            subject(name, one, _digest(file, [how.source, prior or "none"] if table else []), correction.measured(one))
            for name, file, one, table, prior in zip(called, files, self._classifiers, tables, priors, strict=True)
        ]
        check_pairs(self.subjects)
        self.shared = len(files) < MOST or one_encoder(*self._classifiers)
        """Whether a text is encoded once."""

    def __call__(self, texts: list[str]) -> np.ndarray:
        """[n, subjects] places among the answers of each."""
        first, *others = self._classifiers
        asked = encoded_once(first, texts) if others and self.shared else texts
        return np.stack([_places(one, asked) for one in (first, *others)], 1)


def _taught(table: Path, source: str, prior: str | None, context: Context) -> FewShotClassifier:
    return FewShotClassifier.load(source, context.allow, prior=prior).fit_folder(table)


def subject(name: str, classifier: FewShotClassifier, digest: str, confusion: Confusion | None) -> Subject:
    """What a taught task says; arguments as of `Subject`."""
    answers = [str(label) for label in classifier.classes_.tolist()]
    if classifier.calibration_.threshold is not None:
        answers.append(NONE)
    if confusion is not None and confusion.counts.shape[1] != len(answers):
        confusion = None  # "none of these" is said, and too few examples say how often
    return Subject(name=name, answers=tuple(answers), confusion=confusion, digest=digest)


def check_pairs(subjects: Sequence[Subject]) -> None:
    """Refuse two tasks that have too many pairs of answers, with an `InputError`."""
    sizes = [len(one.answers) for one in subjects]
    if len(sizes) == MOST and sizes[0] * sizes[1] > _PAIRS:
        raise InputError(
            f"{subjects[0].name} and {subjects[1].name} have {sizes[0]} x {sizes[1]} pairs of answers, and {_PAIRS:,} "
            "can be watched: watch them one by one, or give tasks of fewer classes"
        )


def one_encoder(first: FewShotClassifier, other: FewShotClassifier) -> bool:
    """Whether rows that one task makes of texts are those of another."""
    ours, theirs = first.task.source, other.task.source
    if ours.encoder is None or theirs.encoder is None or ours.tuning is not None or theirs.tuning is not None:
        return False
    names = [source.encoder_name or source.name for source in (ours, theirs)]
    return names[0] == names[1] and content_of(ours.encoder) == content_of(theirs.encoder)


def _digest(file: Path, how: Sequence[str]) -> str:
    return hashlib.sha256(file.read_bytes() + "".join(f"\0{one}" for one in how).encode()).hexdigest()


def record(subjects: Sequence[Subject], place: str, settings: Settings) -> dict[str, Any]:
    """What makes another watch of it: other tasks, another input, other settings."""
    return {f"task {one.name}": one.digest[:12] for one in subjects} | {"input": place} | settings.to_json()


def _places(classifier: FewShotClassifier, asked: object) -> np.ndarray:
    answers = classifier.answers(asked)  # pyright: ignore[reportArgumentType]
    # Not by names: an answer that is refused comes after all classes.
    return np.where(answers.accepted, answers.probabilities.argmax(1), answers.probabilities.shape[1])
