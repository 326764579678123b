"""What goes wrong with entities: right place and wrong type, right type and wrong boundary, missed and invented."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from innerloop.tasks.entities.sentences import OTHER, Span

KINDS = {
    "type": "right boundaries, wrong type",
    "boundary": "right type, wrong boundaries",
    "both": "overlapping, wrong type and boundaries",
    "missed": "no predicted entity there",
    "invented": "no true entity there",
}
"""Every mistake is one of these."""


class Mistake(NamedTuple):
    """A true entity and what was predicted for it, which differ."""

    sentence: int
    """Its number, from 0."""
    kind: str
    """One of `KINDS`."""
    gold: Span | None
    """None: it is invented."""
    predicted: Span | None
    """None: it is missed."""

    def to_json(self, words: Sequence[str]) -> dict[str, Any]:
        """Plain JSON values, with the words of its sentence."""
        gold, predicted = (span and span._asdict() for span in (self.gold, self.predicted))
        about = {"kind": self.kind, "sentence": self.sentence, "gold": gold, "predicted": predicted}
        return {**about, "words": list(words)}


def mistakes(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> list[Mistake]:
    """All mistakes, in the order of sentences.

    Each true entity is held against one predicted entity at most, and each predicted one against one true: first the
    equal ones, then those with the same boundaries, then overlapping ones of its type, then any overlapping ones; of
    several, those that share most words.
    """
    return [
        mistake
        for i, (true, answered) in enumerate(zip(gold, predicted, strict=True))
        for mistake in _of_sentence(i, true, answered)
    ]


def taken_for(wrong: Iterable[Mistake], right: Counter[str]) -> dict[str, dict[str, int]]:
    """Counts of true types (down) by what was predicted (across): `OTHER` is a missed or an invented entity.

    Args:
        wrong: Mistakes.
        right: How many entities of each type are right.
    """
    counts = Counter({(kind, kind): count for kind, count in right.items()})
    for mistake in wrong:
        true, answered = (span.type if span else OTHER for span in (mistake.gold, mistake.predicted))
        counts[true, answered] += 1
    types = sorted({kind for pair in counts for kind in pair} - {OTHER})
    names = [*types, OTHER]
    return {true: {answered: counts[true, answered] for answered in names} for true in names}


def sample(wrong: Sequence[Mistake], count: int) -> list[Mistake]:
    """So many of the mistakes, kinds by turns, so that a frequent kind does not hide the others."""
    kinds = [[one for one in wrong if one.kind == kind] for kind in KINDS]
    turns = [one for turn in zip_longest(*kinds) for one in turn if one is not None]
    return sorted(turns[:count], key=lambda one: (list(KINDS).index(one.kind), one.sentence))


def _of_sentence(number: int, gold: Sequence[Span], predicted: Sequence[Span]) -> list[Mistake]:
    equal = set(gold) & set(predicted)
    true, answered = ([span for span in spans if span not in equal] for spans in (gold, predicted))
    pairs = [(a, b) for a in true for b in answered if min(a.end, b.end) > max(a.start, b.start)]
    pairs.sort(key=lambda pair: _fit(*pair))
    wrong = list[Mistake]()
    for a, b in pairs:
        if a in true and b in answered:
            true.remove(a)
            answered.remove(b)
            wrong.append(Mistake(number, _kind(a, b), a, b))
    wrong += [Mistake(number, "missed", a, None) for a in true]
    wrong += [Mistake(number, "invented", None, b) for b in answered]
    return sorted(wrong, key=lambda one: (one.gold or one.predicted or (0,))[0])


def _kind(gold: Span, predicted: Span) -> str:
    if gold[:2] == predicted[:2]:
        return "type"
    return "boundary" if gold.type == predicted.type else "both"


def _fit(gold: Span, predicted: Span) -> tuple[int, int]:
    """Less is better."""
    shared = min(gold.end, predicted.end) - max(gold.start, predicted.start)
    return ("type", "boundary", "both").index(_kind(gold, predicted)), -shared
