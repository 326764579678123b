"""Lines of JSON as events: what was said, when, and by which name it is known again."""

import contextlib
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from innerloop.core.texts import readable

LONGEST_LINE = 4 << 20
"""Bytes of a line; what is longer is passed over without being held."""
_MILLISECONDS = 1e11
"""Numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""
_LATEST = 253_402_300_800_000
"""The end of the year 9999."""
_SHOWN = 280
"""Characters of a text that are kept to be shown."""
_KEY = 16

NOT_JSON, NO_TEXT, NO_TIME, BAD_ID, TOO_LONG = "not JSON", "no text", "no time", "unusable id", "too long"
"""What a line may lack; each is counted, and told once."""
ABOUT = {
    NOT_JSON: "lines that are no JSON object",
    NO_TEXT: "lines without a `text` that says anything",
    NO_TIME: "lines without a `time` (ISO 8601, or seconds since 1970)",
    BAD_ID: "lines whose `id` is neither a text nor a whole number",
    TOO_LONG: f"lines of more than {LONGEST_LINE >> 20} MiB",
}


class Unusable(ValueError):
    """A line that is no event; its argument is the kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A text at a time."""

    text: str
    """Without lone surrogates, which nothing can write."""
    time: int
    """Milliseconds since 1970, UTC."""
    id: str | None = None
    source: str | None = None

    @property
    def shown(self) -> str:
        """The beginning of the text, for people."""
        return self.text if len(self.text) <= _SHOWN else self.text[: _SHOWN - 1] + "…"

    @property
    def key(self) -> bytes | None:
        """The id, at a fixed length."""
        return None if self.id is None else _digest(self.id)

    @property
    def content(self) -> bytes:
        """The whole text, at a fixed length."""
        return _digest(self.text)

    @property
    def order(self) -> bytes:
        """A place among others that depends on the event alone: the lowest ones are a uniform sample."""
        return _digest(f"{self.id}\0{self.time}\0{self.text}")


def parse(line: bytes) -> Event:
    """The event that a line holds.

    Raises:
        Unusable: It holds none.
    """
    if len(line) > LONGEST_LINE:
        raise Unusable(TOO_LONG)
    try:
        entry = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unusable(NOT_JSON) from None
    if not isinstance(entry, dict):
        raise Unusable(NOT_JSON)
    text = entry.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Unusable(NO_TEXT)
    time = milliseconds(entry.get("time"))
    if time is None:
        raise Unusable(NO_TIME)
    known, source = entry.get("id"), entry.get("source")
    if known is not None and (isinstance(known, bool) or not isinstance(known, str | int)):
        raise Unusable(BAD_ID)
    return Event(
        text=_plain(text),
        time=time,
        id=None if known is None else _plain(str(known)),
        source=_plain(source) if isinstance(source, str) else None,
    )


def milliseconds(value: Any) -> int | None:
    """A time in milliseconds since 1970; None: it is none.

    Args:
        value: ISO 8601, in UTC where it names no zone; or a number, or its digits: seconds since 1970, and milliseconds
            from 100,000,000,000 on.
    """
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return _since_1970(float(value))
    except OverflowError:
        return None


def iso(time: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    at = datetime.fromtimestamp(time // 1000, UTC).replace(microsecond=time % 1000 * 1000)
    return at.isoformat(timespec="seconds" if time % 1000 == 0 else "milliseconds").replace("+00:00", "Z")


def _of_text(text: str) -> int | None:
    with contextlib.suppress(ValueError):  # before dates, of which eight digits would be one
        return _since_1970(float(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return _checked((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _since_1970(number: float) -> int | None:
    if not math.isfinite(number):
        return None
    return _checked(number if number >= _MILLISECONDS else number * 1e3)


def _checked(time: float) -> int | None:
    return round(time) if 0 <= time < _LATEST else None


def _plain(text: str) -> str:
    return readable([text], len(text))[0]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_KEY).digest()
