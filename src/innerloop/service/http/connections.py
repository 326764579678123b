"""The connections of one worker: how many it keeps, and for how long a client may let it wait.

uvicorn keeps every connection for as long as its client likes, and answers 503 when there are too many. Here each has a
time for what it waits for, one who comes when there is no room takes the place of whoever let the server wait longest,
and what a client sends before it asks, or does not read of its answer, is bounded.
"""

import asyncio
import heapq
import json
import time
from collections import Counter
from collections.abc import Container
from http import HTTPStatus
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from innerloop.service import addresses

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # httptools is compiled, h11 goes everywhere and bounds headers itself
    from uvicorn.protocols.http.h11_impl import H11Protocol

    Parser: type[Any] = H11Protocol
else:

    class _HttpTools(HttpToolsProtocol):
        """Counts the pieces of bodies, so that everything else can be told from them."""

        bodies = 0

        def on_body(self, body: bytes) -> None:
            self.bodies += 1
            super().on_body(body)

    Parser: type[Any] = _HttpTools

HEADER_BYTES = 65_536
"""Bytes of a request before its body, the address among them."""
HEADERS = 100
_AHEAD = 8
"""Requests that may be sent before the first one is answered."""
_AT_ONCE = 32
"""Connections of which one is closed where room is needed."""
_UNREAD_MB = 256.0
"""Answers that are held in memory because nobody reads them."""
_SLOWEST = 1_000
"""Bytes a second of an answer that a client must read."""
_LINGER = 2.0
"""Seconds in which a client may read why it is refused."""
_UNHEARD = 262_144
"""Bytes that it may go on sending meanwhile."""
_ANSWERING = ("body", "unread", "work")


