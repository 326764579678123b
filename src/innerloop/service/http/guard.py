"""What stands before every route: sizes, host names, origins, keys, rates, and the headers of every answer."""

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from innerloop.service import logs
from innerloop.service.addresses import Proxies
from innerloop.service.http.access import KEY, named
from innerloop.service.http.batching import CLIENT
from innerloop.service.http.connections import HEADER_BYTES, HEADERS
from innerloop.service.http.counting import Counter
from innerloop.service.http.errors import ANSWERED, HTTPError, as_http
from innerloop.service.http.service import Service
from innerloop.service.http.tensors import LENGTH
from innerloop.service.http.turns import Turn, Turns
from innerloop.service.limits import Rate
from innerloop.service.settings import LOOPBACK_NAMES
from innerloop.service.stages import stage
from innerloop.service.store.by import BY, By
from innerloop.service.store.keys import Key
from innerloop.service.store.rates import Rates

if TYPE_CHECKING:
    from innerloop.service.spans import Request

_LOG = logging.getLogger("innerloop.service")
_ASKING = ("/predict", "/suggestions", "/chat", "/tag", "/recommend", "/ask", "/infer", "/setup")
_LINES = "/watch/events"
"""Many small objects, a line each, that a thread parses one by one; what is in a long line, the route counts."""
_LOOKING = ("GET", "HEAD", "OPTIONS")
_SENDING = ("POST", "PATCH")
"""Methods whose routes read a body; one that nobody reads would never begin a turn, which would be a way around it."""
_HEALTH = ("/healthz", "/v2/health/live", "/v2/health/ready")
"""Take no turn: a client that waits for its own work is no reason to take the server for dead and to end it."""
_OPEN = ("/", "/docs", *_HEALTH, "/v2", "/openapi.json", "/favicon.ico")
"""Paths without data; anybody may fetch them."""
_OF_LABEL_STUDIO = 100
"""Lists, objects and texts that a task of Label Studio may come with: who made it, what was predicted, and so on."""
_RATE = 50.0
_GOOD = 1_000
"""Keys that are known to have been right."""
_BODIES_MB = 256.0
"""Bodies that are held in memory at the same time."""
_PATIENCE = 30.0
"""Seconds between two pieces of a body."""
_WHOLE = 300.0
"""Seconds for a whole body: 32 MB at a megabit a second."""
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service):
        self._app, self._service = app, service
        self._settings, self._limits = service.settings, service.limits
        rate = self._limits.rate
        if rate is None and self._settings.keys:
            rate = _RATE
        self._rate = Rate(rate)
        database = service.store.database
        self._shared = Rates(database, rate) if rate and database.shared else None
        """What all hosts of a store count together; None: each worker counts for itself."""
        self._proxies = Proxies(self._settings.proxy)
        self._good: OrderedDict[str, None] = OrderedDict()
        """Keys that were right: who shows one again is not kept out by others at the same address."""
        self._most = self._limits.body_mb * 1e6
        self._turns, self._held = Turns(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (traces := self._service.traces) is None:
            await self._answer(scope, receive, send, None)
        else:
            with traces.request(_method(scope), Headers(scope=scope)) as traced:
                await self._answer(scope, receive, send, traced)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, traced: "Request | None") -> None:
        start, status, body = time.perf_counter(), 0, _Body(self, receive, scope)
        logged, failure = self._settings.log == "json", None
        ids = logs.ids(Headers(scope=scope)) if logged or traced is not None or not _looks(scope) else None
        if ids is not None and traced is not None:
            ids["trace"] = traced.trace
        logs.REQUEST.set(ids)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, scope["path"])
                if ids is not None:
                    MutableHeaders(scope=message)[logs.HEADER] = ids["request"]
            await send(message)

        try:
            with stage("guard"):
                body.turn = self._turns.of(await self._admit(scope))
                key = scope.get(KEY)
                request = None if ids is None else ids["request"]
                BY.set(By(request=request) if key is None else By(key.id, key.name, request))
                body.check()
            if scope["path"] not in _HEALTH and (not body.expected or scope["method"] not in _SENDING):
                await body.turn.begin()
            await self._app(scope, body.receive, sending)
        except ANSWERED as error:
            if not status:
                await _refuse(as_http(error), sending)
        except ClientDisconnect:
            pass  # one line below
        except asyncio.CancelledError:  # only a server that is stopping does that
            if not status:
                await _refuse(HTTPError(503, "the server is stopping: try again", retry=2), sending)
        except Exception as error:
            failure = type(error).__name__
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await _refuse(HTTPError(500, "the server failed: see its log"), sending)
        finally:
            self._held -= body.size
            if body.turn is not None:
                body.turn.end()
            if body.cut:
                _LOG.info("%s %s: the client left after %d bytes", scope["method"], scope["path"], body.size)
            seconds = time.perf_counter() - start
            self._count(scope, status, seconds)
            if ids is not None and traced is not None:
                key, route = scope.get(KEY), getattr(scope.get("route"), "path", None)
                about = {"task": named(scope), "key": key and key.id, "request": ids["request"]}
                traced.answered(_method(scope), route, status or 499, failure, about)
            if ids is not None and logged:
                logs.answered(scope["method"], scope["path"], status or 499, seconds, CLIENT.get())

    async def _admit(self, scope: Scope) -> str:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        _check_size(scope)
        self._check_host(headers.get("host", ""))
        if method not in _LOOKING:
            _check_origin(headers)
        peer = scope["client"][0] if scope.get("client") else "?"
        client = self._proxies.client(peer, headers.getlist("x-forwarded-for"))
        is_open = path in _OPEN or path.startswith("/static/")
        key = None
        if self._settings.keys and not is_open:
            key = scope[KEY] = await self._check_key(headers, client)
            client = f"key {key.id}"
        CLIENT.set(client)
        # What is open to anybody is answered without the store.
        if wait := self._rate.wait(client) if is_open else await self._wait(client):
            raise self._too_many(wait)
        # After the rate: what a key may not do counts as well.
        if key is not None and key.scope != "write" and not _looks(scope):
            raise HTTPError(403, "this API key may only look and predict: changing something needs one of scope write")
        if key is not None and key.quota.requests is not None:
            await self._service.threads.change(self._service.keys.spend, key)
        return client

    async def _wait(self, client: str, take: bool = True) -> float:
        """The seconds that a client is to wait; 0: it may go on."""
        if self._shared is None:
            return self._rate.wait(client, take=take)
        # A refusal asks neither a thread nor the store.
        return self._shared.refused(client) or await self._service.threads.read(self._shared.wait, client, take)

    def _too_many(self, wait: float) -> HTTPError:
        return HTTPError(429, f"more than {self._rate.rate:g} requests a second: slow down", retry=max(1, round(wait)))

    def _check_host(self, host: str) -> None:
        # A name that an attacker's DNS points here reaches a loopback server from any page that is open in a browser.
        names = self._settings.allowed_hosts
        if not names and self._settings.keys:
            return
        name = _host_name(host)
        if name not in (*LOOPBACK_NAMES, *names, self._settings.host):
            raise HTTPError(
                421, f"this server is not called '{name[:100]}': use localhost, or name it with --allowed-hosts"
            )

    async def _check_key(self, headers: Headers, address: str) -> Key:
        token = _token(headers.get("authorization", ""))
        if token not in self._good and (wait := await self._wait(address, take=False)):
            raise self._too_many(wait)
        # Asked of the store each time, also where it was right before: a revoked one ends with the next request.
        key = await self._service.threads.read(self._service.keys.find, token) if token else None
        self._good.pop(token, None)
        if key is None:
            # A wrong key costs a token: guessing is as slow as asking.
            await self._wait(address)
            raise HTTPError(401, "this server demands an API key: send 'Authorization: Bearer <key>'")
        self._good[token] = None
        if len(self._good) > _GOOD:
            self._good.popitem(last=False)
        return key

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern and known methods: whatever else a client may send would begin a new series.
        route = getattr(scope.get("route"), "path", None) or "none"
        method = _method(scope)
        self._service.metrics.requests.labels(method, route, str(status or 499)).inc()
        self._service.metrics.seconds.labels(method, route).observe(seconds)


