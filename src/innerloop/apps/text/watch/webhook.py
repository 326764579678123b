"""Alerts posted to an address, one after another, each until it is taken."""

import contextlib
import http.client
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from innerloop.apps.text.watch.state import connect
from innerloop.core.errors import InputError

_TIMEOUT = 10.0
_FIRST, _MOST = 1.0, 300.0
"""Seconds until an alert is sent again: twice as many each time."""
_DOUBLINGS = 30
_LONGEST_WAIT = 3600.0
"""Seconds that an answer may ask to wait, by Retry-After."""
_PAUSE = 0.05
_SHOWN = 200


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nobody: an alert goes to the address that was given, or nowhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


class Webhook:
    """A thread that posts what the state has for it, and keeps what was taken."""

    def __init__(self, state: Path, url: str, tell: Callable[[str], None], first: float = _FIRST):
        """Begin to send.

        Args:
            state: The state's file.
            url: Where alerts are posted, by HTTP or HTTPS.
            tell: Called once for every way in which it fails.
            first: Seconds until the first attempt is repeated.

        Raises:
            InputError: It is no such address.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"--webhook is an address that begins with https:// or http://; got {url!r}")
        self._url, self._tell, self._first = url, tell, first
        self._connection = connect(state)
        # What another process waited for may be there by now.
        self._connection.execute("UPDATE alerts SET due = 0 WHERE sent = 0")
        self._told: set[str] = set()
        self._ending = threading.Event()
        self._opener = urllib.request.build_opener(_Stay)
        self._thread = threading.Thread(target=self._run, name="innerloop-webhook", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> int:
        """Wait until all is sent, for so long; how many alerts are left, which the next run sends.

        Only the first call does something.
        """
        if self._ending.is_set():
            return 0
        end = time.monotonic() + seconds
        while self._left() and time.monotonic() < end:
            time.sleep(_PAUSE)
        self._ending.set()
        self._thread.join(_TIMEOUT + 1)
        left = self._left()
        self._connection.close()
        return left

    def _left(self) -> int:
        return self._connection.execute("SELECT count(*) FROM alerts WHERE sent = 0").fetchone()[0]

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._send()
            except sqlite3.Error as error:  # a disk that is full, say: alerts stay where they are
                self._once(f"cannot keep what it sent ({error})")
                self._ending.wait(self._first)

    def _once(self, failure: str) -> None:
        if failure not in self._told:
            self._told.add(failure)
            self._tell(f"the webhook {failure}; alerts are kept, and sent again until it takes them")

    def _send(self) -> None:
        """Post the first alert that is left, if it is due."""
        row = self._connection.execute(
            "SELECT number, key, body, tries, due FROM alerts WHERE sent = 0 ORDER BY number LIMIT 1"
        ).fetchone()
        if row is None or row[4] > time.time():
            self._ending.wait(_PAUSE)
            return
        number, key, body, tries, _ = row
        failure, wait = self._post(key, body)
        if failure is None:
            self._connection.execute("UPDATE alerts SET sent = 1, error = NULL WHERE number = ?", (number,))
            self._told.clear()
            return
        pause = max(min(self._first * 2 ** min(tries, _DOUBLINGS), _MOST), wait)
        self._connection.execute(
            "UPDATE alerts SET tries = ?, due = ?, error = ? WHERE number = ?",
            (tries + 1, time.time() + pause, failure, number),
        )
        self._once(failure)

    def _post(self, key: str, body: str) -> tuple[str | None, float]:
        """Why it was not taken, and how long is to be waited at least; None: it was."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "innerloop"}
        request = urllib.request.Request(self._url, body.encode(), headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT):
                return None, 0.0
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                if 300 <= error.code < 400:
                    return f"redirects ({error.code}), which is not followed: give the address it leads to", 0.0
                after = error.headers.get("Retry-After", "")
                return f"answers {error.code}", min(float(after), _LONGEST_WAIT) if after.isdigit() else 0.0
        except (OSError, http.client.HTTPException) as error:
            return f"cannot be reached ({getattr(error, 'reason', None) or error})"[:_SHOWN], 0.0
