"""Two hosts on one PostgreSQL behind nginx, as `docs/scale.md` sets them up, while each of the three is killed."""

import http.client
import os
import shutil
import socket
import threading

import pytest

from benchmarks.hosts import Proxy, adapted, hosts
from benchmarks.serve_load import mixed
from benchmarks.serve_process import PLAIN, Client, numbers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="no nginx here (Debian: apt install nginx)"
    ),
]


@pytest.mark.skipif(
    "INNERLOOP_KILLS" not in os.environ,
    reason="takes most of a minute: set INNERLOOP_KILLS=1 to have it run",
)
def test_kills_of_hosts_and_of_the_database_lose_nothing():
    with hosts(PLAIN) as several:
        found = mixed(several, PLAIN, numbers, seconds=30, every=2)
        assert several.kills >= 3 and several.restarts >= 1
        assert found.acknowledged > 50 and found.answers > 50, found
        assert found.lost == found.doubled == found.differing == 0 and found.wrong == 0, found
        # While there is no database nothing can be read or changed, which a client is told.
        assert all(line.startswith("503 ") for line in found.refused), found.refused


def test_a_host_hears_of_changes_on_the_other_and_is_passed_over_when_it_is_down():
    with hosts(PLAIN) as several:
        here, there = (Client(host.port) for host in several.all)
        assert here.ask("POST", "/api/tasks", {"name": "t", "source": PLAIN})[0] == 201
        taught = [{"label": label, "features": [number] * 8} for label, number in (("a", 0.0), ("b", 1.0))]
        assert here.ask("POST", "/api/tasks/t/examples", {"examples": taught})[0] == 201
        question = ("POST", "/api/tasks/t/predict", {"features": [[0.9] * 8]})
        status, content = there.ask(*question)
        assert status == 200 and content["predictions"][0]["class"] == "b" and content["version"] == 1

        before = adapted(several.all[1])
        status, content = here.ask("PATCH", "/api/tasks/t/examples/2", {"label": "c"})
        assert status == 200, content
        for _ in range(1_000):
            if adapted(several.all[1]) > before:
                break
        assert adapted(several.all[1]) > before  # nobody asked it
        assert there.ask(*question)[1]["predictions"][0]["class"] == "c"

        several.kill()
        through = Client(several.port)
        answers = []
        for _ in range(8):
            try:
                answers.append(through.ask(*question)[0])
            except (OSError, http.client.HTTPException):  # one may have been on its way over a kept connection
                through = Client(several.port)
        assert answers.count(200) >= 6 and set(answers) == {200}


class Dying:
    """A host that is killed whenever it has read a request."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.read = self._socket.getsockname()[1], 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection = self._socket.accept()[0]
            self.read += connection.recv(10_000) != b""
            connection.close()


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1), ("PATCH", 1), ("DELETE", 1)])
def test_a_change_whose_host_dies_is_sent_to_no_other(tmp_path, method, times):
    several = [Dying(), Dying()]
    proxy = Proxy(tmp_path / "nginx", [host.port for host in several])
    try:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        connection.request(method, "/api/tasks/t/examples/1", "{}" if method in ("POST", "PATCH") else None)
        assert connection.getresponse().status == 502
    finally:
        proxy.stop()
    assert sum(host.read for host in several) == times
