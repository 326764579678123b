"""What a task may be called: one rule for Python, the command line, HTTP and the page.

A name is a part of addresses and of the name of a download, and people read it: letters of any script with their marks,
digits, dots, underscores and hyphens, beginning with a letter or a digit. So there is no slash, no dot in front,
nothing that cannot be seen, and nothing that turns the direction of writing. Spellings of a name that Unicode takes for
the same are one (NFC).
"""

import unicodedata
from urllib.parse import quote

from innerloop.core.errors import InputError
from innerloop.core.names import composed, printable

PATTERN = r"[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}._\-]{0,63}"
"""The rule as a regular expression of ECMAScript, for the page and the OpenAPI document."""
RULE = "1 to 64 letters and digits of any script, dots, underscores and hyphens, beginning with a letter or a digit"
ENDING = ".fewshot"
_LONGEST = 64
_BYTES = 200
"""Bytes of UTF-8: file systems take 255 for a name, of which the ending and what a browser adds are a part."""
_DECOMPOSED = 4
"""Characters that one character becomes at most when it is taken apart."""
_SHOWN = 100


def checked(name: str) -> str:
    """A name as it is kept.

    Args:
        name: In any form of Unicode.

    Raises:
        InputError: No task can be called so.
    """
    kept = spelled(name)
    wrong = next((c for i, c in enumerate(kept[:_LONGEST]) if not _taken(c, i == 0)), None)
    if wrong is not None:
        raise _refusal(name, f"'{wrong}' (U+{ord(wrong):04X})" if wrong.isprintable() else f"U+{ord(wrong):04X}")
    if not 0 < len(kept) <= _LONGEST:
        raise _refusal(name, f"{len(name):,} characters")
    if (size := len(kept.encode())) > _BYTES:
        raise _refusal(name, f"{size} bytes of UTF-8, and {_BYTES} are most")
    return kept


def spelled(name: str) -> str:
    """A name in the one spelling that it is looked up by, whether a task can be called so or not."""
    # One that is too long is not composed, which takes the square of a row of accents.
    return composed(name) if len(name) <= _DECOMPOSED * _LONGEST else name


def of_file(file_name: str) -> str:
    """What a task is called that comes as a file: its name, with hyphens for what names do not have.

    Raises:
        InputError: Nothing of it can be a name.
    """
    kept, skipped = "", False
    for character in spelled(file_name.removesuffix(ENDING)[: _DECOMPOSED * _LONGEST]):
        if not _taken(character, not kept):
            skipped = bool(kept)
            continue
        longer = f"{kept}-{character}" if skipped else kept + character
        if len(longer) > _LONGEST or len(longer.encode()) > _BYTES:
            break
        kept, skipped = longer, False
    if not kept:
        raise _refusal(file_name, "no letter or digit")
    return kept


def address(name: str) -> str:
    """The path of a task, as everything that points to it spells it."""
    return f"/api/tasks/{quote(name, safe='')}"


def disposition(name: str) -> str:
    """`Content-Disposition` of a task's file; other names than those of ASCII as RFC 6266 has them."""
    if name.isascii():
        return f'attachment; filename="{name}{ENDING}"'
    return f"attachment; filename=\"task{ENDING}\"; filename*=UTF-8''{quote(name + ENDING, safe='')}"


def _refusal(name: str, fault: str) -> InputError:
    return InputError(f"no task can be called '{printable(name[:_SHOWN])}', which has {fault}: give {RULE}")


def _taken(character: str, first: bool) -> bool:
    kind = unicodedata.category(character)
    if kind.startswith("L") or kind == "Nd":
        return True
    return not first and (kind.startswith("M") or character in "._-")
