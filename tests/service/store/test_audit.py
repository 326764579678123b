"""Who changed what: written with the change or not at all, by every way of changing something, and kept."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.service.store import audit, keys
from innerloop.service.store.errors import StoreError
from innerloop.service.store.keys import Keys
from tests.service.served import WORDS, served_by, serving, teach

SECRETS = ("aab", "secret label", "ada")


def changes(where, **how):
    return [(one.verb, one.kind, one.of, one.before, one.after) for one in audit.listed(where, **how)]


def leaked(where, *secrets):
    """Which of what nobody may read stands in the log; ids of requests are drawn, and may hold any letters."""
    text = repr([one._replace(request=None) for one in audit.listed(where)])
    return [secret for secret in secrets if secret in text]


def test_every_change_is_written_down_once_with_its_key_and_request_and_nothing_else_is(place):
    _, token = keys.add(place, "write", "phone")
    headers = {"authorization": f"Bearer {token}"}
    with serving(place, demand_keys=True) as client:
        client.headers = headers
        teach(client)
        base = "/api/tasks/t"
        for _ in range(2):  # sent again, made once
            body = {"examples": [{"label": "secret label", "text": "aab"}]}
            own = {"idempotency-key": "k", "x-request-id": "mine"}
            answer = client.post(f"{base}/examples", json=body, headers=own)
            assert answer.headers["x-request-id"] == "mine" and answer.json()["version"] == 2
        said = client.post(f"{base}/predict", json={"texts": ["aab"]})
        assert "x-request-id" not in said.headers
        body = {"prediction": said.json()["predictions"][0]["id"], "label": "b"}
        client.post(f"{base}/feedback", json=body).raise_for_status()
        client.patch(f"{base}/examples/1", json={"label": "b"}).raise_for_status()
        client.delete(f"{base}/examples/1").raise_for_status()
        client.delete(f"{base}/examples/3?forever=1").raise_for_status()
        client.delete(f"{base}/classes/secret%20label").raise_for_status()
        client.post(f"{base}/undo").raise_for_status()
        client.post(f"{base}/redo").raise_for_status()
        client.patch(base, json={"strangers": 0.1}).raise_for_status()
        assert client.post(f"{base}/undo", headers={"if-match": '"1"'}).status_code == 412
        assert client.post("/api/tasks", json={"name": "t", "source": WORDS}).status_code == 409
        content = client.get(f"{base}/download").content
        imported = client.post("/api/tasks/import", files={"file": ("v.fewshot", content)})
        assert imported.status_code == 201, imported.text
        client.get(f"{base}/evaluation")
        client.delete(base).raise_for_status()
    keys.revoke(place, 1)
    at = [("create", None, 0), ("add", 0, 1), ("add", 1, 2), ("add", 2, 3), ("relabel", 3, 4), ("remove", 4, 5)]
    at += [("erase", 5, 6), ("drop", 6, 7), ("undo", 7, 8), ("redo", 8, 9), ("ask", 9, 9)]
    expected = [(verb, "task", "t", before, after) for verb, before, after in at]
    expected += [("import", "task", "v", None, 9), ("delete", "task", "t", 9, None)]
    assert changes(place) == [("add", "key", "1", None, None), *expected, ("revoke", "key", "1", None, None)]
    entries = list(audit.listed(place))
    assert {(one.key, one.name) for one in entries[1:-1]} == {(1, "phone")} and entries[0].key is entries[
        -1
    ].key is None
    assert [one.verb for one in entries if one.request == "mine"] == ["add"] and all(
        one.request for one in entries[1:-1]
    )
    assert [one.time for one in entries] == sorted(one.time for one in entries)
    assert not leaked(place, *SECRETS, token)


def test_it_is_written_with_the_change_or_not_at_all_and_nothing_of_it_changes(place):
    with serving(place) as client:
        teach(client)
        database = served_by(client).store.database
        with pytest.raises(InputError, match="half way"):
            served_by(client).store.once(audit.task("add", "t"), half)
        for change in ("DELETE FROM audit", "UPDATE audit SET name = 'nobody'"):
            with pytest.raises(StoreError, match="audit log"):
                database.change(lambda c, change=change: c.execute(change))
    assert [verb for verb, *_ in changes(place)] == ["create", "add"]


def half(c):
    c.execute("UPDATE tasks SET version = 9")
    raise InputError("half way")


def test_taggers_and_people_are_in_it_without_their_names(place):
    from innerloop.service.store import people, taggers

    with serving(place) as client:
        store = served_by(client).store
        taggers.create(store, "names", taggers.Content(file=b"x", version=3, about={}))
        taggers.replace(store, taggers.find(store, "names"), taggers.Content(file=b"y", version=4, about={}))
        taggers.delete(store, "names")
        people.create(store, "films", "ada", {"i1": 4.5})
        people.rate(store, "films", "ada", {"i1": None})
        people.forget(store, "films", "ada")
    named = [("create", None, 3), ("change", 3, 4), ("delete", 4, None)]
    rated = [("create", None, 1), ("rate", 1, 2), ("forget", 2, None)]
    assert changes(place) == [(v, "tagger", "names", *at) for v, *at in named] + [
        (v, "person", "films", *at) for v, *at in rated
    ]
    assert not leaked(place, *SECRETS)


def test_what_is_asked_for_is_listed_and_written_to_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit, "_PAGE", 2)
    place, out = str(tmp_path / "store"), tmp_path / "deep" / "audit.jsonl"
    for name in ("phone", "2"):
        keys.add(place, "read", name)
    with serving(place) as client:
        for name in ("t", "ü"):
            teach(client, name)
        database = served_by(client).store.database
        Keys(database)
        with database.writing() as c:
            for key, name in ((1, "phone"), (2, "2")):
                token = audit.BY.set(audit.By(key, name))
                audit.write(c, audit.task("add", "t"), 1, 2)
                audit.BY.reset(token)
    assert len(changes(place)) == 8 and changes(place, task="ü") == [
        ("create", "task", "ü", None, 0),
        ("add", "task", "ü", 0, 1),
    ]
    assert [len(changes(place, key=key)) for key in ("phone", "1", "2", "nobody", "9" * 30)] == [1, 1, 1, 0, 0]
    first = next(iter(audit.listed(place))).time
    assert [len(changes(place, since=since)) for since in (first, "2020-01-01", "2999-01-01T00:00+01:00")] == [8, 8, 0]
    assert main(["serve", "audit", place, "--task", "ü"]) == 0
    assert "create" in capsys.readouterr().out
    assert main(["serve", "audit", place, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["serve", "audit", place, "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == told and len(told) == 8
    for wrong, said in ((["--since", "yesterday"], "is no moment: give"), ([], "there is no store")):
        capsys.readouterr()
        where = place if wrong else str(tmp_path / "nowhere")
        assert main(["serve", "audit", where, *wrong]) == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
