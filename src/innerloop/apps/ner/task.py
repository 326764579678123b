"""A tagger that was taught: sentences, the rows of their words, and what learned from them, version by version.

It is never changed, only replaced, so that threads see one state or the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.apps.ner.decode import Chain, chain
from innerloop.apps.ner.settings import Decoding
from innerloop.apps.ner.sources import Source
from innerloop.core.dry_run import capacity, support
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.types import Params
from innerloop.encoders.type_names import names_as_rows
from innerloop.fewshot.history import History, Label
from innerloop.tasks.entities.sentences import OTHER, Sentence, Span

_MOST_TYPES = 500
"""Decoding holds the square of them for every word."""


class Example(NamedTuple):
    """What one row of the history stands for: an entity, or, under `O`, a sentence with all of its other words."""

    sentence: int
    start: int = 0
    end: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A learner that has seen the sentences of the present version."""

    source: Source
    decoding: Decoding
    sentences: tuple[Sentence, ...]
    """Every one of every version, without its entities, which `examples` and the history have."""
    rows: Tensor
    """[words, features] float16 of all of them, one after another."""
    examples: tuple[Example, ...]
    history: History
    named: Mapping[str, Tensor] = field(default_factory=dict)
    """[features] float16 row of the name of each type of any version, where names are learned from."""

    @cached_property
    def members(self) -> dict[Label, list[int]]:
        """Examples of every type and of `O` in the present version."""
        return self.history.members()

    @cached_property
    def types(self) -> list[str]:
        """In the order of their classes from 1 on; class 0 is none of them."""
        return [str(label) for label in self.members if label != OTHER]

    @property
    def present(self) -> dict[int, Sentence]:
        """Sentences of the present version with their entities, by their number."""
        return self.at_version(self.members)

    def at_version(self, members: Mapping[Label, Sequence[int]]) -> dict[int, Sentence]:
        """Sentences of a version with their entities, by their number."""
        spans: dict[int, list[Span]] = {self.examples[row].sentence: [] for row in members.get(OTHER, ())}
        for label, rows in members.items():
            for row in rows if label != OTHER else ():
                number, start, end = self.examples[row]
                spans[number].append(Span(start, end, str(label)))
        return {i: self.sentences[i]._replace(spans=tuple(sorted(own))) for i, own in sorted(spans.items())}

    @cached_property
    def learned(self) -> "Learned":
        """What learned, and how its answers are decoded."""
        return _learned(self)

    def more(self, sentences: Sequence[Sentence]) -> "Task":
        """The same with further sentences; one with the words of a known sentence takes its place.

        Raises:
            InputError: There is no entity at all, or more types than the learner tells apart.
        """
        first, known = len(self.sentences), self.present
        again = {sentence.words for sentence in sentences}
        replaced = {i for i, sentence in known.items() if sentence.words in again}
        removed = [row for row, example in self._rows() if example.sentence in replaced]
        examples, added = _examples(sentences, first, len(self.examples))
        grown = replace(
            self,
            sentences=(*self.sentences, *(one._replace(spans=()) for one in sentences)),
            rows=torch.cat([self.rows, self.source.rows([one.words for one in sentences]).rows]),
            examples=(*self.examples, *examples),
        )
        named = [label for label, _, _ in added if label != OTHER] or [OTHER]
        return grown.at(self.history.add(added, removed, named=named))

    def without(self, what: str | int) -> "Task":
        """The same with a type less, whose words belong to none from then on, or with a sentence less, by its number.

        Raises:
            InputError: There is none, or no entity is left.
        """
        if isinstance(what, int) and not isinstance(what, bool):
            rows = [row for row, example in self._rows() if example.sentence == what]
            if not rows:
                numbers = ", ".join(map(str, self.present))
                raise InputError(f"there is no sentence {what} to drop: there are {numbers}")
            return self.at(self.history.without(rows, f"drop sentence {what}"))
        if what not in self.types:
            raise InputError(f"there is no type {what!r} to drop{nearest(str(what), self.types)}")
        return self.at(self.history.drop(what))

    def at(self, history: History) -> "Task":
        """The task of another history of the same sentences.

        Raises:
            InputError: It has no entity, or more types than the learner tells apart.
        """
        task = replace(self, history=history)
        if not task.types:
            raise InputError("no entity is left to learn from: give a sentence with one, at least")
        if len(task.types) > _MOST_TYPES:
            raise InputError(f"there are {len(task.types):,} types of entities, and {_MOST_TYPES} are most: merge some")
        if self.source.names:
            new = [name for name in task.types if name not in self.named]
            rows = self.source.scaled(names_as_rows(self.source.encoder, new))
            task = replace(task, named={**self.named, **dict(zip(new, rows, strict=True))})
        task.learned  # noqa: B018 refuse now what cannot be learned, and have it at the first question
        return task

    def show(self) -> dict[str, Any]:
        """What it is and knows, in plain JSON."""
        learner, decoding = self.learned.learner, self.decoding
        present = self.present
        return {
            "version": self.history.present.version,
            "types": {name: len(self.members[name]) for name in self.types},
            "sentences": len(present),
            "words": sum(len(sentence.words) for sentence in present.values()),
            "source": self.source.name,
            "encoder": self.source.encoder.name,
            "whitened": self.source.whitening is not None,
            "head": self.source.head,
            "learner": type(learner).__name__,
            "names": self.source.names,
            "decode": decoding.decode,
            "tagging": decoding.tagging,
            "tau": decoding.tau,
            "temperature": decoding.temperature,
            "transitions": decoding.transitions._asdict(),
            "versions": [
                {"version": v.version, "time": v.time, "action": v.action}
                | {"types": {str(k): len(rows) for k, rows in members.items() if k != OTHER}}
                | {"sentences": len(members.get(OTHER, ()))}
                for v, members in zip(self.history.versions, self.history.each(), strict=True)
            ],
        }

    def _rows(self) -> list[tuple[int, Example]]:
        """Examples of the present version with their numbers."""
        return [(row, self.examples[row]) for rows in self.members.values() for row in rows]