class _Body:
    """Counts what a client sends, and stops it where it is too much or too slow."""

    def __init__(self, guard: Guard, receive: Receive, scope: Scope):
        self.size, self.cut = 0, False
        self.turn: Turn | None = None
        self._ended = False  # afterwards the client's leaving is awaited, which may take as long as it likes
        self._guard, self._receive, self._headers = guard, receive, (headers := Headers(scope=scope))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        uncounted = kind == "multipart/form-data" or scope["path"].endswith(_LINES)
        self._counter = None if uncounted else Counter(guard._limits, **_pieces_of(scope["path"]))
        self._json = _json_of(scope["path"], headers)
        self._deadline = time.monotonic() + _WHOLE

    def check(self) -> None:
        """Refuse by what the client says that it will send."""
        length = self._headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise HTTPError(400, "Content-Length is not a number: leave it to your program")
        if length is not None and int(length) > self._guard._most:
            raise self._too_large()

    @property
    def expected(self) -> bool:
        """Whether there is one."""
        return "transfer-encoding" in self._headers or self._headers.get("content-length", "0").strip("0") != ""

    async def receive(self) -> Message:
        """The next piece."""
        left = min(_PATIENCE, self._deadline - time.monotonic())
        try:
            if left <= 0 and not self._ended:  # a timeout of 0 would still let pass what is there already
                raise TimeoutError
            async with asyncio.timeout(None if self._ended else left):
                message = await self._receive()
        except TimeoutError as error:
            if left < _PATIENCE:
                raise HTTPError(408, f"the body took more than {_WHOLE:g} s: send less at a time") from error
            raise HTTPError(408, f"nothing came for {_PATIENCE:g} s: send the body without pauses") from error
        self.cut = self.cut or (message["type"] == "http.disconnect" and not self._ended)
        if message["type"] == "http.request":
            piece = len(message.get("body", b""))
            self.size += piece
            self._guard._held += piece
            self._ended = not message.get("more_body", False)
            # Content-Length is only a claim, and bodies in chunks make none.
            if self.size > self._guard._most:
                raise self._too_large()
            if self._guard._held > _BODIES_MB * 1e6:
                raise HTTPError(503, "too much is being sent at the same time: try again", retry=2)
            if self._counter is not None:
                left = None if self._json is None else max(0, self._json - self.size + piece)
                self._counter.feed(message.get("body", b"")[:left])
            if self._ended and self.turn is not None:
                await self.turn.begin()
        return message

    def _too_large(self) -> HTTPError:
        return HTTPError(413, f"a request has at most {self._guard._limits.body_mb:g} MB: send several")


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in (*_LOOKING, "POST", "PATCH", "DELETE", "PUT") else "other"