class Connections:
    """Makes uvicorn's protocols, and watches what becomes of them. It reaches another process before the first one.

    Args:
        most: How many there may be.
        each: How many of one address.
        free: Addresses that stand for many clients, such as proxies: `each` is not for them.
        request: Seconds until the head of a request has arrived.
        idle: Seconds between an answer and the next request.
        stalled: Seconds in which some of an answer must be read.
    """

    def __init__(
        self,
        most: int,
        each: int,
        free: Container[str] = (),
        request: float = 10.0,
        idle: float = 60.0,
        stalled: float = 30.0,
    ):
        self.most, self.each, self._free, self.stalled = most, each, free, stalled
        self.patience = {"new": request, "request": request, "idle": idle, "refused": min(request, _LINGER)}
        self._open: set[_Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._tick = min(1.0, request / 5, idle / 5, stalled / 5)
        self._sweeping = False

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        """The protocol of one connection, as uvicorn asks for it."""
        return _Connection(self, Parser(config, server_state, app_state, _loop), _loop or asyncio.get_running_loop())

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, new: "_Connection") -> bool:
        """Make room for a connection, at another's cost if need be.

        Returns:
            Whether there is room.
        """
        own = self._addresses[new.address]
        crowded = own >= self.each and new.address not in self._free
        # Who has too many makes room among its own connections, never among those of others.
        if crowded or len(self._open) >= self.most:
            rivals = [c for c in self._open if not crowded or c.address == new.address]
            # Who is in the middle of something loses it only to an address with fewer connections.
            rivals = [c for c in rivals if c.state() != "work" or self._addresses[c.address] > own + 1]
            if not rivals:
                return False
            # Some at once where there are many: looking at all of them for each that comes would be an attack too.
            for one in heapq.nlargest(1 + len(rivals) // _AT_ONCE, rivals, key=self._burden):
                one.abort()
        self._open.add(new)
        self._addresses[new.address] += 1
        if not self._sweeping:
            self._sweeping = True
            new.loop.call_later(self._tick, self._sweep, new.loop)
        return True

    def leave(self, one: "_Connection") -> None:
        """Forget a connection."""
        if one in self._open:
            self._open.remove(one)
            self._addresses[one.address] -= 1
            if not self._addresses[one.address]:
                del self._addresses[one.address]

    def relieve(self) -> None:
        """Close connections that do not read while all of them together hold too much."""
        unread = {c: c.unread for c in self._open if c.unread}
        while sum(unread.values()) > _UNREAD_MB * 1e6:
            largest = max(unread, key=unread.__getitem__)
            del unread[largest]
            largest.abort()

    def _burden(self, one: "_Connection") -> tuple[int, bool, float]:
        return self._addresses[one.address], one.state() not in _ANSWERING, -one.quiet

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = bool(self._open)
        if self._sweeping:
            loop.call_later(self._tick, self._sweep, loop)
        for one in list(self._open):
            one.look()
        self.relieve()


class _Connection(asyncio.Protocol):
    """uvicorn's protocol of one connection, and what stands before it."""

    def __init__(self, connections: Connections, inner: Any, loop: asyncio.AbstractEventLoop):
        self.loop, self.address = loop, "?"
        self._connections, self._inner = connections, inner
        self._transport: asyncio.Transport | None = None
        self._refused = False
        self._loose = 0
        """Bytes since the last request began, its body had a piece, or it was answered."""
        self._state, self._since = "new", time.monotonic()
        self.quiet = self._since
        """When it began to wait for what it waits for; half a request is no more than none."""
        self._mark, self._marked = 0, time.monotonic()

    @property
    def unread(self) -> int:
        """Bytes that the client has not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = addresses.name(str(peer[0])) if isinstance(peer, tuple) else "?"
        if self._connections.admit(self):
            self._inner.connection_made(self._transport)
            return
        self._refuse(503, "there are too many connections: try again")
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        # One that was refused never reached uvicorn's protocol.
        if self._inner.transport is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._loose += len(data)
            if self._loose > _UNHEARD:
                self.abort()
            return
        self.state()
        cycle, bodies = self._inner.cycle, getattr(self._inner, "bodies", None)
        self._inner.data_received(data)
        moved = self._inner.cycle is not cycle or getattr(self._inner, "bodies", None) != bodies
        self._loose = 0 if moved else self._loose + len(data)
        self.state()
        large = bodies is not None and (
            self._loose > HEADER_BYTES or (not moved and len(self._inner.headers or ()) > HEADERS)
        )
        if large or len(getattr(self._inner, "pipeline", ())) > _AHEAD:
            self._stop(431, f"the head of a request has at most {HEADERS} headers and {HEADER_BYTES:,} bytes")

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()
        # Now and not at the next look: answers can fill the memory in between.
        self._connections.relieve()

    def resume_writing(self) -> None:
        self._mark = 0
        self._inner.resume_writing()

    def abort(self) -> None:
        """Close it at once, whatever it holds."""
        # Before the loop says that it is lost, one turn later: its place is needed now.
        self._connections.leave(self)
        if self._transport is not None:
            self._transport.abort()

    def state(self) -> str:
        """What is waited for.

        Returns:
            "new" or "request": the first request, or the rest of its head. "idle": another one. "body": the rest of a
            body. "unread": that an answer is read. "refused": that a refusal is. "work": it is the server that lets
            wait.
        """
        cycle = self._inner.cycle
        if self.unread:
            state = "unread"
        elif self._refused:
            state = "refused"
        elif cycle is not None and not cycle.response_complete:
            state = "body" if cycle.more_body else "work"
        elif self._state in _ANSWERING:  # it was answered since
            self._loose, state = 0, "idle"
        else:
            state = "request" if self._loose else self._state
        if state != self._state:
            self._state, self._since = state, time.monotonic()
            if state != "request":
                self.quiet = self._since
        return state

    def look(self) -> None:
        """End what takes too long."""
        state = self.state()
        if state == "unread":
            self._look_at_reading()
            return
        self._mark = 0
        if time.monotonic() - self._since > self._connections.patience.get(state, float("inf")):
            self._stop(408, f"no request came for {self._connections.patience[state]:g} s")

    def _look_at_reading(self) -> None:
        now, unread = time.monotonic(), self.unread
        if unread > self._mark:  # there is more to read than there was
            self._marked = self._marked if self._mark else now
            self._mark = unread
        elif now - self._marked > self._connections.stalled:
            # A rate, not a sign of life: a byte now and then would hold a large answer for ever.
            if self._mark - unread < _SLOWEST * self._connections.stalled:
                self.abort()
            self._mark, self._marked = unread, now

    def _stop(self, status: int, why: str) -> None:
        """Refuse what is no request yet; what is none any more, or was answered, ends without a word."""
        answered = self._inner.cycle is not None and self._inner.cycle.more_body
        if self._refused or answered or self.state() != "request":
            self.abort()
            return
        self._refuse(status, why)

    def _refuse(self, status: int, why: str) -> None:
        assert self._transport is not None
        self._refused = True
        body = json.dumps({"error": why}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        # Not closed yet: what still arrives would make the system throw away the answer.
        self._transport.write_eof()
