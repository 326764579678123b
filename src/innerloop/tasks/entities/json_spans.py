"""Tagged texts as JSON, a list or one a line: `{"text": ..., "entities": [{"start": 0, "end": 5, "type": "person"}]}`.

Spans count characters from 0, `end` is one behind the last; `label` may stand for `type`, and `[0, 5, "person"]` for an
object. `words`, [[start, end], ...], says where the words are if they are not those of `words.offsets`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from innerloop.core.errors import InputError
from innerloop.core.plain import is_whole
from innerloop.tasks.encodings import lines
from innerloop.tasks.entities.sentences import Sentence, Span
from innerloop.tasks.entities.words import offsets, placed, with_entities
from innerloop.tasks.notices import Say, warn

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHAPE = '{"text": "...", "entities": [{"start": 0, "end": 5, "type": "person"}]}'


def read(
    file: IO[bytes], name: str, *, tagged: bool = True, encoding: str | None = None, say: Say = warn
) -> list[Sentence]:
    """Sentences of a file.

    Args:
        file: Its bytes.
        name: What errors call it.
        tagged: Whether every text needs its entities, be they none; if not, they are not looked at.
        encoding: See `tasks.encodings.lines`.
        say: Where notices go.

    Raises:
        InputError: It is not such JSON, a span is wrong, or nothing is there.
    """
    sentences = [
        from_object(entry, f"{name}, {place}", tagged)
        for place, entry in _entries(list(lines(file, name, encoding, say)), name)
    ]
    if not sentences:
        raise InputError(f"{name} holds no text: write objects such as {_SHAPE}")
    return sentences


def from_object(entry: Any, place: str, tagged: bool = True) -> Sentence:
    """A sentence from its JSON.

    Args:
        entry: The object.
        place: What errors call it.
        tagged: As of `read`.

    Raises:
        InputError: It is none, or a span is wrong.
    """
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise InputError(f"{place} is not an object with a text: write {_SHAPE}")
    if _SURROGATE.search(text):
        raise InputError(f"{place}: the text holds half a character (\\ud800 to \\udfff without its other half)")
    entities = entry.get("entities") if tagged else []
    if not isinstance(entities, list):
        raise InputError(f'{place} has no list of entities: write {_SHAPE}, with "entities": [] where there are none')
    spans = [_span(one, f"{place}, entity {number}") for number, one in enumerate(entities, 1)]
    words = _words(entry["words"], text, place) if entry.get("words") is not None else offsets(text)
    try:
        return with_entities(text, words, spans)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def to_object(sentence: Sentence, confidences: Sequence[float] | None = None) -> dict[str, Any]:
    """The JSON of a sentence; `from_object` gives the same text, words and entities.

    Args:
        sentence: Without a text, its words are joined by blanks.
        confidences: Of each entity, from 0 to 1.
    """
    own = placed(sentence)
    assert own.text is not None and own.offsets is not None
    entities = list[dict[str, Any]]()
    for i, span in enumerate(own.spans):
        start, end = own.offsets[span.start][0], own.offsets[span.end - 1][1]
        entities.append({"start": start, "end": end, "type": span.type, "text": own.text[start:end]})
        if confidences is not None:
            entities[-1]["confidence"] = round(float(confidences[i]), 4)
    words = {} if offsets(own.text) == own.offsets else {"words": [list(place) for place in own.offsets]}
    return {"text": own.text, "entities": entities, **words}


def write(
    sentences: Sequence[Sentence], confidences: Sequence[Sequence[float]] | None = None, *, by_line: bool = False
) -> Iterator[str]:
    """Lines of a file: a list, or with `by_line` an object a line (JSONL).

    Args:
        sentences: See `to_object`.
        confidences: Of the entities of each sentence.
        by_line: Which.
    """
    for i, sentence in enumerate(sentences):
        text = json.dumps(to_object(sentence, None if confidences is None else confidences[i]), ensure_ascii=False)
        if by_line:
            yield f"{text}\n"
        else:
            yield f"{'[' if i == 0 else ','}\n{text}"
    if not by_line:
        yield "\n]\n" if sentences else "[]\n"


def _entries(written: list[str], name: str) -> Iterator[tuple[str, Any]]:
    if next((line for line in written if line.strip()), "").lstrip().startswith("["):
        for number, entry in enumerate(_parsed("".join(written), name, f"write a list of objects such as {_SHAPE}"), 1):
            yield f"entry {number}", entry
        return
    for number, line in enumerate(written, 1):
        if line.strip():
            yield f"line {number}", _parsed(line, f"{name}, line {number}", f"write one object a line: {_SHAPE}")


def _parsed(text: str, called: str, advice: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{called} is not JSON ({error}): {advice}") from error


def _span(entity: Any, place: str) -> Span:
    if isinstance(entity, dict):
        entity = [entity.get("start"), entity.get("end"), entity.get("type", entity.get("label"))]
    if not isinstance(entity, list) or len(entity) != 3:
        raise InputError(
            f'{place} is not an object with start, end and type, nor [start, end, "type"]: write one of them'
        )
    start, end, kind = entity
    if not is_whole(start) or not is_whole(end):
        raise InputError(
            f"{place}: start and end are {start!r} and {end!r}; they are places in the text, counted from 0"
        )
    if not isinstance(kind, str) or not kind.strip() or _SURROGATE.search(kind):
        raise InputError(f"{place}: the type is {kind!r}; it is a name such as person")
    return Span(start, end, kind)


def _words(words: Any, text: str, place: str) -> tuple[tuple[int, int], ...]:
    before, result = 0, list[tuple[int, int]]()
    for number, word in enumerate(words if isinstance(words, list) else [words], 1):
        pair = isinstance(word, list) and len(word) == 2 and all(map(is_whole, word))
        if not pair or not before <= word[0] < word[1] <= len(text) or not text[word[0] : word[1]].strip():
            raise InputError(
                f"{place}, word {number} is {json.dumps(word)[:50]}; words are [start, end] in the order of the text, "
                "not overlapping and not blank. Leave them out to have the text cut into words"
            )
        before = word[1]
        result.append((word[0], word[1]))
    return tuple(result)
