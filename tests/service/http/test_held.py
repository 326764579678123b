"""A change in several requests: one version, learned as if it had come at once, or not at all."""

import sqlite3
import time

import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.client import Client, Task
from innerloop.service.limits import Limits
from innerloop.service.store import held, keys
from innerloop.service.store.database import opened
from tests.fewshot.test_reading import drawing, photograph
from tests.service.served import WORDS, downgrade, serving, teach

KANJI = "kanji-protonet"


def send(client, texts: dict[str, str], task="t", key=None, **params):
    examples = [{"label": label, "text": text} for text, label in texts.items()]
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/api/tasks/{task}/examples"
    return client.post(path, json={"examples": examples}, params=params, headers=headers)


def rows(path) -> int:
    with sqlite3.connect(path / "store.sqlite") as c:
        count = c.execute("SELECT count(*) FROM held").fetchone()[0]
    c.close()
    return count


def answers(client, task="t"):
    answer = client.post(f"/api/tasks/{task}/predict", json={"texts": ["aab", "bbc", "cca"]})
    return [one["probabilities"] for one in answer.json()["predictions"]]


def test_parts_of_a_change_are_one_version(tmp_path):
    parts = [{"aaa": "a", "bbb": "b"}, {"aab": "a", "ccc": "c"}, {"bbc": "b"}]
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        for i, part in enumerate(parts[:2]):
            answer = send(client, part, change="folder", more=True)
            assert answer.status_code == 202 and answer.json() == {"version": 0, "held": 2 * i + 2, "notices": []}
        assert client.get("/api/tasks/t").json()["classes"] == [] and rows(tmp_path) == 4
    with serving(tmp_path) as client:  # held over a restart
        last = send(client, parts[2], change="folder")
        assert last.status_code == 201 and last.json()["version"] == 1 and len(last.json()["ids"]) == 5
        assert [one["action"] for one in client.get("/api/tasks/t/versions").json()] == [
            "create",
            "add 2 to a, 2 to b, 1 to c",
        ]
        assert rows(tmp_path) == 0
        client.post("/api/tasks", json={"name": "u", "source": WORDS})
        send(client, {text: label for part in parts for text, label in part.items()}, "u")
        assert answers(client) == answers(client, "u")
        assert client.get("/api/tasks/t/download").status_code == 200


def test_a_change_is_the_client_s_own_and_of_its_task(tmp_path):
    with serving(tmp_path, demand_keys=True) as client:
        tokens = [keys.add(tmp_path, "write")[1] for _ in "ab"]
        client.headers["authorization"] = f"Bearer {tokens[0]}"
        teach(client)
        teach(client, "u")
        send(client, {"ccc": "c"}, change="x", more=True)
        assert len(send(client, {"ddd": "d"}, change="y").json()["ids"]) == 1
        assert len(send(client, {"ddd": "d"}, "u", change="x").json()["ids"]) == 1
        client.headers["authorization"] = f"Bearer {tokens[1]}"
        assert len(send(client, {"eee": "e"}, change="x").json()["ids"]) == 1
        assert rows(tmp_path) == 1
        client.delete("/api/tasks/t")
        assert rows(tmp_path) == 0


def test_a_part_that_is_sent_again_counts_once(tmp_path):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        for _ in range(2):
            assert send(client, {"aaa": "a"}, key="1", change="x", more=True).json()["held"] == 1
        for _ in range(2):
            assert send(client, {"bbb": "b"}, key="2", change="x").json()["version"] == 1
        assert len(client.get("/api/tasks/t/examples").json()) == 2


