"""Lines that are posted: a small listener on this machine, which answers once they are kept."""

import hmac
import json
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from innerloop.apps.text.watch.lines import Batch, Splitter
from innerloop.core.errors import InputError

TOKEN = "INNERLOOP_WATCH_TOKEN"
"""Variable of the environment with the word that a sender shows."""
LARGEST = 16 << 20
"""Bytes of a request."""
_WAITING = 8
"""Requests that wait for their turn; more are asked to come again."""
_SECONDS = 60.0
_MOMENT = 1.0
_LOOK = 0.05
"""Seconds between two looks whether it is to end."""
_PATH = "/events"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(eq=False)
class _Posted:
    """A request, and whether what it brought is kept."""

    lines: list[bytes]
    kept: threading.Event = field(default_factory=threading.Event)


class Listener:
    """`POST /events` with one JSON object a line, and `Authorization: Bearer TOKEN`."""

    def __init__(self, host: str, port: int, token: str | None, tell: Callable[[str], None]):
        """Listen.

        Args:
            host: Address to listen on.
            port: 0: any that is free.
            token: What a sender shows; None: one that is made up, and told.
            tell: Called with the address, and the token that was made up.

        Raises:
            InputError: The address cannot be listened on, or is no loopback and there is no token.
        """
        if token is None and host not in _LOOPBACK:
            raise InputError(f"who sends to {host} must show a token: set {TOKEN} in the environment")
        self._token = (token or secrets.token_urlsafe(16)).encode()
        self._posted: queue.Queue[_Posted] = queue.Queue(_WAITING)
        listener = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            timeout = _SECONDS

            def do_POST(self) -> None:
                """Take lines, or say why not."""
                status, told = listener.answer(self)
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")  # of what was refused, the rest is not read
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot listen on {host}, port {port} ({error}): give another --port") from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(_LOOK,), name="innerloop-listener", daemon=True
        ).start()
        tell(f"listening on http://{host}:{self.port}{_PATH}")
        if token is None:
            tell(f"senders show this token, since {TOKEN} is not set: {self._token.decode()}")

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, Any]]:
        """Status and body for a request, once what it brought is kept."""
        if request.path != _PATH:
            return 404, {"error": f"post to {_PATH}"}
        shown = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(shown, b"Bearer " + self._token):
            return 401, {"error": "show the token: Authorization: Bearer ..."}
        length = request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return 411, {"error": "say how long it is: Content-Length"}
        if int(length) > LARGEST:
            return 413, {"error": f"more than {LARGEST >> 20} MiB: send less at once"}
        body = request.rfile.read(int(length))
        if len(body) < int(length):
            return 400, {"error": "it ended early"}
        splitter = Splitter()
        posted = _Posted([line for line, _ in [*splitter.add(body), *splitter.last()]])
        try:
            self._posted.put(posted, timeout=_SECONDS)
        except queue.Full:
            return 503, {"error": "too much is waiting: send it again"}
        if not posted.kept.wait(_SECONDS):
            return 503, {"error": "not kept in time: send it again, with ids, by which it is counted once"}
        return 200, {"lines": len(posted.lines)}

    def batches(self) -> Iterator[Batch]:
        """What is posted; a request is answered when the next batch is asked for, since it is kept then."""
        count = 0
        while True:
            try:  # not for ever: a Ctrl-C that comes just before a wait does not end it
                posted = self._posted.get(timeout=_MOMENT)
            except queue.Empty:
                continue
            count += len(posted.lines)
            yield Batch(posted.lines, {"lines": count})
            posted.kept.set()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
