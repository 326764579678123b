"""What raw examples are, and texts as any encoder can read them."""

from collections.abc import Iterable
from typing import Any, Literal

from innerloop.core.errors import InputError

Kind = Literal["pictures", "sounds", "texts", "features"]
FILES = ("pictures", "sounds")
"""Kinds whose examples are files, which become rows one by one."""
LONGEST = 5_000
"""Characters of a text that encoders of sentences read. Time grows with them: a million would take minutes."""


def readable(examples: Iterable[Any], longest: int = LONGEST) -> list[str]:
    """Examples as text that any encoder can read: of bounded length and without lone surrogates.

    Args:
        examples: What was given.
        longest: Characters; what is beyond has no influence.

    Raises:
        InputError: Something else than strings.
    """
    if isinstance(examples, str):
        raise InputError("X is one text; give a list of texts")
    texts = []
    for i, text in enumerate(examples):
        if not isinstance(text, str):
            raise InputError(f"example {i} is of type {type(text).__name__}; this encoder reads texts (str)")
        # A lone surrogate (half of a character, from broken JSON) cannot be written as UTF-8.
        texts.append(text[:longest].encode("utf-8", "replace").decode("utf-8"))
    return texts