def _looks(scope: Scope) -> bool:
    """Whether a request changes nothing."""
    return scope["method"] in _LOOKING or (scope["method"] == "POST" and scope["path"].endswith(_ASKING))


def _json_of(path: str, headers: Headers) -> int | None:
    """Bytes of JSON at the beginning of a body whose tensors come behind it; None: all of it is JSON."""
    said = headers.get(LENGTH, "") if path.startswith("/v2/models/") and path.endswith("/infer") else ""
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None


def _token(header: str) -> str:
    """The key in a header, as `Bearer` or as the password of `Basic`, for clients that know no other; or nothing."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(token.strip(), validate=True).decode().partition(":")[2]
    return token.strip() if scheme.lower() == "bearer" else ""


def _pieces_of(path: str) -> dict[str, int]:
    """How many pieces an example may have, where it is more than of this service's own protocol."""
    return {"each": _OF_LABEL_STUDIO} if path.startswith("/label-studio/") else {}


def _check_size(scope: Scope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["headers"]) > HEADERS or size > HEADER_BYTES:
        raise HTTPError(431, f"the head of a request has at most {HEADERS} headers and {HEADER_BYTES:,} bytes")


def _check_origin(headers: Headers) -> None:
    # A page of another site may send forms here; browsers tell where they come from.
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site") == "cross-site"
    if origin is not None:
        try:
            foreign = foreign or urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        except ValueError:  # half of an IPv6 address, say: no browser sends it
            foreign = True
    if foreign:
        raise HTTPError(403, "requests that change something are taken from this server's own page and from programs")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _add_headers(message: Message, path: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers[name] = value
    if not path.startswith("/static/"):
        # Answers hold what people taught, and it may be erased: nothing on the way keeps a copy.
        headers.setdefault("cache-control", "no-store")


def answer(problem: HTTPError) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a refusal."""
    headers = {"content-type": "application/json"}
    if problem.retry is not None:
        headers["retry-after"] = f"{max(1, round(problem.retry))}"
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return json.dumps({"error": str(problem)}).encode(), headers


async def _refuse(problem: HTTPError, send: Send) -> None:
    body, headers = answer(problem)
    listed: Iterable[tuple[bytes, bytes]] = [(k.encode(), v.encode()) for k, v in headers.items()]
    listed = [*listed, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
