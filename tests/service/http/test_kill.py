"""`kill -9` of a server under load, again and again: nothing that it acknowledged is lost, no answer is wrong."""

import pytest

from benchmarks.serve_load import PLAIN, Client, Server, mixed, numbers

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost(tmp_path, workers):
    server = Server(tmp_path / "store", PLAIN, "--workers", str(workers))
    server.start()
    try:
        found = mixed(server, PLAIN, numbers, seconds=40, every=4)
        assert found.kills >= 2 and found.acknowledged > 50 and found.answers > 50, found
        assert found.lost == 0 and found.wrong == 0 and not found.refused, found
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
