"""Clients that connect and do not ask, ask without end, or do not read, over real sockets."""

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from innerloop.service.http import connections, running
from innerloop.service.http.connections import Connections
from tests.service.live import service

LARGE = 20_000_000
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Half:"


class Slowly:
    """How many requests of /slow came, and whether they are answered."""

    came, answered = 0, False


async def app(scope, receive, send):
    """Reads the body and answers with it; /slow waits until it may, /large is large."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/slow":
        Slowly.came += 1
        while not Slowly.answered:
            await asyncio.sleep(0.01)
    body = bytes(LARGE) if scope["path"] == "/large" else body or b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(autouse=True)
def slowly():
    Slowly.came, Slowly.answered = 0, False
    yield
    Slowly.answered = True


@pytest.fixture(params=["httptools", "h11"])
def serve(request, monkeypatch):
    """Starts the app with some bounds; gives its port."""
    if request.param == "h11":
        monkeypatch.setattr(connections, "Parser", H11Protocol)
    with contextlib.ExitStack() as stack:
        yield lambda *bounds, **times: stack.enter_context(serving(Connections(*bounds, **times)))


@contextlib.contextmanager
def serving(bounds):
    options = {"log_level": "error", "timeout_keep_alive": 60, "ws": "none", "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(
        app, port=0, lifespan="off", http=bounds, h11_max_incomplete_event_size=connections.HEADER_BYTES, **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def connect(port, sent=b"", source="127.0.0.1"):
    one = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
    one.sendall(sent)
    return one


def asking(port, count, source="127.0.0.1"):
    """Connections whose requests the application has, and answers when `Slowly.answered`."""
    ones, end = [connect(port, GET.replace(b"/ ", b"/slow ", 1), source) for _ in range(count)], time.monotonic() + 60
    while Slowly.came < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    return ones


def status(one):
    """Of the answer; None: the connection was closed without one."""
    with contextlib.suppress(ConnectionError):
        head = one.recv(65536)
        return int(head.split()[1]) if head else None


def gone(one, within):
    """Whether the server closes a connection in time."""
    one.settimeout(within)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("sent", [b"", HALF, POST, GET + HALF], ids=["nothing", "half a head", "no body", "and again"])
def test_the_owner_gets_in_while_others_hold_every_connection(serve, sent):
    port = serve(6, 100)
    held = [connect(port, sent) for _ in range(20)]
    time.sleep(0.1)
    for _ in range(3):
        assert status(connect(port, GET)) == 200
    assert all(gone(one, 10) for one in held[:12]), "those that let the server wait longest went first"
    assert not gone(held[-1], 0.1)


def test_who_asks_is_not_put_out_for_who_does_not(serve):
    port = serve(4, 100, request=0.5, idle=5.0)
    owner, held = connect(port), []
    for _ in range(4):
        owner.sendall(GET)
        assert status(owner) == 200
        held = [connect(port, source="127.0.0.2" if sys.platform == "linux" else "127.0.0.1") for _ in range(3)]
        time.sleep(0.25)  # all in all longer than a request may take
    assert held


def test_who_is_being_answered_keeps_the_connection(serve):
    port = serve(3, 100)
    busy = asking(port, 3)
    assert status(connect(port, GET)) == 503
    Slowly.answered = True
    assert [status(one) for one in busy] == [200] * 3
    assert status(connect(port, GET)) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_an_address_has_so_many_connections_and_a_proxy_as_many_as_there_are(serve):
    port = serve(100, 3, free=("127.0.0.3",))
    many = [connect(port, source="127.0.0.2") for _ in range(8)]
    other, proxied = connect(port), [connect(port, source="127.0.0.3") for _ in range(8)]
    assert all(gone(one, 10) for one in many[:5])
    assert not any(gone(one, 0.05) for one in (*many[5:], other, *proxied))
    busy = asking(port, 3, "127.0.0.2")
    assert status(connect(port, GET, "127.0.0.2")) == 503 and status(connect(port, GET)) == 200
    Slowly.answered = True
    assert [status(one) for one in busy] == [200] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_many_requests_of_one_address_leave_room_for_another(serve):
    port = serve(4, 100)
    busy = asking(port, 4, "127.0.0.2")
    assert status(connect(port, GET)) == 200
    Slowly.answered = True
    assert sorted(str(status(one)) for one in busy) == ["200"] * 3 + ["None"]


@pytest.mark.parametrize(("sent", "piece"), [(b"", b""), (HALF, b""), (HALF, b"x"), (GET + HALF, b"x")])
def test_a_request_has_a_time_to_arrive(serve, sent, piece):
    one, start = connect(serve(10, 10, request=0.4), sent), time.perf_counter()
    one.settimeout(0.1)
    received = b""
    with contextlib.suppress(ConnectionError):
        while time.perf_counter() - start < 20:
            with contextlib.suppress(TimeoutError):
                if not (chunk := one.recv(65536)):
                    break
                received += chunk
            one.sendall(piece)
    assert 0.3 < time.perf_counter() - start < 20
    assert (b"408" in received) == (HALF in sent), received


def test_a_connection_that_asks_now_and_then_is_kept_and_one_that_does_not_is_closed(serve):
    port = serve(10, 10, request=0.4, idle=1.5)
    one = connect(port)
    for _ in range(6):
        one.sendall(GET)
        assert status(one) == 200
        time.sleep(0.1)
    assert gone(one, 20)


def test_the_rest_of_a_body_that_was_refused_does_not_keep_a_connection(serve, monkeypatch):
    async def refuse(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(f"{__name__}.app", refuse)
    one = connect(serve(10, 10, request=0.6, idle=0.6), POST.replace(b" 10", b" 100000"))
    assert status(one) == 413
    start, one_more = time.perf_counter(), True
    while one_more and time.perf_counter() - start < 20:
        try:
            one.sendall(b"x")
            one_more = not gone(one, 0.1)
        except ConnectionError:
            one_more = False
    assert not one_more


@pytest.mark.parametrize(
    "endless",
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n" * 100),
        (b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"b" * 1000),
        (b"GET /", b"a" * 1000),
        (b"", b"\r\n" * 500),
        (POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked") + b"0\r\n", b"a: b\r\n" * 100),
        (POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked") + b"0\r\na: ", b"b" * 1000),
        (POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked") + b"1;", b"b" * 1000),
    ],
    ids=["headers", "a header", "an address", "lines", "trailers", "a trailer", "an extension"],
)
def test_what_is_no_body_is_bounded(serve, endless):
    start, piece = endless
    one, sent, received = connect(serve(10, 10), start), 0, b""
    one.setblocking(False)
    with contextlib.suppress(ConnectionError):
        while sent < 2_000_000 and not received:
            with contextlib.suppress(BlockingIOError):
                sent += one.send(piece)
            with contextlib.suppress(BlockingIOError):
                received += one.recv(65536)
        one.settimeout(5)  # a busy machine sends faster than it reads; the time for a head is longer than this
        one.recv(65536)  # it was answered, or closed


def test_requests_that_are_sent_ahead_are_bounded():
    with serving(Connections(10, 10)) as port:
        one = connect(port, GET.replace(b"/ ", b"/slow ", 1))
        one.sendall(GET * 10_000)
        assert gone(one, 20)
        Slowly.answered = True
        polite = connect(port, GET * 8)
        assert status(polite) == 200 and status(connect(port, GET)) == 200


def test_an_answer_that_nobody_reads_is_thrown_away_and_a_slow_reader_gets_it(serve, monkeypatch):
    port = serve(10, 10, stalled=0.5, idle=0.5)
    ask = GET.replace(b"/ ", b"/large ", 1)
    silent, slow = connect(port, ask), connect(port, ask)
    received = 0
    while received < LARGE:
        received += len(slow.recv(1_000_000))
        time.sleep(0.03)
    time.sleep(1)  # the slow reader may be done before the silent one has stalled for long enough
    total = 0
    with contextlib.suppress(ConnectionError):
        while chunk := silent.recv(1_000_000):
            total += len(chunk)
    assert total < LARGE <= received


def test_answers_that_nobody_reads_are_bounded_together(serve, monkeypatch):
    monkeypatch.setattr(connections, "_UNREAD_MB", 50.0)
    bounds = Connections(20, 20)
    with serving(bounds) as port:
        asked = [connect(port, GET.replace(b"/ ", b"/large ", 1)) for _ in range(8)]
        time.sleep(1.0)
        assert sum(one.unread for one in list(bounds._open)) <= 50e6 and 1 <= len(bounds) < 8
        assert status(connect(port, GET)) == 200
    assert asked


def test_the_service_says_what_is_too_much(tmp_path):
    with service(tmp_path, None, http=Connections(10, 10)) as url:
        port = int(url.rpartition(":")[2])
        for headers in (b"".join(b"a%d: b\r\n" % i for i in range(101)), b"a: " + b"b" * 66_000 + b"\r\n"):
            answer = connect(port, GET[:-2] + headers + b"\r\n")
            content = answer.recv(65536)
            assert b" 431 " in content and "100 headers" in json.loads(content.partition(b"\r\n\r\n")[2])["error"]
        assert status(connect(port, GET[:-2] + b"".join(b"a%d: b\r\n" % i for i in range(90)) + b"\r\n")) == 200
        assert status(connect(port, GET[:-2] + b"a: " + b"b" * 60_000 + b"\r\n\r\n")) == 200
    with service(tmp_path, None, http=Connections(10, 10, request=0.5)) as url:
        assert status(connect(int(url.rpartition(":")[2]), HALF)) == 408


def test_uploads_that_are_cut_are_one_line_of_the_log(tmp_path, caplog):
    caplog.set_level("INFO", "innerloop.service")
    kinds = (b"application/json", b"multipart/form-data; boundary=x")
    with service(tmp_path, None) as url:
        port = int(url.rpartition(":")[2])
        for path in (b"/api/tasks", b"/api/tasks/t/predict", b"/api/tasks/import"):
            for kind in kinds:
                head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: "
                one = connect(port, head + kind + b"\r\n\r\n" + b"--x\r\nContent-Disp")
                time.sleep(0.1)
                one.close()
        time.sleep(0.3)
        assert status(connect(port, GET)) == 200
    lines = [record.getMessage() for record in caplog.records if "left" in record.getMessage()]
    assert len(lines) >= 4 and all("the client left after 17 bytes" in line for line in lines), lines
    assert not any(record.exc_info for record in caplog.records)


def test_as_many_files_are_opened_as_the_system_allows():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        running._open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
