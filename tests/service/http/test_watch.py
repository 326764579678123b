"""Watches over HTTP: the same as on the command line, of one task or two, and gone with their task."""

import json

import pytest

from innerloop.apps.text.watch import visit
from innerloop.apps.text.watch.ids import OTHER
from innerloop.apps.text.watch.run import Input, Output, watch
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import State
from innerloop.core.context import Context
from innerloop.service.http.app import create
from innerloop.service.settings import Settings as Service
from innerloop.service.store.keys import Keys
from tests.apps.text.watch.streams import MOODS, TOPICS, line, surging, write
from tests.service.served import PLAIN, WORDS, Words, served_by, serving, teach

QUICK = {"warmup": 5, "run_length": 100.0}
LINES = surging(hours=11, each=30)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store")) as client:
        for name, letters in (("topic", TOPICS), ("mood", MOODS)):
            others = MOODS if name == "topic" else TOPICS
            teach(client, name, texts={letter: [letter + other for other in others] for letter in letters})
        yield client


def send(client, lines, name="topic", **query):
    return client.post(f"/api/tasks/{name}/watch/events", content=b"\n".join(lines), params=query)


def begun(client, name="topic", **how):
    answer = client.post(f"/api/tasks/{name}/watch", json=QUICK | how)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_alerts_are_those_of_the_command_line(client, tmp_path):
    assert begun(client, other="mood")["warming"] == 5
    came, alerts = 0, []
    for first in range(0, len(LINES), 300):
        taken = send(client, LINES[first : first + 300], finish=first + 300 >= len(LINES)).json()
        came, alerts = came + taken["came"]["events"], [*alerts, *taken["alerts"]]
    files = []
    for name in ("topic", "mood"):
        files.append(tmp_path / f"{name}.fewshot")
        files[-1].write_bytes(client.get(f"/api/tasks/{name}/download").content)
    kept = tmp_path / "alerts.jsonl"
    settings, output = Settings(**QUICK), Output(state=str(tmp_path / "s"), alerts=str(kept))
    place = Input(place=str(write(tmp_path / "in.jsonl", LINES)))
    watch(files, place, settings=settings, output=output, finish=True, context=Context(allow=("tests",)))
    expected = [json.loads(one) for one in kept.read_text(encoding="utf-8").splitlines()]
    assert came == len(LINES) and len(alerts) == len(expected) > 2
    for ours, theirs in zip(alerts, expected, strict=True):
        assert ours | {"key": ""} == theirs | {"key": ""}
    stands = client.get("/api/tasks/topic/watch").json()
    assert stands["tally"]["events"] == came and stands["last_alerts"][0] == alerts[-1]
    assert stands["curves"][0]["labels"] in [one["labels"] for one in alerts] and len(stands["curves"][0]["points"]) > 5
    assert [one["name"] for one in stands["tasks"]] == ["topic", "mood"]


def test_two_tasks_on_one_encoder_encode_a_text_once(client, monkeypatch):
    begun(client, other="mood")
    encoded, forward = [], Words.forward

    def counting(words, texts):
        encoded.extend(texts)
        return forward(words, texts)

    monkeypatch.setattr(Words, "forward", counting)
    texts = [topic * n + mood for topic in TOPICS for mood in MOODS for n in range(1, 60)]
    taken = send(client, [line(text, i, i) for i, text in enumerate(texts)]).json()
    assert taken["came"]["events"] == len(texts) and sorted(encoded) == sorted(texts)


def test_events_that_come_again_are_counted_once_and_what_is_none_is_told(client):
    begun(client)
    lines = [line("ag", 0, 1), line("bh", 10, 2), b"no json", line("ag", 20, 1)]
    lines.append(line("cg", 30, 2))
    first, again = (send(client, lines, finish=True).json() for _ in range(2))
    assert first["came"] == {"lines": 5, "events": 2, "not JSON": 1, "duplicates": 1, OTHER: 1}
    assert "no json" in " ".join(first["notices"]) and again["notices"] == [] and "events" not in again["came"]


def test_a_watch_goes_with_its_task_and_not_on_with_another(client, tmp_path_factory):
    for name in ("gone", "taught"):
        teach(client, name)
        begun(client, name)
        send(client, [line("aaa secret", 3600 * i, i) for i in range(12)], name)
    folder = served_by(client).store.database.path.parent / "watches"
    before = {path.name for path in folder.glob("*.sqlite")}
    assert any(b"secret" in path.read_bytes() for path in folder.iterdir())
    client.delete("/api/tasks/gone").raise_for_status()
    assert len(before - {path.name for path in folder.glob("*.sqlite")}) == 1
    client.post("/api/tasks/taught/examples", json={"examples": [{"label": "a", "text": "aaaa"}]}).raise_for_status()
    for refused in (send(client, [line("a", 0)], "taught"), client.get("/api/tasks/taught/watch")):
        assert refused.status_code == 409 and "since its watch began at version" in refused.json()["error"]
    begun(client, "taught")
    assert client.delete("/api/tasks/taught/watch").status_code == 204
    assert client.get("/api/tasks/taught/watch").json() is None
    assert not any(b"secret" in path.read_bytes() for path in folder.iterdir())