class Learned(NamedTuple):
    """What a task's present version came to."""

    learner: Learner
    params: Params
    adapted: Any
    chain: Chain


def teach(source: Source, decoding: Decoding, sentences: Sequence[Sentence]) -> Task:
    """A task of its first sentences, which were checked.

    Raises:
        InputError: There is no entity, or there are more types than the learner tells apart.
    """
    if not any(sentence.spans for sentence in sentences):
        raise InputError(
            f"none of {len(sentences)} sentences has an entity, so that there is nothing to find: tag one, at least"
        )
    examples, added = _examples(sentences, 0, 0)
    task = Task(
        source=source,
        decoding=decoding,
        sentences=tuple(one._replace(spans=()) for one in sentences),
        rows=source.rows([one.words for one in sentences]).rows,
        examples=tuple(examples),
        history=History.begin(added),
    )
    return task.at(task.history)


def _examples(
    sentences: Sequence[Sentence], first: int, row: int
) -> tuple[list[Example], list[tuple[Label, int, int]]]:
    """Examples of sentences that are numbered from `first` on, type by type, and their places from `row` on."""
    of: dict[str, list[Example]] = {OTHER: [Example(first + i) for i in range(len(sentences))]}
    for i, sentence in enumerate(sentences):
        for start, end, kind in sentence.spans:
            of.setdefault(kind, []).append(Example(first + i, start, end))
    added = list[tuple[Label, int, int]]()
    for kind, own in sorted(of.items()):
        added.append((kind, row, len(own)))
        row += len(own)
    return [example for _, own in sorted(of.items()) for example in own], added


@torch.no_grad()
def _learned(task: Task) -> Learned:
    lengths = [len(sentence.words) for sentence in task.sentences]
    parts, number = task.rows.split(lengths), {name: i for i, name in enumerate(task.types, 1)}
    x, y = list[Tensor](), list[int]()
    for i, sentence in task.present.items():
        x.append(parts[i])
        y += [0 if kind == OTHER else number[kind] for kind in sentence.types]
    for name in task.types if task.source.names else ():
        x.append(task.named[name][None])
        y.append(number[name])
    rows, ways = torch.cat(x).float(), 1 + len(task.types)
    learner, params = task.source.taught(len(rows))
    most = capacity(learner, params, (rows.shape[1],))
    if most is not None and most < ways:
        raise InputError(
            f"{type(learner).__name__} was meta-trained to tell {most - 1} types apart, and these are {ways - 1}: "
            f"train it with ways={ways - 1}, or take a learner for any number of types, such as protonet"
        )
    classes = torch.tensor(y)
    adapted = learner.adapt(params, support(rows, classes, ways, task.source.weights(classes)))
    decoding = task.decoding
    step = chain(decoding.transitions, len(task.types), decoding.tau, decoding.tagging)
    return Learned(learner, params, adapted, step)
