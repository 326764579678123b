"""Words of plain text and where they stand in it, by rules that need no language.

A word is a run of letters, digits and underscores with the marks on them; any other character is a word by itself.
Further:

- an English ending after an apostrophe is a word with it: `Peter's` is `Peter` and `'s`, `don't` is `don` and `'t`;
- scripts without blanks (Han, kana, Thai, Lao, Khmer, Burmese) are cut into characters, each with its marks;
- what is seen as one emoji is one word: joined by zero-width joiners, with a tone of skin, a flag of two letters;
- characters of no width (joiners, soft hyphens, marks of direction) belong to the word before them, or
  else to the one that they begin.

Every character that is no blank belongs to exactly one word, so that the text can be rebuilt from words and offsets.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from innerloop.core.errors import InputError
from innerloop.tasks.entities.sentences import Sentence, Span

_ENDING = re.compile(r"['’](?:s|t|d|m|re|ve|ll)(?![^\W_])", re.IGNORECASE)
_JOINER = "\u200d"
_Kind = Literal["blank", "run", "alone", "mark", "flag"]
_WITHOUT_BLANKS = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0xF900, 0xFAFF), (0xFF66, 0xFF9F)),
    *((0x1B000, 0x1B16F), (0x20000, 0x323AF)),
)
"""Blocks of Unicode whose letters are words by themselves."""


def offsets(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of every word of a text."""
    found = list[tuple[int, int]]()
    i, start, kind = 0, 0, "blank"  # where the word that goes on began, and of what kind it is
    while i < len(text):
        here = _kind(text[i])
        ending = _ENDING.match(text, i) if here == "alone" and kind == "run" else None
        if ending is not None:
            found += [(start, i)]
            start, i, kind = i, ending.end(), "alone"
            continue
        joined = i > 0 and text[i - 1] == _JOINER and here != "blank"
        if kind not in ("blank", "mark") and (here == "mark" or joined or (here == "run" and kind == "run")):
            pass
        elif kind == "mark" and here != "blank":
            kind = here  # of a width of its own, after what has none
        elif kind == here == "flag":
            kind = "alone"  # a third letter begins another flag
        else:
            if kind != "blank":
                found.append((start, i))
            start, kind = i, here
        i += 1
    return tuple(found if kind == "blank" else [*found, (start, len(text))])


def sentence(text: str, entities: Iterable[Span] = ()) -> Sentence:
    """A text cut into words.

    Args:
        text: One sentence, or a few.
        entities: By characters of the text; blanks at their ends do not matter.

    Raises:
        InputError: An entity is out of the text, holds no word, cuts one, or overlaps another.
    """
    return with_entities(text, offsets(text), entities)


def with_entities(text: str, words: Sequence[tuple[int, int]], entities: Iterable[Span]) -> Sentence:
    """`sentence`, of a text whose words are known."""
    spans = list[Span]()
    for entity in sorted(entities):
        start, end, kind = entity
        if start >= end:
            raise InputError(f"{_named(entity)} is empty: end is one behind its last character")
        if not 0 <= start < end <= len(text):
            raise InputError(
                f"{_named(entity)} is not in the text, which has {len(text)} characters (start counts from 0): mend "
                "its places"
            )
        if not text[start:end].strip():
            raise InputError(f"{_named(entity)} holds no word, only blanks")
        inside = [i for i, (a, b) in enumerate(words) if a < end and b > start]
        cut = next((i for i in inside if words[i][0] < start or words[i][1] > end), None)
        if cut is not None:
            a, b = words[cut]
            raise InputError(
                f"{_named(entity)}, '{text[start:end][:50]}', cuts the word '{text[a:b][:50]}' ({a} to {b}): words are "
                "tagged whole, so widen the entity or leave it out"
            )
        if not inside:
            raise InputError(f"{_named(entity)} holds no word: widen it, or leave it out")
        if spans and spans[-1].end > inside[0]:
            raise InputError(f"{_named(entity)} overlaps another one ({spans[-1].type}): a word is in one at most")
        spans.append(Span(inside[0], inside[-1] + 1, kind))
    return Sentence(tuple(text[a:b] for a, b in words), tuple(spans), text, tuple(words))


def placed(given: Sentence) -> Sentence:
    """A sentence with its text and offsets; where only words are known, they are joined by blanks."""
    if given.text is not None and given.offsets is not None:
        return given
    places, start = list[tuple[int, int]](), 0
    for word in given.words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return given._replace(text=" ".join(given.words), offsets=tuple(places))


def fits(given: Sentence) -> bool:
    """Whether a sentence has the place of every word in its text, or neither text nor places."""
    if given.text is None or given.offsets is None:
        return given.text is given.offsets
    edges = [0, *(edge for place in given.offsets for edge in place), len(given.text)]
    return len(given.offsets) == len(given.words) and edges == sorted(edges)


def _named(entity: Span) -> str:
    return f"the {entity.type} from {entity.start} to {entity.end}"


@functools.lru_cache(1 << 14)
def _kind(character: str) -> _Kind:
    if character.isspace():
        return "blank"
    point, category = ord(character), unicodedata.category(character)
    if category[0] == "M" or category == "Cf" or 0x1F3FB <= point <= 0x1F3FF:  # the last are tones of skin
        return "mark"
    if 0x1F1E6 <= point <= 0x1F1FF:
        return "flag"
    if category[0] not in "LN" and character != "_":
        return "alone"
    return "alone" if any(low <= point <= high for low, high in _WITHOUT_BLANKS) else "run"