def test_a_watch_goes_with_its_second_task_too_and_is_not_made_again_by_events(client):
    for name in ("first", "second"):
        teach(client, name)
    begun(client, "first", other="second")
    service = served_by(client)
    path = service.watching._path(service.store.task("first"))
    setup = visit.setup(path)
    assert setup is not None
    client.delete("/api/tasks/second").raise_for_status()
    assert not path.exists() and client.get("/api/tasks/first/watch").json() is None
    labels = visit.Answered([], {})
    with pytest.raises(visit.ChangedError):  # a request that had found it when it was there
        visit.take(path, labels, setup.settings, [], False, 1.0)
    assert not path.exists()


def test_what_a_kill_left_of_a_beginning_or_an_end_is_in_nobodys_way(client):
    teach(client, "left")
    service = served_by(client)
    path = service.watching._path(service.store.task("left"))
    State(path, {"task x": "y"}).close()  # before it was said what it is
    assert client.get("/api/tasks/left/watch").json() is None
    begun(client, "left")
    path.write_bytes(b"\0" * path.stat().st_size)  # after it was overwritten
    begun(client, "left")
    client.delete("/api/tasks/left").raise_for_status()
    assert not path.exists()


def test_a_key_for_one_task_does_not_see_what_another_answers(tmp_path):
    with serving(tmp_path) as owner:
        for name in ("mine", "theirs"):
            teach(owner, name)
        begun(owner, "mine", other="theirs")
        send(owner, [line("a", 0)], "mine")
        keys = Keys(served_by(owner).store.database)
        headers = {"authorization": f"Bearer {keys.add('write', tasks=['mine'])[1]}"}
        everything = {"authorization": f"Bearer {keys.add('write')[1]}"}
    with serving(tmp_path, demand_keys=True) as client:
        client.headers = headers
        refused = [
            client.get("/api/tasks/mine/watch"),
            send(client, [line("a", 0, 1)], "mine"),
            client.post("/api/tasks/mine/watch", json=QUICK | {"other": "theirs"}),
        ]
        assert {(one.status_code, one.json()["error"]) for one in refused} == {
            (403, "this API key is for mine alone: ask for another key")
        }
        client.headers = everything
        assert client.get("/api/tasks/mine/watch").json()["tally"]["lines"] == 1


def test_what_cannot_be_watched_says_why(client):
    client.post("/api/tasks", json={"name": "numbers", "source": PLAIN}).raise_for_status()
    rows = [{"label": label, "features": [float(i)] * 8} for i, label in enumerate("abab")]
    client.post("/api/tasks/numbers/examples", json={"examples": rows}).raise_for_status()
    teach(client, "quiet")
    for name, body, status, said in (
        ("numbers", {}, 422, "a watch reads texts"),
        ("quiet", {"other": "quiet"}, 422, "given twice"),
        ("quiet", {"other": "nobody"}, 404, "nobody"),
        ("quiet", {"window": "1 week"}, 422, "is a duration"),
        ("quiet", {"charts": ["cusum", "cusum"]}, 422, "one or both"),
        ("quiet", {"windows": "1h"}, 422, "windows"),
    ):
        refused = client.post(f"/api/tasks/{name}/watch", json=body)
        assert refused.status_code == status and said in refused.json()["error"], refused.text
    assert send(client, [line("a", 0)], "quiet").status_code == 409
    begun(client, "quiet")
    for lines in ([b"{}"] * 1_001, [b""] * 1_000_000 + [b"{}"]):
        assert send(client, lines, "quiet").status_code == 413
    wide = json.dumps({"text": "a", "time": 0, "more": [[]] * 50_000}).encode()
    assert send(client, [wide], "quiet").status_code == 413
    long = line("a" * 100_000, 0)
    assert send(client, [long], "quiet").json()["came"] == {"lines": 1}
    assert send(client, [*[b"{}"] * 1_000, b""], "quiet").json()["came"]["lines"] == 1_000
    assert send(client, [], "quiet").json()["came"] == {}


def test_one_that_is_in_use_is_told_to_come_back(tmp_path):
    with serving(tmp_path) as client:
        teach(client)
        begun(client, "t")
        service = served_by(client)
        service.watching._seconds = 0.05
        path = service.watching._path(service.store.task("t"))
        setup = visit.setup(path)
        assert setup is not None
        with visit._opened(path, setup.about["record"], 1.0):
            refused = send(client, [line("a", 0)], "t")
        assert refused.status_code == 503 and refused.headers["retry-after"] == "2"
        path.rename(path.with_name("999.sqlite"))
    create(Service(store=str(tmp_path), sources=(WORDS,), allow=("tests",))).state.service.close()
    assert not path.with_name("999.sqlite").exists(), "whose task is gone"
