from typing import Any

import pytest
from starlette.testclient import TestClient

from innerloop.service.http.app import create
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from innerloop.service.store import keys
from tests.service.served import PLAIN, serving, teach

TASK = {"name": "t", "source": PLAIN}


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path) as made:
        yield made


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/api/tasks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "192.168.0.1"]
)
def test_other_names_are_not_as_in_dns_rebinding(client, host):
    answer = client.get("/api/tasks", headers={"Host": host})
    assert answer.status_code == 421 and "is not called" in answer.json()["error"]


def test_names_that_were_given_are_answered(tmp_path):
    with serving(tmp_path, allowed_hosts=("fewshot.example",)) as client:
        assert client.get("/api/tasks", headers={"Host": "fewshot.example"}).status_code == 200
        assert client.get("/api/tasks", headers={"Host": "other.example"}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
def test_pages_of_other_sites_change_nothing(client, headers, status):
    assert client.post("/api/tasks", json=TASK, headers=headers).status_code == status
    assert len(client.get("/api/tasks").json()) == (status == 201)


def test_keys_and_their_scopes(tmp_path):
    _, reading = keys.add(tmp_path, "read")
    made, writing = keys.add(tmp_path, "write")
    with serving(tmp_path, "http://server.example", host="0.0.0.0") as client:
        for path in ("/", "/healthz", "/openapi.json", "/static/x.js"):
            assert client.get(path).status_code != 401, path
        for path in ("/api/tasks", "/api/sources", "/metrics", "/api/runs", "//api/tasks", "/static/../api/tasks"):
            assert client.get(path).status_code == 401, path
        for wrong in ("", "Bearer", "Bearer x", f"Basic {writing}", writing, f"Bearer {writing}x"):
            answer = client.get("/api/tasks", headers={"Authorization": wrong})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        read, write = ({"Authorization": f"Bearer {key}"} for key in (reading, writing))
        assert client.get("/api/tasks", headers=read).status_code == 200
        assert client.post("/api/tasks", json=TASK, headers=read).status_code == 403
        assert client.post("/api/tasks", json=TASK, headers=write).status_code == 201
        assert client.delete("/api/tasks/t", headers=read).status_code == 403
        asked = client.post("/api/tasks/t/predict", json={"features": [[1.0] * 8]}, headers=read)
        assert asked.status_code == 409, "reading keys may predict; this task has no classes"
        keys.revoke(tmp_path, made.id)
        assert client.get("/api/tasks", headers=write).status_code == 401


def test_keys_may_be_demanded_on_loopback_as_well(tmp_path):
    with serving(tmp_path, demand_keys=True) as client:
        assert client.get("/api/tasks").status_code == 401


def test_large_bodies_are_stopped_whether_they_say_so_or_not(tmp_path):
    with serving(tmp_path, limits=Limits(body_mb=0.1)) as client:
        teach(client)
        large = b'{"texts": ["' + b"a" * 200_000 + b'"]}'

        def pieces():
            for i in range(0, len(large), 1000):
                yield large[i : i + 1000]

        headers = {"Content-Type": "application/json"}
        for path in ("/api/tasks/t/predict", "/api/tasks", "/api/tasks/t/undo"):
            for content in (large, pieces()):
                answer = client.post(path, content=content, headers=headers)
                assert answer.status_code == 413 and "0.1 MB" in answer.json()["error"], path
        answer = client.post("/api/tasks/t/predict", content=b"{}", headers=headers | {"Content-Length": "9" * 30})
        assert answer.status_code == 413
        app: Any = client.app
        assert app.state.service is not None and client.get("/api/tasks").status_code == 200


def test_a_body_has_a_time_for_the_whole_of_it(client, monkeypatch):
    monkeypatch.setattr("innerloop.service.http.guard._WHOLE", -1.0)
    answer = client.post("/api/tasks", json=TASK)
    assert answer.status_code == 408 and "the body took more than" in answer.json()["error"]


def test_too_many_requests_are_told_when_to_come_back(tmp_path):
    with serving(tmp_path, limits=Limits(rate=2.0)) as client:
        answers = [client.get("/api/tasks") for _ in range(8)]
        assert [a.status_code for a in answers[:4]] == [200] * 4
        assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1


def test_what_a_key_may_not_do_counts_as_well(tmp_path):
    _, reading = keys.add(tmp_path, "read")
    with serving(tmp_path, demand_keys=True, limits=Limits(rate=2.0)) as client:
        headers = {"Authorization": f"Bearer {reading}"}
        answers = [client.post("/api/tasks", json=TASK, headers=headers).status_code for _ in range(8)]
        assert answers[:4] == [403] * 4 and answers[-1] == 429


def test_every_answer_carries_the_headers_that_keep_browsers_safe(client):
    for answer in (client.get("/api/tasks"), client.get("/nothing"), client.get("/", headers={"Host": "evil"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store" or answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


def test_a_failure_of_ours_is_one_message_and_the_server_goes_on(client, monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(client.app.state.service.store, "tasks", fail)
    answer = client.get("/api/tasks")
    assert answer.status_code == 500 and "secret" not in answer.text and "secret detail" in caplog.text
    monkeypatch.undo()
    assert client.get("/api/tasks").status_code == 200


def test_wrong_keys_count_and_keep_out_nobody_whose_key_was_right(tmp_path, monkeypatch):
    _, token = keys.add(tmp_path, "read")
    right, wrong = {"Authorization": f"Bearer {token}"}, {"Authorization": "Bearer il_wrong"}
    looked: list[str] = []
    with serving(tmp_path, "http://server.example", host="0.0.0.0", limits=Limits(rate=0.5)) as client:
        app: Any = client.app
        find = app.state.service.keys.find
        monkeypatch.setattr(app.state.service.keys, "find", lambda token: looked.append(token) or find(token))
        assert client.get("/api/tasks", headers=right).status_code == 200
        answers = [client.get("/api/tasks", headers=headers) for headers in (wrong, {}, wrong, wrong)]
        assert [a.status_code for a in answers] == [401, 429, 429, 429] and looked[1:] == ["il_wrong"]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.get("/api/tasks", headers={"Authorization": "Bearer il_other"}).status_code == 429
        assert client.get("/api/tasks", headers=right).status_code == 429, "its own rate"
        monkeypatch.setattr("innerloop.service.limits.time.monotonic", lambda: 1e9)
        client.get("/api/tasks", headers=wrong)
        assert client.get("/api/tasks", headers=wrong).status_code == 429
        assert client.get("/api/tasks", headers=right).status_code == 200


@pytest.mark.parametrize(("proxy", "believed"), [((), False), (("192.0.2.9",), False), (("192.0.2.0/24",), True)])
def test_who_asks_through_a_proxy_is_believed_where_it_is_one(tmp_path, proxy, believed):
    settings = Settings(store=str(tmp_path), sources=(PLAIN,), allow=("tests",), limits=Limits(rate=0.5), proxy=proxy)
    with TestClient(create(settings), base_url="http://localhost", client=("192.0.2.1", 50_000)) as client:
        clients = ("203.0.113.1", "203.0.113.1", "203.0.113.2")
        asked = [client.get("/api/tasks", headers={"X-Forwarded-For": f"6.6.6.6, {one}"}) for one in clients]
        assert [a.status_code for a in asked] == [200, 429, 200 if believed else 429]
