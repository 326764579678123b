"""How well entities are found: the field's tables, what goes wrong, and how far the numbers can be believed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from innerloop.apps.ner.mistakes import KINDS, Mistake, mistakes, sample, taken_for
from innerloop.apps.ner.tables import Spans, Table, entity_tables, token_table
from innerloop.core.errors import InputError
from innerloop.core.interval import SHARES, bootstrap
from innerloop.core.names import printable
from innerloop.evaluate.result import finite
from innerloop.tasks.entities.sentences import OTHER, Sentence, Span, spans, tags

Mode = Literal["strict", "io"]
"""What an entity is. strict: what its tags or spans say; io: words of one type side by side, so that two entities of a
type that touch are one, as where tags have no beginnings."""
_SHOWN = 20
"""Mistakes in context."""


class Scored(NamedTuple):
    """Precision, recall or F1 of all entities together, with its 95% interval."""

    value: float
    ci95: float
    """Half of its width, by drawing units anew (a seeded bootstrap); NaN of a single unit."""

    def to_json(self) -> dict[str, float | None]:
        """Plain JSON values."""
        return {"value": self.value, "ci95": finite(self.ci95)}


@dataclass(frozen=True)
class Report:
    """What `report` measured."""

    mode: Mode
    unit: str
    """What is drawn anew for intervals: "episodes" or "sentences"."""
    sentences: int
    words: int
    precision: Scored
    recall: Scored
    f1: Scored
    counts: Tensor
    """[units, 3] int64: entities that are right, that are predicted, and that are true, of every unit."""
    entities: dict[str, Table]
    """The table of each schema; see `tables.entity_tables`."""
    tokens: Table
    """By tag of words; see `tables.token_table`."""
    other: float
    """Share of words that truly are in no entity: the accuracy on words of a tagger that finds nothing."""
    kinds: dict[str, int]
    """How many mistakes there are of each of `mistakes.KINDS`."""
    confusion: dict[str, dict[str, int]]
    """True types down, predicted ones across; see `mistakes.taken_for`."""
    shown: list[tuple[Mistake, tuple[str, ...]]]
    """Twenty mistakes with the words of their sentences."""

    @property
    def unit_f1(self) -> list[float | None]:
        """F1 of every unit; None of one that has neither true nor predicted entities."""
        return [_f1(row) if row[1:].sum() else None for row in self.counts.double()]

    @property
    def why(self) -> str:
        """Why the table of words is not the number to quote."""
        accuracy = 100 * self.tokens.micro.f1
        return (
            f"{accuracy:.1f}% of words are tagged rightly and entity F1 is {100 * self.f1.value:.1f}%: "
            f"{100 * self.other:.1f}% of words are {OTHER}, which finding nothing at all gets right, and a word of an "
            "entity counts although the entity, which needs all of its words and its type, is wrong"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the table of each schema under its name."""
        return {
            "mode": self.mode,
            "sentences": self.sentences,
            "words": self.words,
            **{name: getattr(self, name).to_json() for name in ("precision", "recall", "f1")},
            "intervals": f"95%, {len(self.counts)} {self.unit} drawn anew",
            "entities": {schema: table.to_json() for schema, table in self.entities.items()},
            "tokens": self.tokens.to_json(),
            "other": self.other,
            "why": self.why,
            "mistakes": self.kinds,
            "confusion": self.confusion,
            "shown": [mistake.to_json(words) for mistake, words in self.shown],
            self.unit: {"f1": self.unit_f1, "counts": self.counts.tolist()},
        }


