import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from innerloop.apps.text.watch import outbox
from innerloop.apps.text.watch.outbox import AlertFile
from innerloop.apps.text.watch.webhook import Webhook
from innerloop.core.errors import InputError


@contextmanager
def receiver(answer: Callable[[int], tuple[int, dict[str, str]]], port: int = 0) -> Iterator[tuple[str, list]]:
    """A server that answers the n-th request so; its address, and what it was sent."""
    got: list[tuple[str, dict, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, dict(self.headers), body))
            status, headers = answer(len(got))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def keep(state, *names: str) -> None:
    with state.change():
        for name in names:
            state.add_alert(name, {"what": "rise", "labels": {"topic": "包裹"}})


def numbers(path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_file_holds_every_alert_once_wherever_it_was_cut(state, tmp_path):
    path = tmp_path / "alerts.jsonl"
    file = AlertFile(state.connection, path)
    keep(state, "k1", "k2")
    file.write()
    whole = path.read_bytes()
    keep(state, "k3")
    file.write()
    complete = path.read_bytes()
    assert complete.startswith(whole) and numbers(path) == [1, 2, 3]
    for size in range(len(whole), len(complete) + 1, 7):  # killed while the third was written, or before it was kept
        path.write_bytes(complete[:size])
        state.connection.execute("UPDATE alerts SET written = 0 WHERE number = 3")
        AlertFile(state.connection, path).write()
        assert path.read_bytes() == complete
    path.unlink()
    AlertFile(state.connection, path).write()
    assert path.read_bytes() == complete, "somebody removed it"


def test_a_file_that_holds_something_else_is_not_written_over(state, tmp_path):
    (tmp_path / "a").write_text("mine\n")
    for i in range(2):
        with pytest.raises(InputError, match="holds something else"):
            AlertFile(state.connection, tmp_path / "a")
        keep(state, f"k{i}")  # there are alerts by now, which are not in this file
    assert (tmp_path / "a").read_text() == "mine\n"


def test_alerts_are_said_once(state):
    keep(state, "k1", "k2")
    said: list[str] = []
    outbox.say(state.connection, said.append)
    outbox.say(state.connection, said.append)
    assert [json.loads(one)["key"] for one in said] == ["k1", "k2"]


def test_a_webhook_gets_alerts_in_order_with_their_keys(state):
    keep(state, "k1", "k2")
    with receiver(lambda n: (204, {})) as (url, got):
        assert Webhook(state.path, url, lambda message: None).close(10) == 0
    assert [(headers["Idempotency-Key"], body["number"]) for _, headers, body in got] == [("k1", 1), ("k2", 2)]


def test_a_webhook_that_fails_is_sent_the_same_again_and_told_once(state):
    keep(state, "k1", "k2")
    told: list[str] = []
    with receiver(lambda n: (500 if n < 4 else 200, {})) as (url, got):
        assert Webhook(state.path, url, told.append, first=0.01).close(10) == 0
    assert [headers["Idempotency-Key"] for _, headers, _ in got] == ["k1"] * 4 + ["k2"]
    assert told == ["the webhook answers 500; alerts are kept, and sent again until it takes them"]


def test_a_redirect_is_not_followed(state):
    keep(state, "k1")
    told: list[str] = []
    with (
        receiver(lambda n: (200, {})) as (other, elsewhere),
        receiver(lambda n: (307, {"Location": other}) if n < 3 else (200, {})) as (url, got),
    ):
        assert Webhook(state.path, url, told.append, first=0.01).close(10) == 0
    assert len(got) == 3 and elsewhere == [] and "redirects (307)" in told[0]


def test_alerts_wait_for_a_webhook_that_is_down_and_are_sent_by_the_next_process(state):
    keep(state, "k1")
    with receiver(lambda n: (200, {})) as (url, _):
        pass
    told: list[str] = []
    hook = Webhook(state.path, url, told.append, first=600)
    while not told:
        time.sleep(0.01)
    assert hook.close(0) == 1 and "cannot be reached" in told[0]
    due, tries = state.connection.execute("SELECT due, tries FROM alerts").fetchone()
    assert tries == 1 and due > time.time() + 200, "exponential, at most five minutes"
    with receiver(lambda n: (200, {}), int(url.split(":")[2].split("/")[0])) as (_, got):
        assert Webhook(state.path, url, told.append).close(10) == 0
    assert len(got) == 1


def test_it_waits_as_long_as_it_is_asked_to(state):
    keep(state, "k1")
    with receiver(lambda n: (429, {"Retry-After": "700"})) as (url, got):
        hook = Webhook(state.path, url, lambda message: None, first=0.01)
        while state.connection.execute("SELECT tries FROM alerts").fetchone()[0] == 0:
            time.sleep(0.01)
        hook.close(0)
    assert len(got) == 1 and state.connection.execute("SELECT due FROM alerts").fetchone()[0] > time.time() + 600


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "hook", "https://"])
def test_what_is_no_address(state, url):
    with pytest.raises(InputError, match="--webhook is an address"):
        Webhook(state.path, url, lambda message: None)
