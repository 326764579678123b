"""A sentence of words with its entities, and the schemes in which tags say them.

BIO is what everything else speaks: `B-x` begins an entity of type x, `I-x` goes on with it, `O` is none. BIOES adds the
end (`E-x`) and the single word (`S-x`). IO has no beginning, so that two entities of one type side by side are one.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

OTHER = "O"
"""The tag of a word that belongs to no entity."""
Scheme = Literal["bio", "bioes", "io"]


class Span(NamedTuple):
    """An entity."""

    start: int
    """Its first word."""
    end: int
    """The word after its last."""
    type: str


class Sentence(NamedTuple):
    """Words, their entities, and where they stand in the text that they were cut from."""

    words: tuple[str, ...]
    spans: tuple[Span, ...] = ()
    """In order, none overlapping."""
    text: str | None = None
    """As it was written; None: words alone are known, and are joined by blanks."""
    offsets: tuple[tuple[int, int], ...] | None = None
    """Start and end of each word in the text, in characters."""

    @property
    def types(self) -> list[str]:
        """[words] the type of every word, `OTHER` of none: its tags in IO, without the prefix."""
        types = [OTHER] * len(self.words)
        for span in self.spans:
            types[span.start : span.end] = [span.type] * (span.end - span.start)
        return types


def spans(tags: Sequence[str]) -> tuple[Span, ...]:
    """Entities of tags in any scheme, as the field's scripts (conlleval, seqeval's default) read them.

    An entity begins at B- or S-, after E- or S-, or where the type changes; so `I-x` without a beginning begins one.
    """
    entities, start, before = list[Span](), 0, (OTHER, "")
    for i, tag in enumerate([*tags, OTHER]):
        prefix, _, kind = tag.partition("-")
        begins = prefix in "BS" or before[0] in ("E", "S", OTHER) or kind != before[1]
        if before[0] != OTHER and (prefix == OTHER or begins):
            entities.append(Span(start, i, before[1]))
        if prefix != OTHER and begins:
            start = i
        before = (prefix, kind)
    return tuple(entities)


def tags(entities: Iterable[Span], length: int, scheme: Scheme = "bio") -> list[str]:
    """[length] tags of entities that do not overlap."""
    tagged = [OTHER] * length
    for start, end, kind in entities:
        tagged[start:end] = [f"I-{kind}"] * (end - start)
        if scheme != "io":
            tagged[start] = f"B-{kind}"
        if scheme == "bioes":
            tagged[end - 1] = f"E-{kind}" if end - start > 1 else f"S-{kind}"
    return tagged
