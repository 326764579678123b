"""`kill -9` of a server under load, again and again: nothing that it acknowledged is lost, no answer is wrong."""

import contextlib
import http.client
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from benchmarks.serve_load import mixed
from benchmarks.serve_process import PLAIN, Client, Server, numbers
from tests.service.served import SLEEPY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost(tmp_path, workers):
    server = Server(tmp_path / "store", PLAIN, "--workers", str(workers))
    server.start()
    try:
        found = mixed(server, PLAIN, numbers, seconds=40, every=4)
        assert found.kills >= 2 and found.acknowledged > 50 and found.answers > 50, found
        assert found.lost == found.doubled == found.differing == 0 and found.wrong == 0 and not found.refused, found
    finally:
        server.kill()


def test_it_stops_when_it_is_asked_to(tmp_path):
    server = Server(tmp_path / "store", PLAIN)
    server.start()
    try:
        assert Client(server.port).ask("POST", "/api/tasks", {"name": "t", "source": PLAIN})[0] == 201
        assert server.stop() in (0, -15)
    finally:
        server.kill()


@pytest.fixture(params=[1, 2])
def stuck(request, tmp_path):
    """A server with a question that takes a minute, and the processes that are its workers."""
    server = Server(tmp_path / "store", SLEEPY, "--allow", "tests", "--workers", str(request.param))
    server.start()
    client = Client(server.port)
    client.ask("POST", "/api/tasks", {"name": "t", "source": SLEEPY})
    examples = [{"label": label, "features": [number] * 8} for label, number in (("a", 0.0), ("b", 1.0))]
    assert client.ask("POST", "/api/tasks/t/examples", {"examples": examples})[0] == 201

    answers: list[int] = []

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):  # the connection breaks, or it is refused
            answers.append(Client(server.port).ask("POST", "/api/tasks/t/predict", {"features": [[1000.0] * 8]})[0])

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    yield server
    server.kill()
    thread.join(60)
    assert not thread.is_alive() and answers in ([], [503])


def processes(group):
    """Those of a process group that have not ended."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, state = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()[0]
            if os.getpgid(pid) == group and state != "Z":
                alive.append(pid)
        except OSError:
            continue  # it ended meanwhile
    return alive


def ended(group, within):
    """Whether all processes of a group end in time."""
    start = time.perf_counter()
    while processes(group) and time.perf_counter() - start < within:
        time.sleep(0.05)
    return not processes(group)


@pytest.mark.parametrize("again", [False, True])
def test_a_question_does_not_outlive_the_server(stuck, again):
    stuck.process.send_signal(signal.SIGTERM)
    if again:
        time.sleep(1.0)
        stuck.process.send_signal(signal.SIGTERM)
    start = time.perf_counter()
    stuck.process.wait(30)
    assert time.perf_counter() - start < (5 if again else 12)
    assert ended(stuck.process.pid, 3)


def test_workers_end_with_who_started_them(stuck):
    stuck.process.kill()
    stuck.process.wait()
    assert ended(stuck.process.pid, 12)
