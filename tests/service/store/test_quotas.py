"""What keys may use: counted in the store for all hosts together, refused with what is used, and given back."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.service.http import guard
from innerloop.service.store import audit, keys, quotas
from innerloop.service.store.database import opened
from innerloop.service.store.keys import Quota
from tests.service.served import WORDS, refused, served_by, serving, teach


def key(where, **quota):
    """The headers of a new key."""
    return {"authorization": f"Bearer {keys.add(where, 'write', quota=Quota(**quota))[1]}"}


def uses(where):
    return [tuple(used) for _, used in keys.used(where)]


def test_requests_of_a_day_are_counted_on_all_hosts_together(place, monkeypatch):
    limited, free = key(place, requests=3), key(place)
    with serving(place, demand_keys=True) as one, serving(place, demand_keys=True) as other:
        answers = [host.get("/api/tasks", headers=limited) for host in (one, other, one)]
        assert [answer.status_code for answer in answers] == [200] * 3
        for host in (one, other):
            answer = host.get("/api/tasks", headers=limited)
            refused(answer, 429, "made 3 requests today", "--requests-a-day", "00:00 UTC")
            assert "retry-after" not in answer.headers, "nobody is to try until then"
        assert (
            one.get("/healthz", headers=limited).status_code == one.get("/api/tasks", headers=free).status_code == 200
        )
        assert uses(place) == [(3, 0, 0), (0, 0, 0)]
        monkeypatch.setattr(quotas, "_day", lambda: "2999-01-01")
        assert other.get("/api/tasks", headers=limited).status_code == 200
        quotas.expire(served_by(one).store.database)
        with served_by(one).store.database.reading() as c:
            assert c.execute("SELECT day, spent FROM requests").fetchall()[0]["spent"] == 1


def test_no_request_is_let_through_twice_where_many_come_at_once(place):
    made, _ = keys.add(place, "read", quota=Quota(requests=10))
    databases = [opened(place), opened(place)]

    def spent(i):
        try:
            quotas.spend(databases[i % 2], made.id, 10)
        except quotas.SpentError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spent, range(24))) == 10
    for database in databases:
        database.close()


def test_what_a_key_stores_is_bounded_and_what_is_erased_or_deleted_is_given_back(place):
    limited, free = key(place, examples=5), key(place)
    with serving(place, demand_keys=True) as client:
        client.headers = free
        teach(client, "theirs")
        client.headers = limited
        teach(client)
        assert uses(place)[0][1] == 4
        two = {"examples": [{"label": "a", "text": "a"}, {"label": "b", "text": "bé"}]}
        # Also in somebody else's task, and in parts.
        for name in ("t", "theirs"):
            answer = client.post(f"/api/tasks/{name}/examples", json=two)
            refused(answer, 507, "may store 5 examples (--most-examples)", "it would be 6", "erase examples")
        assert client.get("/api/tasks/t").json()["version"] == 1 and uses(place)[0][1] == 4
        client.delete("/api/tasks/t/examples/5").raise_for_status()  # earlier versions have it still
        refused(client.post("/api/tasks/t/examples", json=two), 507, "it would be 6")
        client.delete("/api/tasks/t/examples/7?forever=1").raise_for_status()
        assert client.post("/api/tasks/theirs/examples", json=two).status_code == 201 and uses(place)[0][1] == 5
        said = client.post("/api/tasks/t/predict", json={"texts": ["a"]}).json()["predictions"][0]["id"]
        refused(client.post("/api/tasks/t/feedback", json={"prediction": said, "label": "a"}), 507, "5 examples")
        client.delete("/api/tasks/t").raise_for_status()
        assert uses(place)[0][1] == 2
        client.headers = free
        assert client.post("/api/tasks/theirs/examples", json=two).status_code == 201
        assert uses(place)[1][:2] == (0, 6), "a limit may come later"


def test_bytes_count_what_is_brought_as_files_and_parts_too(place):
    with serving(place) as client:
        teach(client)
        content = client.get("/api/tasks/t/download").content
    limited = key(place, bytes=len(content) + 300)
    with serving(place, demand_keys=True) as client:
        client.headers = limited
        file = ("v.fewshot", content)
        assert client.post("/api/tasks/import", files={"file": file}).status_code == 201
        before = uses(place)[0]
        assert before[1] == 4 and before[2] >= len(content) + 4 * 32
        one = {"examples": [{"label": "a", "text": "ü" * 100}]}
        refused(client.post("/api/tasks/v/examples", json=one), 507, "bytes (--most-megabytes)")
        part = client.post("/api/tasks/v/examples?change=c&more=true", json=one)
        refused(part, 507, "bytes (--most-megabytes)")
        small = {"examples": [{"label": "a", "text": "a"}]}
        assert client.post("/api/tasks/v/examples?change=c&more=true", json=small).status_code == 202
        assert uses(place)[0] == (0, 5, before[2] + 8 * 4 + 1)
        assert client.post("/api/tasks/v/examples?change=c", json=small).status_code == 201
        assert uses(place)[0] == (0, 6, before[2] + 2 * (8 * 4 + 1))
        client.delete("/api/tasks/v").raise_for_status()
        assert uses(place)[0] == (0, 0, 0)
        client.post("/api/tasks", json={"name": "u", "source": WORDS}).raise_for_status()
        assert client.post("/api/tasks/u/examples", json=one).status_code == 201
        assert uses(place)[0] == (0, 1, 8 * 4 + 200)


def test_limits_are_given_with_the_key_and_listed_with_what_is_used(tmp_path, capsys):
    place = str(tmp_path)
    words = ["--requests-a-day", "1000", "--most-examples", "20", "--most-megabytes", "1.5"]
    assert main(["serve", "keys", "add", "--store", place, "--scope", "write", *words, "--json"]) == 0
    quota = {"requests": 1000, "examples": 20, "bytes": 1_500_000}
    assert json.loads(capsys.readouterr().out)["quota"] == quota
    assert main(["serve", "keys", "list", "--store", place, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["quota"] == quota and told["used"] == {"requests": 0, "examples": 0, "bytes": 0}
    assert main(["serve", "keys", "list", "--store", place]) == 0
    assert "of" in capsys.readouterr().out
    for word in ("--requests-a-day", "--most-examples", "--most-megabytes"):
        assert main(["serve", "keys", "add", "--store", place, word, "0"]) == 2
        assert "can do nothing: take more than 0" in capsys.readouterr().err
    with pytest.raises(InputError, match="can do nothing"):
        keys.add(place, "read", quota=Quota(bytes=2**63))
    assert len(keys.used(place)) == 1


def test_limits_that_change_hold_at_once_on_all_hosts_and_what_is_stored_stays(place):
    headers = key(place)
    with serving(place, demand_keys=True) as one, serving(place, demand_keys=True) as other:
        one.headers = other.headers = headers
        teach(one)
        keys.limit(place, 1, {"examples": 3, "requests": 2})  # fewer than it has
        two = {"examples": [{"label": "a", "text": "a"}, {"label": "b", "text": "b"}]}
        refused(other.post("/api/tasks/t/examples", json=two), 507, "may store 3 examples", "it would be 6")
        assert one.post("/api/tasks/t/predict", json={"texts": ["a"]}).status_code == 200
        refused(one.get("/api/tasks"), 429, "made 2 requests today")
        changed, used = keys.limit(place, 1, {"requests": 5, "examples": 6})
        assert changed.quota == Quota(5, 6) and used[:2] == (2, 4)
        assert other.post("/api/tasks/t/examples", json=two).status_code == 201
        keys.limit(place, 1, {"requests": None, "examples": None, "bytes": 1})
        refused(one.post("/api/tasks/t/examples", json=two), 507, "may store 1 bytes")
        assert all(host.get("/api/tasks").status_code == 200 for host in (one, other) * 3)
    told = [(one.verb, one.of, one.before, one.after) for one in audit.listed(place) if one.verb.startswith("limit")]
    named = [("examples", None, 3), ("requests", None, 2), ("requests", 2, 5), ("examples", 3, 6)]
    named += [("requests", 5, None), ("examples", 6, None), ("bytes", None, 1)]
    assert told == [(f"limit {name}", "1", before, after) for name, before, after in named]


def test_a_limit_that_changes_while_a_request_waits_for_the_store_holds_for_it(place, monkeypatch):
    headers = key(place, examples=9)
    asked, changed = threading.Event(), threading.Event()
    plain = guard.By

    def by(*about):
        asked.set()  # the guard let it through by its key as it was
        assert changed.wait(20)
        return plain(*about)

    with serving(place, demand_keys=True) as client, ThreadPoolExecutor(1) as pool:
        client.headers = headers
        teach(client)
        monkeypatch.setattr(guard, "By", by)
        body = {"examples": [{"label": "a", "text": "a"}]}
        answer = pool.submit(client.post, "/api/tasks/t/examples", json=body)
        assert asked.wait(20)
        keys.limit(place, 1, {"examples": 4})
        changed.set()
        refused(answer.result(), 507, "may store 4 examples")


def test_no_request_is_refused_while_limits_change(place):
    headers = key(place, requests=10**6)
    with serving(place, demand_keys=True) as client, ThreadPoolExecutor(4) as pool:
        client.headers = headers
        teach(client)
        answers = [pool.submit(client.get, "/api/tasks") for _ in range(40)]
        for i in range(20):
            keys.limit(place, 1, {"requests": 10**6 + i if i % 2 else None, "bytes": 10**9 - i})
        assert {answer.result().status_code for answer in answers} == {200}


def test_limits_change_on_the_command_line_and_what_makes_no_sense_is_refused(tmp_path, capsys):
    place = str(tmp_path)
    for _ in range(2):
        keys.add(place, "write")
    keys.revoke(place, 2)
    words = ["serve", "keys", "limit", "--store", place]
    assert main([*words, "1", "--requests-a-day", "7", "--most-megabytes", "1.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quota"] == {"requests": 7, "examples": None, "bytes": 1_500_000}
    assert main([*words, "1", "--requests-a-day", "unlimited", "--most-examples", "3"]) == 0
    assert "0 of 3 examples, 0 of 1,500,000 bytes" in capsys.readouterr().out
    for wrong, said in (
        (["1"], "say which limits of key 1 change"),
        (["--most-examples", "4"], "say which key"),
        (["2", "--most-examples", "4"], "no key 2 in use"),
        (["3", "--most-examples", "4"], "no key 3 in use"),
        (["1", "--most-examples", "0"], "can do nothing"),
        (["1", "--most-megabytes", "nan"], "nan megabytes are no limit"),
        (["1", "--most-examples", "4", "--scope", "read"], "--scope is not for `keys limit`"),
    ):
        assert main([*words, *wrong]) == 2 and said in capsys.readouterr().err
    assert main(["serve", "keys", "revoke", "1", "--store", place, "--most-examples", "4"]) == 2
    with pytest.raises(InputError, match="say which limits"):
        keys.limit(place, 1, {"hash": 1})
    assert main(["serve", "keys", "limit", "--store", f"{place}/no", "1", "--most-examples", "4"]) == 2
    assert keys.used(place)[0][0].quota == Quota(None, 3, 1_500_000)
    assert [one.verb for one in audit.listed(place)][3:] == [
        "limit requests",
        "limit bytes",
        "limit requests",
        "limit examples",
    ]