def report(
    gold: Sequence[Sentence],
    predicted: Sequence[Sentence],
    *,
    mode: Mode = "strict",
    episodes: Sequence[int] | None = None,
) -> Report:
    """Measure predicted entities against true ones.

    Args:
        gold: Sentences with their true entities.
        predicted: The same sentences, in the same order, with those that were found.
        mode: What an entity is.
        episodes: The episode of each sentence, for counts that are pooled over episodes and intervals over these; None:
            sentences stand for themselves.

    Raises:
        InputError: The sentences are not the same, there is none, no entity is in either, or nervaluate is missing.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode is {' or '.join(get_args(Mode))}, got '{mode}'")
    _refuse_unlike(gold, predicted)
    if episodes is not None and len(episodes) != len(gold):
        raise InputError(f"every sentence is of an episode: {len(gold)} sentences, {len(episodes)} episodes given")
    true, answered = ([_entities(sentence, mode) for sentence in some] for some in (gold, predicted))
    if not any(true) and not any(answered):
        raise InputError("there is no entity, neither a true nor a predicted one: nothing can be measured")
    lengths = [len(sentence.words) for sentence in gold]
    wrong = mistakes(true, answered)
    counts = _counts(true, answered, episodes)
    words = sum(lengths)
    inside = sum(span.end - span.start for spans in true for span in spans)
    return Report(
        mode=mode,
        unit="sentences" if episodes is None else "episodes",
        sentences=len(gold),
        words=words,
        precision=Scored(*bootstrap(_precision, counts.double(), SHARES)),
        recall=Scored(*bootstrap(_recall, counts.double(), SHARES)),
        f1=Scored(*bootstrap(_pooled_f1, counts.double(), SHARES)),
        counts=counts,
        entities=entity_tables(true, answered),
        tokens=token_table(true, answered, lengths),
        other=1 - inside / words,
        kinds={kind: sum(mistake.kind == kind for mistake in wrong) for kind in KINDS},
        confusion=taken_for(wrong, _right(true, answered)),
        shown=[(mistake, gold[mistake.sentence].words) for mistake in sample(wrong, _SHOWN)],
    )


def _refuse_unlike(gold: Sequence[Sentence], predicted: Sequence[Sentence]) -> None:
    for i, (true, answered) in enumerate(zip(gold, predicted, strict=False), 1):
        if true.words == answered.words:
            continue
        for k, (ours, theirs) in enumerate(zip(true.words, answered.words, strict=False), 1):
            if ours != theirs:
                raise InputError(
                    f"sentence {i} is not the same in both: word {k} is '{printable(ours)}' where it is true and "
                    f"'{printable(theirs)}' where it is predicted"
                )
        raise InputError(
            f"sentence {i} is not the same in both: {len(true.words)} words where it is true, {len(answered.words)} "
            "where it is predicted"
        )
    if len(gold) != len(predicted):
        raise InputError(
            f"there are {len(gold)} sentences with true entities and {len(predicted)} with predicted ones: give the "
            "same sentences"
        )
    if not gold:
        raise InputError("there is no sentence: nothing can be measured")


def _entities(sentence: Sentence, mode: Mode) -> tuple[Span, ...]:
    if mode == "strict":
        return sentence.spans
    return spans(tags(sentence.spans, len(sentence.words), "io"))


def _right(gold: Spans, predicted: Spans) -> Counter[str]:
    pairs = zip(gold, predicted, strict=True)
    return Counter(span.type for true, answered in pairs for span in set(true) & set(answered))


def _counts(gold: Spans, predicted: Spans, episodes: Sequence[int] | None) -> Tensor:
    rows = [[len(set(a) & set(b)), len(b), len(a)] for a, b in zip(gold, predicted, strict=True)]
    counts = torch.tensor(rows, dtype=torch.int64)
    if episodes is None:
        return counts
    _, index = torch.tensor(list(episodes)).unique(return_inverse=True)  # in the order of their numbers
    return torch.zeros(int(index.max()) + 1, 3, dtype=torch.int64).index_add_(0, index, counts)


def _precision(counts: Tensor) -> float:
    right, answered, _ = counts.sum(0).tolist()
    return right / max(answered, 1)


def _recall(counts: Tensor) -> float:
    right, _, true = counts.sum(0).tolist()
    return right / max(true, 1)


def _pooled_f1(counts: Tensor) -> float:
    return _f1(counts.sum(0))


def _f1(row: Tensor) -> float:
    right, answered, true = row.tolist()
    return 2 * right / max(answered + true, 1)
