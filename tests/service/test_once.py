"""A change whose answer was lost is sent again and made once."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from innerloop.service.client import Client, ServiceError
from innerloop.service.store import answers, keys
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from tests.service.live import draw, service
from tests.service.served import PHOTOS, WORDS, picture, serving, teach

NAMED = {"Idempotency-Key": "one"}


@pytest.fixture
def client(place):
    with serving(place) as client:
        teach(client)
        yield client


def changes(content: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """Every kind of change of a task `t` of texts."""
    t = "/api/tasks/t"
    return [
        ("POST", "/api/tasks", {"json": {"name": "u", "source": WORDS}}),
        ("POST", f"{t}/examples", {"json": {"examples": [{"label": "c", "text": "ccc"}]}}),
        ("POST", f"{t}/feedback", {"json": {"text": "abc", "label": "c"}}),
        ("PATCH", f"{t}/examples/1", {"json": {"label": "b"}}),
        ("DELETE", f"{t}/examples/1", {}),
        ("DELETE", f"{t}/classes/b", {}),
        ("POST", f"{t}/undo", {}),
        ("POST", f"{t}/undo", {"json": {"to": 0}}),
        ("POST", f"{t}/rollback", {"json": {"version": 0}}),
        ("POST", "/api/tasks/import", {"files": {"file": ("v.fewshot", content)}}),
        ("DELETE", t, {}),
    ]


@pytest.mark.parametrize("number", range(11))
def test_any_change_is_made_once_and_answered_as_the_first_time(client, place, number):
    client.post("/api/tasks/t/examples", json={"examples": [{"label": "a", "text": "a"}]}).raise_for_status()
    content = client.get("/api/tasks/t/download").content
    method, path, asked = changes(content)[number]
    first = client.request(method, path, headers=NAMED, **asked)
    assert first.is_success, first.text
    state = [(task["name"], task["version"]) for task in client.get("/api/tasks").json()]
    for _ in range(2):
        again = client.request(method, path, headers=NAMED, **asked)
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert [(task["name"], task["version"]) for task in client.get("/api/tasks").json()] == state
    other = client.post("/api/tasks", headers=NAMED, json={"name": "other", "source": WORDS})
    assert other.status_code == 409 and "take a new one for each change" in other.json()["error"]
    with serving(place) as restarted:
        again = restarted.request(method, path, headers=NAMED, **asked)
        assert (again.status_code, again.content) == (first.status_code, first.content)


def test_redo_too(client):
    client.post("/api/tasks/t/examples", json={"examples": [{"label": "c", "text": "c"}]})
    client.post("/api/tasks/t/undo").raise_for_status()
    assert [client.post("/api/tasks/t/redo", headers=NAMED).json() for _ in range(3)] == [{"version": 4}] * 3


def test_the_first_answer_stands_whatever_came_after(client):
    asked = {"json": {"examples": [{"label": "c", "text": "ccc"}]}, "headers": NAMED}
    first = client.post("/api/tasks/t/examples", **asked)
    client.delete("/api/tasks/t/classes/c").raise_for_status()
    assert client.post("/api/tasks/t/examples", **asked).json() == first.json()
    said = client.post("/api/tasks/t/predict", json={"texts": ["aab"]}).json()["predictions"][0]["id"]
    asked = {"json": {"prediction": said, "label": "a"}, "headers": {"Idempotency-Key": "two"}}
    first = client.post("/api/tasks/t/feedback", **asked)
    app: Any = client.app
    app.state.service.recent._kept.forget(lambda key, asked: True)
    assert client.post("/api/tasks/t/feedback", **asked).json() == first.json()
    client.delete("/api/tasks/t").raise_for_status()
    assert client.post("/api/tasks/t/feedback", **asked).json() == first.json()


def test_pictures_of_a_form_are_the_same_in_another_form(tmp_path):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS}).raise_for_status()
        for colour, version in (("red", 1), ("red", 1)):
            sent = client.post(
                "/api/tasks/t/examples",
                headers=NAMED,
                files=[("files", ("x.png", picture(colour)))],
                data={"label": "a"},
            )
            assert sent.json()["version"] == version
        other = {"files": [("files", ("x.png", picture("blue")))], "data": {"label": "a"}}
        assert client.post("/api/tasks/t/examples", headers=NAMED, **other).status_code == 409


def test_what_differs_is_another_change(client):
    def ask(text: str = "c", version: str = '"1"', path: str = "examples"):
        headers = NAMED | {"If-Match": version}
        return client.post(f"/api/tasks/t/{path}", headers=headers, json={"examples": [{"label": "c", "text": text}]})

    assert ask().status_code == 201
    assert [ask("d").status_code, ask(version='"2"').status_code, ask(path="examples?x=1").status_code] == [409] * 3
    assert ask().status_code == 201


def test_what_was_refused_may_be_sent_again(client):
    asked = {"headers": NAMED, "json": {"examples": [{"label": "a", "text": "a"}]}}
    assert client.post("/api/tasks/late/examples", **asked).status_code == 404
    client.post("/api/tasks", json={"name": "late", "source": WORDS}).raise_for_status()
    assert client.post("/api/tasks/late/examples", **asked).json()["version"] == 1


@pytest.mark.parametrize("name", ["", "a b", "x" * 201, "\t"])
def test_names_that_are_none(client, name):
    assert client.delete("/api/tasks/t", headers={"Idempotency-Key": name}).status_code == 422
    assert client.get("/api/tasks/t").status_code == 200


def test_names_of_one_key_are_not_those_of_another(place):
    tokens = [keys.add(place, "write")[1] for _ in range(2)]
    with serving(place, demand_keys=True) as client:
        for i, token in enumerate(tokens):
            headers = NAMED | {"Authorization": f"Bearer {token}"}
            made = client.post("/api/tasks", headers=headers, json={"name": f"t{i}", "source": WORDS})
            assert made.status_code == 201


def test_at_the_same_time_as_well(place):
    store = Store(place)
    store.create("t", "plain", "features", None)
    named = store.asked(answers.Once(client="", key="k", digest=b"d"))
    example = Example(row=np.zeros(3, np.float32), label="a")
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: named.add("t", [example]), range(16)))
    assert len({str(result) for result in results}) == 1 and store.task("t").version == 1
    store.close()


def test_answers_are_kept_for_a_day_and_not_without_number(place, monkeypatch):
    monkeypatch.setattr(answers, "_MOST", 5)
    store = Store(place)
    store.create("t", "plain", "features", None)
    example = Example(row=np.zeros(3, np.float32), label="a")

    def keep(i: int) -> int:
        store.asked(answers.Once(client="", key=str(i), digest=b"d")).add("t", [example])
        with store.database.reading() as c:
            return c.execute("SELECT count(*) FROM answers").fetchone()[0]

    assert [keep(i) for i in range(8)] == [1, 2, 3, 4, 5, 5, 5, 5]
    now = answers.time.time()
    monkeypatch.setattr(answers.time, "time", lambda: now + answers._SECONDS + 1)
    assert keep(9) == 1
    store.close()


@contextmanager
def cutting(url: str, cuts: int) -> Iterator[str]:
    """A way to a service that loses the first answers to changes, after the service gave them."""
    left = itertools.count()

    class Way(BaseHTTPRequestHandler):
        def carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            far = HTTPConnection(str(urlsplit(url).netloc), timeout=5)
            far.request(self.command, self.path, body, dict(self.headers))
            answer = far.getresponse()
            content = answer.read()
            far.close()
            if self.command != "GET" and next(left) < cuts:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = carry

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_client_whose_connection_is_cut_after_the_commit_has_its_change_once(runs, tmp_path):
    with service(tmp_path / "store", runs) as url:
        with cutting(url, 2) as cut, Client(cut, timeout=10) as client:
            task = client.create("once", "shapes")
            assert task.show().version == 0 and len(client.tasks()) == 1
        with cutting(url, 1) as cut, Client(cut, timeout=10) as client:
            task = client.task("once")
            assert task.add(draw(tmp_path, "circle", 1), "a") == 1
            assert [version.action for version in task.versions()] == ["create", "add 1 to a"]
        with cutting(url, 9) as cut, Client(cut, tries=2, timeout=10) as client:
            with pytest.raises(ServiceError, match="no answer"):
                client.task("once").drop("a")
            assert client.task("once").show().version == 2, "made, once, though nobody heard of it"
