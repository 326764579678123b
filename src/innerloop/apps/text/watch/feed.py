"""Entries of an RSS or Atom feed as lines, asked for politely."""

import hashlib
import html.parser
import importlib
import json
import time
import urllib.error
import urllib.request
from calendar import timegm
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from innerloop.apps.text.watch.events import iso
from innerloop.apps.text.watch.lines import Batch
from innerloop.core.errors import FailedError, InputError

FASTEST = 60.0
"""Seconds between two questions, at least."""
_TIMEOUT = 30.0
_LARGEST = 32 << 20
_LONGEST_WAIT = 86_400.0
_GONE = 410
_UNCHANGED = 304
_NAME = 16
"""Characters by which an entry is known in the next answer."""


class Feed:
    """An address that is asked again and again, with what it said last time of its state."""

    def __init__(self, url: str, position: Any, every: float, tell: Callable[[str], None]):
        """Nothing is asked yet.

        Args:
            url: Of the feed.
            position: Of the last batch that was taken; None: it was never asked.
            every: Seconds between two questions.
            tell: Called when it fails in another way than before.

        Raises:
            InputError: `feedparser` is not installed, or it would be asked too often.
        """
        if every < FASTEST:
            raise InputError(f"a feed is asked every {FASTEST:g} seconds at most; got --every {every:g}")
        try:
            self._parser = importlib.import_module("feedparser")
        except ImportError as error:
            raise InputError("reading feeds needs feedparser: pip install 'innerloop[feeds]'") from error
        self._url, self._every, self._tell = url, every, tell
        self._state: dict[str, Any] = dict(position or {})
        self._failure: str | None = None
        self._wait = every

    def batches(self, once: bool = False) -> Iterator[Batch]:
        """What is new in the feed, each time it was asked.

        Args:
            once: Whether it is asked a single time.

        Raises:
            FailedError: It is gone for good, or was to be asked once and fails.
        """
        while True:
            lines = self._asked()
            if lines is not None:
                yield Batch(lines, dict(self._state))
            elif once and self._failure is not None:
                raise FailedError(f"{self._url} {self._failure}")
            if once:
                return
            time.sleep(max(self._wait, self._every))

    def _asked(self) -> list[bytes] | None:
        """Lines of its entries; None: nothing changed, or it fails."""
        headers = {"User-Agent": "innerloop (+feed reader)", "Accept": "application/atom+xml, application/rss+xml, */*"}
        for name, key in (("If-None-Match", "etag"), ("If-Modified-Since", "modified")):
            if key in self._state:
                headers[name] = self._state[key]
        self._wait = self._every
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url, headers=headers), timeout=_TIMEOUT) as answer:
                content, said = answer.read(_LARGEST + 1), answer.headers
        except urllib.error.HTTPError as error:
            with closing(error):
                return self._refused(error)
        except (OSError, ValueError) as error:
            return self._fails(f"cannot be read ({getattr(error, 'reason', None) or error})")
        if len(content) > _LARGEST:
            return self._fails(f"is larger than {_LARGEST >> 20} MiB")
        found = self._parser.parse(content, response_headers={"content-type": said.get("Content-Type", "")})
        if found.bozo and not found.entries:
            return self._fails(f"is no feed ({found.bozo_exception})")
        self._failure = None
        source = found.feed.get("title") or self._url
        # Feeds have the newest first.
        lines = [line(entry, source) for entry in reversed(found.entries)]
        names = [hashlib.sha256(one).hexdigest()[:_NAME] for one in lines]
        before = set(self._state.get("entries", []))
        state = {"etag": said.get("ETag"), "modified": said.get("Last-Modified"), "entries": names}
        self._state = {key: value for key, value in state.items() if value}
        # A feed repeats its entries for as long as it has them, which may be longer than ids are remembered.
        return [one for one, name in zip(lines, names, strict=True) if name not in before]

    def _refused(self, error: urllib.error.HTTPError) -> None:
        if error.code == _UNCHANGED:
            self._failure = None
            return None
        if error.code == _GONE:
            raise FailedError(f"{self._url} answers that it is gone for good (410): leave it out")
        after = error.headers.get("Retry-After", "")
        if after.isdigit():
            self._wait = min(float(after), _LONGEST_WAIT)
        return self._fails(f"answers {error.code}")

    def _fails(self, failure: str) -> None:
        if failure != self._failure:
            self._tell(f"{self._url} {failure}; it is asked again")
        self._failure = failure


def line(entry: Any, source: str) -> bytes:
    """An entry as a line of JSON: title and summary, when it was published, and its id, link, or what it says."""
    parts = [plain(entry.get(key) or "") for key in ("title", "summary")]
    at = entry.get("published_parsed") or entry.get("updated_parsed")
    text = "\n".join(part for part in parts if part)
    event = {
        "text": text,
        "time": None if at is None else iso(1000 * timegm(at)),
        "id": entry.get("id") or entry.get("link") or hashlib.sha256(text.encode()).hexdigest(),
        "source": source,
    }
    return json.dumps(event).encode()


def plain(markup: str) -> str:
    """The text of HTML."""
    reader = _Text()
    reader.feed(markup)
    reader.close()
    return " ".join("".join(reader.parts).split())


class _Text(html.parser.HTMLParser):
    """Gathers text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(" ")  # <p>one</p><p>two</p> are two words
