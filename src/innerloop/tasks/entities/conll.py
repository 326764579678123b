"""CoNLL files: a word a line, its tag in the last column, a blank line after every sentence.

Two, three or four columns, apart by tabs or blanks; tags in IO, IOB1, BIO (IOB2), BIOES, BILOU or BMES, told by the
letters that the whole file uses, or bare types. Skipped are `-DOCSTART-` lines and, before the first word of a
sentence, comments (`# id ...`) whose last column is no tag. Windows' ends of lines and a byte-order mark do not matter.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import IO, NamedTuple

from innerloop.core.errors import InputError
from innerloop.tasks.encodings import lines as decoded
from innerloop.tasks.entities.sentences import OTHER, Scheme, Sentence, spans, tags
from innerloop.tasks.notices import Say, warn

_LETTERS = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES"}
"""The prefixes that a scheme uses."""
_AS_BIOES = {"L": "E", "U": "S", "M": "I"}
_TAG = re.compile(r"([BIESLUM])-(.+)")
_PREFIXED = re.compile(r"[^\W\d_]-")
_DOCUMENT = "-DOCSTART-"
_UNWRITABLE = re.compile(r"[\t\r\n\0\ud800-\udfff]|\A[ \ufeff]|[ ]\Z|\A-DOCSTART-\Z")
_WANTED = "every line needs a word first and its tag last, apart by a tab or blanks"


class _Block(NamedTuple):
    """Lines of a sentence, which follow one another."""

    line: int
    """Number of the first."""
    words: list[str]
    tags: list[str]


def read(
    file: IO[bytes], name: str, *, strict: bool = False, encoding: str | None = None, say: Say = warn
) -> list[Sentence]:
    """Sentences of a CoNLL file.

    Args:
        file: Its bytes.
        name: What errors call it.
        strict: Refuse an entity that begins with I- instead of B-; otherwise it is read as a beginning, and how many
            there are is said.
        encoding: See `tasks.encodings.lines`.
        say: Where notices go.

    Raises:
        InputError: A line has no word or tag, a tag is of no scheme, two schemes are mixed, or nothing is there.
    """
    blocks = list(_blocks(decoded(file, name, encoding, say), name))
    if not blocks:
        raise InputError(f"{name} holds no sentence: {_WANTED}")
    letters, bare = _prefixes(blocks, name)
    if bare and letters:
        (tag, line), (letter, other) = bare, next(iter(letters.items()))
        raise InputError(
            f"{name}, line {line}: '{tag[:50]}' is no tag; line {other} has {letter}-, so O, or a prefix such as "
            "B- or I- before the type, was expected"
        )
    if bare:
        say(f"the tags of {name} are types without B- or I-: neighbours of one type are one entity")
        return [Sentence(tuple(b.words), spans([t if t == OTHER else f"I-{t}" for t in b.tags])) for b in blocks]
    refuse_mixed({letter: f"line {line}" for letter, line in letters.items()}, name)
    for block in blocks:
        block.tags[:] = map(as_bioes, block.tags)
    if set(letters) & set("ESLU"):
        _refuse_unended(blocks, letters, name)
    if set(letters) != {"I"} and not (set(letters) == {"B", "I"} and _is_iob1(blocks)):
        _count_unbegun(blocks, name, strict, say)
    return [Sentence(tuple(block.words), spans(block.tags)) for block in blocks]


def prefix(tag: str, place: str) -> str | None:
    """The letter before the type of a tag; None of `O` and of bare types.

    Raises:
        InputError: No scheme has it, or it stands before no type; the error begins with `place`.
    """
    if match := _TAG.fullmatch(tag):
        return match[1]
    if _PREFIXED.match(tag) and tag[0] in "BIESLUM":
        raise InputError(f"{place}: the tag '{tag}' names no type: write it such as {tag[0]}-person")
    if _PREFIXED.match(tag):
        raise InputError(
            f"{place}: the tag '{tag[:50]}' begins with {tag[:2]}, which no scheme has: O, or B-, I-, E-, S- (BIOES), "
            "L-, U- (BILOU) or M- (BMES) before the type were expected"
        )
    return None


def as_bioes(tag: str) -> str:
    """A tag of BILOU or BMES in BIOES, others as they are."""
    return _AS_BIOES.get(tag[0], tag[0]) + tag[1:] if tag[1:2] == "-" else tag


def refuse_mixed(places: Mapping[str, str], name: str) -> None:
    """Refuse letters of tags that are in no scheme together.

    Args:
        places: Where each letter is met first, such as "line 3".
        name: What holds them.

    Raises:
        InputError: Two are of different schemes.
    """
    for a, b in combinations(places, 2):
        if not any({a, b} <= set(scheme) for scheme in _LETTERS.values()):
            known = [[title for title, scheme in _LETTERS.items() if letter in scheme] for letter in (a, b)]
            one, other = (" or ".join(titles) for titles in known)
            raise InputError(
                f"{name} mixes two schemes of tags: {places[a]} has {a}- ({one}), {places[b]} has {b}- ({other}). "
                "Write all of it in one"
            )


def write(sentences: Iterable[Sentence], scheme: Scheme = "bio", say: Say = warn) -> Iterator[str]:
    """Lines of a file of two columns, a tab between; `read` gives the same words and entities.

    Args:
        sentences: Of at least one word each.
        scheme: Of the tags. In IO two neighbours of one type are one entity: how many are joined so is said.
        say: Where that goes.

    Raises:
        InputError: A sentence has no words, or a word or type would be read as something else.
    """
    merged = 0
    for number, sentence in enumerate(sentences, 1):
        if not sentence.words:
            raise InputError(f"sentence {number} has no words, which a CoNLL file cannot hold: leave it out")
        for text, what in [*((w, "word") for w in sentence.words), *((span.type, "type") for span in sentence.spans)]:
            if _UNWRITABLE.search(text) or not text.strip():
                raise InputError(
                    f"sentence {number}: the {what} {text[:50]!r} cannot stand in a CoNLL file: it is empty, is "
                    f"{_DOCUMENT}, or holds a tab, the end of a line or blanks at its ends"
                )
        neighbours = zip(sentence.spans, sentence.spans[1:], strict=False)
        merged += sum(a.end == b.start and a.type == b.type for a, b in neighbours) if scheme == "io" else 0
        for word, tag in zip(sentence.words, tags(sentence.spans, len(sentence.words), scheme), strict=True):
            yield f"{word}\t{tag}\n"
        yield "\n"
    if merged:
        say(f"IO has no beginnings: {merged} entities are one with their neighbour of the same type. BIO keeps them")


def _blocks(lines: Iterable[str], name: str) -> Iterator[_Block]:
    words, labels, start = list[str](), list[str](), 0
    first = None  # number of the first line with words, and its columns
    for number, line in enumerate(lines, 1):
        line = line.strip("\r\n")
        cells = _cells(line)
        if not cells or cells[0] == _DOCUMENT:
            if words:
                yield _Block(start, words, labels)
            words, labels = [], []
            continue
        if not words and line.startswith("# ") and cells[-1] != OTHER and not _TAG.fullmatch(cells[-1]):
            continue
        _check(cells, first, f"{name}, line {number}")
        first = first or (number, len(cells))
        start = start if words else number
        words.append(cells[0])
        labels.append(cells[-1])
    if words:
        yield _Block(start, words, labels)


def _cells(line: str) -> list[str]:
    """Columns of a line; none of a blank one. A word may hold blanks where tabs are between columns."""
    if not line.strip(" \t"):
        return []
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else re.split(" +", line.strip(" "))


def _check(cells: Sequence[str], first: tuple[int, int] | None, place: str) -> None:
    columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
    if not 2 <= len(cells) <= 4:
        raise InputError(f"{place} has {columns}, and files of 2 to 4 are read: {_WANTED}")
    if first is not None and len(cells) != first[1]:
        raise InputError(f"{place} has {columns}, and line {first[0]} has {first[1]}: {_WANTED}")
    if not cells[0].strip() or not cells[-1]:
        raise InputError(f"{place}: the {'tag' if cells[0].strip() else 'word'} is empty: {_WANTED}")
    prefix(cells[-1], place)


def _prefixes(blocks: Iterable[_Block], name: str) -> tuple[dict[str, int], tuple[str, int] | None]:
    """The line that each prefix is met in first; and a tag without one, with its line."""
    letters, bare, others = dict[str, int](), None, False
    for block in blocks:
        for line, tag in enumerate(block.tags, block.line):
            if tag == OTHER:
                others = True
            elif _TAG.fullmatch(tag):
                letters.setdefault(tag[0], line)
            elif bare is None:
                bare = (tag, line)
    if bare and not letters and not others:
        raise InputError(
            f"{name}, line {bare[1]}: '{bare[0][:50]}' is no tag, nor is any other in the last column O or one with a "
            f"prefix such as B- or I-: {_WANTED}"
        )
    return letters, bare


def _refuse_unended(blocks: Iterable[_Block], letters: dict[str, int], name: str) -> None:
    """Entities of BIO in a file that has ends of entities elsewhere."""
    for block in blocks:
        for i, (tag, after) in enumerate(zip(block.tags, [*block.tags[1:], OTHER], strict=True)):
            if tag[0] in "BI" and not (after[0] in "IE" and after[1:] == tag[1:]):
                letter = next(k for k in letters if k in "ESLU")
                raise InputError(
                    f"{name} mixes two schemes of tags: line {letters[letter]} has {letter}-, which says where an "
                    f"entity ends, and line {block.line + i} ends one with {tag} (BIO). Write all of it in one"
                )


def _is_iob1(blocks: Iterable[_Block]) -> bool:
    """Whether B- is only where an entity follows another one of its type: all others begin with I-."""
    return all(
        before[0] in "BI" and before[1:] == tag[1:]
        for block in blocks
        for before, tag in zip([OTHER, *block.tags], block.tags, strict=False)
        if tag[0] == "B"
    )


def _count_unbegun(blocks: Iterable[_Block], name: str, strict: bool, say: Say) -> None:
    places = [
        (block.line + i, tag)
        for block in blocks
        for i, (before, tag) in enumerate(zip([OTHER, *block.tags], block.tags, strict=False))
        if tag[0] in "IE" and not (before[0] in "BI" and before[1:] == tag[1:])
    ]
    if not places:
        return
    line, tag = places[0]
    count = "1 entity begins" if len(places) == 1 else f"{len(places)} entities begin"
    if strict:
        raise InputError(f"{name}, line {line}: {tag} follows no B{tag[1:]}; {count} so. Mend it, or leave out strict")
    say(f"{name}: {count} with {tag[0]}- and not B- (first in line {line}); read as beginnings, strict refuses them")
