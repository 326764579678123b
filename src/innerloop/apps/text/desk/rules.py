"""Words that decide an intent before a classifier is asked: such as those of an emergency."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

from innerloop.apps.text.desk.ambiguity import LargeError, doubles
from innerloop.core.errors import InputError

READ = 500
"""Characters of a message in which expressions are looked for: they are somebody's, and may be slow."""
_STEPS = 5e7
"""What an expression may take at worst: half a second."""
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_INSIDE = {"SUBPATTERN": -1, "ATOMIC_GROUP": 0, "ASSERT": 1, "ASSERT_NOT": 1}
"""Where the parts of what is no choice and no repetition stand."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What decides an intent."""

    words: tuple[str, ...] = ()
    """Words or phrases, in small letters."""
    pattern: re.Pattern[str] | None = None
    """An expression beside them."""

    def find(self, message: str) -> str | None:
        """What of a message decides; None: nothing does."""
        small = " ".join(message.casefold().split())  # as words are: a line may end in a phrase
        found = next((word for word in self.words if holds(small, word)), None)
        if found is not None or self.pattern is None:
            return found
        match = self.pattern.search(message[:READ])
        return match[0] if match and match[0] else None


def rule(entry: Mapping[str, Any], place: str) -> Rule | None:
    """The rule of an entry with words or a pattern; None: it has neither.

    Args:
        entry: Of a file of replies.
        place: What errors call it.

    Raises:
        InputError: They are no words, no expression, or one that would take too long.
    """
    words, text = entry.get("words"), entry.get("pattern")
    if words is None and text is None:
        return None
    words = [] if words is None else [words] if isinstance(words, str) else words
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise InputError(f'{place}: words are a list such as ["gas leak", "fire"]')
    if not words and text is None:
        raise InputError(f"{place}: words is empty: give some, or leave it out")
    pattern = None if text is None else expression(text, place)
    return Rule(words=tuple(" ".join(word.casefold().split()) for word in words), pattern=pattern)


def holds(message: str, word: str) -> bool:
    """Whether a word stands in a message by itself, both in small letters.

    Letters that there are small and large ones of, as of Latin, Greek and Cyrillic, and digits end where a word does;
    other characters, such as Chinese ones, are written without blanks and have no edges.
    """
    at = message.find(word)
    while at >= 0:
        end = at + len(word)
        before, after = message[at - 1 : at], message[end : end + 1]
        if not (_spaced(word[0]) and _spaced(before)) and not (_spaced(word[-1]) and _spaced(after)):
            return True
        at = message.find(word, at + 1)
    return False


def _spaced(letter: str) -> bool:
    return letter.upper() != letter or (letter.isascii() and letter.isdigit())


def expression(text: Any, place: str) -> re.Pattern[str]:
    """An expression whose search ends in time, whatever the message.

    Raises:
        InputError: It is none, or could take too long.
    """
    pattern = _compiled(text, place)
    if _is_slow(text):
        raise InputError(
            f"{place}: the pattern {text!r} could take very long on some messages: repeat with a bound, such as "
            "{0,20}, repeat nothing that is repeated or chosen inside, and give plain words in `words`"
        )
    return pattern


def filler(text: Any, place: str) -> re.Pattern[str]:
    """An expression whose search does not double its time with every few letters, such as one of a slot.

    Raises:
        InputError: It is none, or does.
    """
    pattern = _compiled(text, place)
    try:
        refused = _is_slow(text) and doubles(text)
    except (LargeError, RecursionError):
        refused = True
    if refused:
        raise InputError(
            f"{place}: the pattern {text!r} could take for ever on some messages: repeat nothing that matches the same "
            "letters in several ways, such as (a+)+"
        )
    return pattern


def _compiled(text: Any, place: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise InputError(f"{place}: the pattern is no regular expression ({error})") from error


def _is_slow(text: str) -> bool:
    try:
        ways, endless = _cost(parser.parse(text))
        return ways * READ ** (endless + 1) / math.factorial(endless + 1) > _STEPS
    except (RecursionError, OverflowError):  # as large as that
        return True


def _cost(parts: Any) -> tuple[float, int]:
    """In how many ways a sequence may match at a place, and how many repetitions without a bound it has."""
    ways, endless = 1.0, 0
    for kind, what in parts:
        more, unbounded = _cost_of(str(kind), what)
        ways, endless = min(ways * more, math.inf), endless + unbounded
    return ways, endless


def _cost_of(kind: str, what: Any) -> tuple[float, int]:
    if kind == "BRANCH":
        each = [_cost(part) for part in what[1]]
        return sum(ways for ways, _ in each), max(endless for _, endless in each)
    if kind in _REPEATS or kind == "POSSESSIVE_REPEAT":
        least, most, inside = what
        ways, endless = _cost(inside)
        if int(most) - int(least) < READ and not endless:
            return _times(ways, int(least), int(most)), 0
        return (1.0, 1) if ways == 1 and not endless else (math.inf, 1)
    if kind in _INSIDE:
        return _cost(what[_INSIDE[kind]] if isinstance(what, tuple) else what)
    return (math.inf, 0) if kind in ("GROUPREF", "GROUPREF_EXISTS") else (1.0, 0)


def _times(ways: float, least: int, most: int) -> float:
    if ways == 1:
        return most - least + 1.0
    if most * math.log(ways) > math.log(_STEPS):
        return math.inf
    return sum(ways**times for times in range(least, most + 1))
