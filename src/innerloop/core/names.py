"""Names that come from outside, of files and classes: as text that can be compared, kept and shown."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_TURNS = {chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}
"""Characters that change the direction of writing: with them a name can look like another."""

_REASON = 200
"""Characters of another's error in a message."""


def composed(name: str) -> str:
    """A name in Unicode's composed form, in which names that look the same are the same.

    macOS and some archives write é as e with an accent behind it, everyone else as one character.
    """
    return unicodedata.normalize("NFC", name)


def unified(names: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Names with one spelling for those that are the same when composed: the one that came first.

    Args:
        names: In any form; a spelling that has no rival stays as it is.
        known: What came before.
    """
    spelling: dict[str, str] = {}
    for name in known:
        spelling.setdefault(composed(name), name)
    return [spelling.setdefault(composed(name), name) for name in names]


def of_path(path: Path) -> str:
    """The last part of a path as text that any encoding of Unicode can hold.

    Names that Python cannot decode come as lone surrogates, which nothing can write: where the locale knows ASCII alone
    they are UTF-8 all the same, elsewhere most are Latin-1.
    """
    try:
        path.name.encode()
        return path.name
    except UnicodeEncodeError:
        pass
    try:
        content = os.fsencode(path.name)
    except UnicodeEncodeError:  # half a character, which is no name of a file
        return path.name.encode("utf-8", "backslashreplace").decode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def printable(text: str, keep: str = "") -> str:
    """Text that a terminal only shows: what would move the cursor, colour, or turn the line is escaped.

    Args:
        text: From outside.
        keep: Characters that stay, such as line ends.
    """
    if text.isprintable() and not _TURNS.intersection(text):
        return text
    return "".join(c if c in keep or not _acts(c) else c.encode("unicode_escape").decode() for c in text)


def reason(error: BaseException) -> str:
    """What an error of another package says, for a message: its first line, of which a damaged file may be a part."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {printable(text)[:_REASON]}" if text else type(error).__name__


def _acts(character: str) -> bool:
    return character in _TURNS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