def test_bad_parts_are_refused_and_the_others_stay(tmp_path):
    with serving(tmp_path, limits=Limits(examples=3, classes=2)) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        assert send(client, {"aaa": "a"}, more=True).status_code == 422
        assert send(client, {"aaa": "a"}, more=True, change="a b").status_code == 422
        assert send(client, {"aaa": "a", "bbb": "b"}, more=True, change="x").status_code == 202
        assert send(client, {"c": "c"}, change="x").json()["error"].startswith("a task has at most 2 classes")
        assert send(client, {"": "a"}, change="x").status_code == 422
        assert send(client, {"aab": "a", "abb": "a"}, more=True, change="x").status_code == 409
        stale = client.post(
            "/api/tasks/t/examples?change=x",
            json={"examples": [{"label": "a", "text": "aab"}]},
            headers={"If-Match": '"7"'},
        )
        assert stale.status_code == 412 and rows(tmp_path) == 2
        assert send(client, {"aab": "a"}, change="x").json()["version"] == 1


def test_what_is_never_finished_is_let_go_after_a_day(tmp_path, monkeypatch):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        send(client, {"aaa": "a"}, change="x", more=True)
        now = time.time()
        monkeypatch.setattr(held.time, "time", lambda: now + 86_401)
        assert send(client, {"bbb": "b"}, change="y", more=True).json()["held"] == 1
        assert rows(tmp_path) == 1
    monkeypatch.setattr(held.time, "time", lambda: now + 2 * 86_402)
    database = opened(tmp_path)
    held.expire(database)
    database.close()
    assert rows(tmp_path) == 0


@pytest.mark.parametrize(("paper", "ink"), [(240, 20), (20, 240)])
def test_all_pictures_of_a_change_decide_how_they_are_read(tmp_path, paper, ink):
    """Not those of the first part, which may be drawn the other way round."""
    odd = [drawing(i, paper=ink, ink=paper) for i in range(2)]
    usual = [drawing(i, paper=paper, ink=ink) for i in range(2, 8)]
    task = FewShotClassifier(KANJI).fit(odd + usual, list("abababab"))
    with serving(tmp_path, sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI})

        def part(content, label, **params):
            files = {"files": ("1.png", content)}
            return client.post("/api/tasks/t/examples", files=files, data={"label": label}, params=params)

        for content, label in list(zip(odd + usual, "abababab", strict=True))[:-1]:
            assert part(content, label, change="x", more=True).status_code == 202
        assert part(usual[-1], "b", change="x").status_code == 201
        asked = drawing(9, paper=paper, ink=ink)
        answer = client.post("/api/tasks/t/predict", files={"files": ("ask.png", asked)}).json()["predictions"][0]
        assert answer["probabilities"] == pytest.approx(
            dict(zip("ab", task.predict_proba([asked])[0].tolist(), strict=True)), abs=1e-6
        )


def test_a_photograph_among_drawings_is_refused_by_name_as_in_python(tmp_path):
    with serving(tmp_path, sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI})

        def part(content, name, **params):
            files = {"files": (name, content)}
            return client.post("/api/tasks/t/examples", files=files, data={"label": "a"}, params=params)

        assert part(photograph(0), "photo.png", change="x", more=True).status_code == 202
        assert part(drawing(1), "1.png", change="x", more=True).status_code == 202
        answer = part(drawing(2), "2.png", change="x")
        assert answer.status_code == 422 and answer.json()["error"].startswith("photo.png is a colour photograph")


def test_the_client_teaches_any_number_as_one_version(tmp_path):
    with serving(tmp_path) as client:

        class Sent(Client):
            def request(self, method, path, looks=False, **how):  # pyright: ignore[reportIncompatibleMethodOverride]
                return client.request(method, f"/{path}", **how)

        task: Task = Sent("http://localhost").create("t", WORDS)
        texts = [f"{'ab'[i % 2] * 3}{i}" for i in range(450)]
        assert task.add(texts, [text[0] for text in texts]) == 1
        assert task.show().classes == {"a": 225, "b": 225}


def test_an_older_store_learns_to_hold(tmp_path):
    with serving(tmp_path) as client:
        teach(client)
    downgrade(tmp_path / "store.sqlite", 4)
    with serving(tmp_path) as client:
        assert send(client, {"aab": "a"}, change="x", more=True).status_code == 202
        assert send(client, {"abb": "a"}, change="x").json()["version"] == 2
