"""Replies by intent: texts with slots, which a message fills by a pattern or a list."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop.apps.text.desk.rules import READ, Rule, filler, holds, rule
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.nearest import nearest
from innerloop.tasks.encodings import lines

_LATIN = "LATIN"
_KEYS = {"intent", "reply", "slots", "words", "pattern", "hand_over"}
_SLOT_KEYS = {"pattern", "values", "ask"}


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What a reply needs to know."""

    name: str
    pattern: re.Pattern[str] | None = None
    """What its value looks like in a message: the first group, or the whole where there is none."""
    values: Mapping[str, str] = field(default_factory=dict)
    """In place of a pattern: words of a message, in small letters, and the value that each means."""
    ask: tuple[str, ...]
    """The question for it, in one language or more."""

    def find(self, message: str) -> str | None:
        """Its value in a message; None: it is not there."""
        message = message[:READ]
        if self.pattern is not None:
            match = self.pattern.search(message)
            return None if match is None else match[1 if self.pattern.groups else 0]
        small = message.casefold()
        # "express plus" before "express".
        known = sorted(self.values, key=len, reverse=True)
        return next((self.values[word] for word in known if holds(small, word)), None)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is said to an intent."""

    texts: tuple[str, ...]
    """In one language or more; slots stand in braces. None: a person takes over."""
    slots: tuple[Slot, ...] = ()
    rule: Rule | None = None
    """Words that decide for the intent, before it is asked what a message is."""
    hand_over: tuple[str, ...] = ()
    """What is said where a person takes over, in place of what the desk says."""

    def filled(self, values: Mapping[str, str], script: str | None) -> str:
        """The text in a script, with slots filled."""
        return in_script(self.texts, script).format_map(values)


Replies = Mapping[str, Reply]
"""By intent."""


def read(path: str | Path, intents: Sequence[str]) -> dict[str, Reply]:
    r"""Replies of a file of JSON, one object a line.

    ```json
    {"intent": "order status", "reply": ["Order {order} is on its way.", "订单 {order} 正在路上。"],
     "slots": {"order": {"pattern": "\\b\\d{5}\\b", "ask": "Which number does the order have?"}}}
    {"intent": "emergency", "words": ["gas leak", "着火"], "hand_over": "Leave the house and call 112."}
    ```

    An entry with words or a pattern decides for its intent, which need not be one of the task then; without a reply it
    is handed over at once.

    Args:
        path: The file.
        intents: Classes of the task.

    Raises:
        InputError: It cannot be read, or an entry is wrong; the message says which and how.
    """
    try:
        with expanded(path).open("rb") as file:
            entries = [
                (f"{path}, line {number}", _parsed(line, f"{path}, line {number}"))
                for number, line in enumerate(lines(file, str(path)), 1)
                if line.strip()
            ]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return checked(entries, intents)


def checked(entries: Iterable[tuple[str, Any]], intents: Sequence[str], kept: bool = False) -> dict[str, Reply]:
    """Replies of entries, as in a file.

    Args:
        entries: Each with what errors call it.
        intents: Classes of the task.
        kept: Whether they were checked when they were given, by a release that may have taken patterns of slots that
            could take for ever: these are never found in a message then.

    Raises:
        InputError: An entry is wrong.
    """
    replies: dict[str, Reply] = {}
    for place, entry in entries:
        ruled = isinstance(entry, dict) and ("words" in entry or "pattern" in entry)
        if not isinstance(entry, dict) or "intent" not in entry or not ("reply" in entry or ruled):
            raise InputError(f'{place} is no reply: write an object such as {{"intent": "...", "reply": "..."}}')
        _known(entry, _KEYS, place)
        intent = entry["intent"]
        if ruled and not (isinstance(intent, str) and intent.strip()):
            raise InputError(f"{place}: intent is a name, got {intent!r}")
        if intent not in intents and not ruled:
            raise InputError(
                f"{place} answers '{intent}', which is no intent of the task{nearest(str(intent), list(intents))}"
            )
        if intent in replies:
            raise InputError(f"{place} answers '{intent}' again: write several languages as a list in one entry")
        replies[intent] = _reply(entry, place, kept)
    return replies


def script_of(text: str) -> str | None:
    """The script that most of a text's letters are of, such as LATIN or CJK; None: it has no letter.

    Latin ones count a third: names of products stand in texts of any script.
    """
    letters = Counter(unicodedata.name(one, "?").split()[0] for one in text[:READ] if one.isalpha())
    return max(letters, key=lambda script: letters[script] * (1 if script == _LATIN else 3), default=None)


def in_script(texts: Sequence[str], script: str | None) -> str:
    """The first text of a script, else the first of all: languages of one script are not told apart."""
    return next((text for text in texts if script_of(text) == script), texts[0])


def _reply(entry: dict[str, Any], place: str, kept: bool) -> Reply:
    decides = rule(entry, place)
    if "hand_over" in entry and "reply" in entry:
        raise InputError(f"{place} has a reply and is handed over: give reply or hand_over")
    if "reply" not in entry:
        if "slots" in entry:
            raise InputError(f"{place} has slots and no reply that they fill: leave them out")
        said = _texts(entry["hand_over"], "hand_over", place) if "hand_over" in entry else ()
        return Reply(texts=(), rule=decides, hand_over=said)
    texts = _texts(entry["reply"], "reply", place)
    fillers = entry.get("slots", {})
    if not isinstance(fillers, dict):
        raise InputError(f"{place}: slots are an object, a name and what fills it")
    slots = tuple(_slot(name, one, place, kept) for name, one in fillers.items())
    for text in texts:
        for name in _names(text, place):
            if name not in fillers:
                raise InputError(f"{place}: nothing fills {{{name}}}: say how in slots, by a pattern or values")
    return Reply(texts=texts, slots=slots, rule=decides)


def _slot(name: str, entry: Any, place: str, kept: bool) -> Slot:
    place = f"{place}, slot '{name}'"
    if not name.isidentifier():
        raise InputError(f"{place}: a slot is called by a word of letters, digits and _")
    if not isinstance(entry, dict):
        raise InputError(f'{place} is an object such as {{"pattern": "...", "ask": "..."}}')
    _known(entry, _SLOT_KEYS, place)
    if ("pattern" in entry) == ("values" in entry):
        raise InputError(f"{place} is filled by a pattern or by values: give one of them")
    if "ask" not in entry:
        raise InputError(f"{place} has no question: give one as ask, which is put where a message does not fill it")
    ask = _texts(entry["ask"], "ask", place)
    if "values" in entry:
        return Slot(name=name, values=_values(entry["values"], place), ask=ask)
    try:
        return Slot(name=name, pattern=filler(entry["pattern"], place), ask=ask)
    except InputError:
        if not kept:
            raise
        return Slot(name=name, ask=ask)  # never found, so that it is asked for and handed over


def _values(entry: Any, place: str) -> dict[str, str]:
    """A list of values, or of each value the words that mean it."""
    if isinstance(entry, list):
        entry = {value: [] for value in entry if isinstance(value, str)} if _are_words(entry) else None
    if not isinstance(entry, dict) or not entry or not all(_are_words(words) for words in entry.values()):
        raise InputError(f'{place}: values are a list of words, or such as {{"express": ["fast", "overnight"]}}')
    return {word.casefold(): value for value, words in entry.items() for word in (value, *words)}


def _are_words(entry: Any) -> bool:
    return isinstance(entry, list) and all(isinstance(word, str) and word.strip() for word in entry)


def _texts(entry: Any, key: str, place: str) -> tuple[str, ...]:
    texts = [entry] if isinstance(entry, str) else entry
    if not _are_words(texts) or not texts:
        raise InputError(f"{place}: {key} is a text, or a list of the same text in several languages")
    return tuple(texts)


def _names(text: str, place: str) -> list[str]:
    """Slots of a text."""
    try:
        parts = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise InputError(f"{place}: {error}; braces that are meant as such are written twice") from error
    for _, name, form, conversion in parts:
        # `{order.__class__}` would read attributes, `{order:>9999999999}` fill the memory.
        if not str(name).isidentifier() or form or conversion:
            raise InputError(f"{place}: {{{name}}} is no slot: a slot is a word of letters, digits and _ in braces")
    return [str(name) for _, name, _, _ in parts]


def _known(entry: dict[str, Any], keys: set[str], place: str) -> None:
    unknown = next((key for key in entry if key not in keys), None)
    if unknown is not None:
        raise InputError(f"{place} has a key '{unknown}' that is not known{nearest(str(unknown), sorted(keys))}")


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is not JSON ({error}): write one object a line") from error
