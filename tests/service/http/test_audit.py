"""Who changed what, over HTTP: the same as the command lists and writes, and for administrators alone."""

import json
from datetime import datetime, timedelta

import pytest

from innerloop.cli.main import main
from innerloop.service.client import Client, ServiceError
from innerloop.service.store import audit, keys
from tests.service.live import service
from tests.service.served import refused, serving, teach


def bearer(where, scope, *tasks):
    return {"authorization": f"Bearer {keys.add(where, scope, 'phone', tasks)[1]}"}


def test_pages_and_lines_are_what_the_command_gives(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit, "_PAGE", 2)
    out = tmp_path / "audit.jsonl"
    headers = bearer(place, "write")
    with serving(place, demand_keys=True) as client:
        client.headers = headers
        teach(client)
        teach(client, "ü")
        keys.limit(place, 1, {"examples": 100})
        assert main(["serve", "audit", place, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert client.get("/api/audit").json() == told and len(told) == 6
        pages, after = [], 0
        while page := client.get("/api/audit", params={"limit": 4, "after": after}).json():
            pages, after = [*pages, *page], page[-1]["id"]
        assert pages == told
        noon = datetime.fromisoformat(told[2]["time"])
        for how in (
            {},
            {"task": "ü"},
            {"task": "u\u0308"},  # another spelling of the same
            {"key": "phone"},
            {"key": "1", "task": "t"},
            {"key": "2"},
            {"task": "\0\ud800"},
            {"since": noon.isoformat()},
            {"since": (noon + timedelta(hours=2)).isoformat(), "task": "t"},
        ):
            options = [word for name, value in how.items() for word in (f"--{name}", value)]
            assert main(["serve", "audit", place, *options, "--out", str(out)]) == 0
            params = {name: value.encode("utf-8", "replace").decode() for name, value in how.items()}
            answer = client.get("/api/audit/lines", params=params)
            assert answer.content == out.read_bytes(), how
            assert "audit.jsonl" in answer.headers["content-disposition"]
            listed = client.get("/api/audit", params=params).json()
            assert listed == [json.loads(line) for line in answer.text.splitlines()]
            assert all(one["time"] >= told[2]["time"] for one in listed) or "since" not in how


def test_it_is_for_keys_that_may_change_everything(place):
    every, looks, limited = bearer(place, "write"), bearer(place, "read"), bearer(place, "write", "t")
    with serving(place, demand_keys=True) as client:
        for path in ("/api/audit", "/api/audit/lines"):
            refused(client.get(path), 401, "API key")
            refused(client.get(path, headers=looks), 403, "may only look, and not read who changed what")
            refused(client.get(path, headers=limited), 403, "is for t alone")
            assert client.get(path, headers=every).status_code == 200
            for wrong, said in (
                ({"since": "yesterday"}, "'yesterday' is no moment: give"),
                ({"since": "0001-01-01T00:00+14:00"}, "is no moment"),
                ({"since": "x" * 101}, "since"),
                ({"task": "x" * 257}, "task"),
            ):
                refused(client.get(path, headers=every, params=wrong), 422, said)
        for wrong in ({"limit": 0}, {"limit": 2_001}, {"after": -1}, {"after": 2**63}):
            refused(client.get("/api/audit", headers=every, params=wrong), 422, next(iter(wrong)))


def test_the_client_asks_page_by_page(tmp_path, monkeypatch):
    monkeypatch.setattr("innerloop.service.client._PAGE", 2)
    place = str(tmp_path)
    for _ in range(3):
        keys.add(place, "read")
    keys.revoke(place, 3)
    with service(tmp_path, None) as url, Client(url) as client:
        told = [one._asdict() for one in audit.listed(place)]
        assert [vars(one) for one in client.audit()] == told and len(told) == 4
        assert [vars(one) for one in client.audit(since=told[2]["time"])] == told[2:]
        assert list(client.audit(task="t")) == list(client.audit(key="1")) == []
        with pytest.raises(ServiceError, match="no moment"):
            next(client.audit(since="later"))
