"""Heads over HTTP: asked for with the task, shown with why, and kept by changes, restarts and files."""

import sqlite3

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.client import Client
from tests.service.served import PLAIN, WORDS, downgrade, serving

TEXTS = {"a": ["aaa", "aab", "aac", "aad"], "b": ["bbb", "bbc", "bbd", "bba"], "c": ["ccc", "ccd", "cca", "ccb"]}


def create(client, name: str, **how):
    return client.post("/api/tasks", json={"name": name, "source": WORDS} | how)


def teach(client, name: str, texts: dict[str, list[str]] = TEXTS) -> None:
    examples = [{"label": label, "text": text} for label, some in texts.items() for text in some]
    client.post(f"/api/tasks/{name}/examples", json={"examples": examples}).raise_for_status()


def show(client, name: str):
    return client.get(f"/api/tasks/{name}").json()


def answers(client, name: str):
    body = {"texts": ["aabb", "bbcc", "ccaa", "dddd"]}
    return [one["probabilities"] for one in client.post(f"/api/tasks/{name}/predict", json=body).json()["predictions"]]


def test_a_task_has_the_head_that_was_asked_for_and_says_why(tmp_path):
    with serving(tmp_path) as client:
        assert create(client, "t", head="linear").json()["head"] == {"asked": "linear"}
        teach(client, "t")
        head = show(client, "t")["head"]
        assert head["head"] == head["asked"] == "linear" and head["reason"] == "linear was asked for"
        assert create(client, "u").json()["head"] == {"asked": "auto"}
        teach(client, "u")
        head = show(client, "u")["head"]
        assert head["asked"] == "auto" and head["accuracy"].keys() == {"centroid", "ridge", "linear"}
        assert "held-out" in head["reason"]
        refused = create(client, "v", head="mlp")
        assert refused.status_code == 422
    with serving(tmp_path) as client:  # the store knows
        assert show(client, "t")["head"]["head"] == "linear"


def test_sources_say_whether_they_take_a_head(tmp_path):
    with serving(tmp_path, sources=(WORDS, "kanji-protonet")) as client:
        assert {s["name"]: s["heads"] for s in client.get("/api/sources").json()} == {
            WORDS: True,
            "kanji-protonet": False,
        }
        refused = client.post("/api/tasks", json={"name": "t", "source": "kanji-protonet", "head": "ridge"})
        assert refused.status_code == 422 and "learner of its own" in refused.text
        assert client.post("/api/tasks", json={"name": "t", "source": "kanji-protonet"}).json()["head"] is None


def test_a_task_of_a_run_that_is_older_than_its_heads_keeps_the_runs_own_learner(tmp_path):
    with serving(tmp_path, sources=("intents", "use-multilingual", WORDS)) as client:
        assert [one["heads"] for one in client.get("/api/sources").json()] == [True] * 3
        begun = client.post("/api/tasks", json={"name": "w", "source": "use-multilingual", "prior": "intents"})
        assert begun.json()["source"] == "intents" and begun.json()["head"] == {"asked": "auto"}
        for source, prior, said in ((WORDS, "intents", "makes others"), (WORDS, "polarity", "offers no source")):
            refused = client.post("/api/tasks", json={"name": "x", "source": source, "prior": prior})
            assert refused.status_code == 422 and said in refused.json()["error"]
        for name, how in (("t", {}), ("u", {"head": "own"}), ("v", {"head": "ridge"})):
            made = client.post("/api/tasks", json={"name": name, "source": "intents"} | how)
            assert made.json()["head"] == {"asked": how.get("head", "auto")}
            teach(client, name)
        with sqlite3.connect(tmp_path / "store.sqlite") as c:
            c.execute("UPDATE tasks SET head = NULL WHERE name = 't'")
    with serving(tmp_path, sources=("intents",)) as client:
        assert answers(client, "t") == answers(client, "u") != answers(client, "v")
        assert show(client, "v")["head"]["head"] == "ridge"


def test_every_change_is_learned_as_if_taught_at_once_and_undone(tmp_path):
    for head in ("ridge", "linear", "auto"):
        with serving(tmp_path / head) as client:
            create(client, "t", head=head)
            create(client, "u", head=head)
            teach(client, "u")
            teach(client, "t", {label: some[:2] for label, some in TEXTS.items()})
            for i in (2, 3):
                teach(client, "t", {label: some[i : i + 1] for label, some in TEXTS.items()})
            expected = answers(client, "u")
            together = dict.fromkeys(TEXTS, 4)
            assert {c["label"]: c["examples"] for c in show(client, "t")["classes"]} == together
            assert show(client, "t")["head"] == show(client, "u")["head"]
            client.delete("/api/tasks/t/classes/b").raise_for_status()
            assert answers(client, "t")[0].keys() == {"a", "c"}
            client.post("/api/tasks/t/undo").raise_for_status()
            assert answers(client, "t")[0].keys() == expected[0].keys()


def test_a_file_takes_its_head_along(tmp_path):
    with serving(tmp_path / "one") as client:
        create(client, "t", head="ridge")
        teach(client, "t")
        expected, content = answers(client, "t"), client.get("/api/tasks/t/download").content
        path = tmp_path / "t.fewshot"
        path.write_bytes(content)
        file = FewShotClassifier.load(path, allow=("tests",))
        assert file.show()["head"]["asked"] == "ridge"
    with serving(tmp_path / "two") as client:
        taken = client.post("/api/tasks/import", files={"file": ("t.fewshot", content)}, data={})
        assert taken.json()["head"]["head"] == "ridge" and answers(client, "t") == expected
        teach(client, "t", {"d": ["ddd", "dde"]})
        assert show(client, "t")["head"]["asked"] == "ridge"


def test_a_task_of_an_older_store_keeps_its_centroids(tmp_path):
    with serving(tmp_path) as client:
        create(client, "t")
        teach(client, "t")
    downgrade(tmp_path / "store.sqlite", 3)
    with serving(tmp_path) as client:
        assert show(client, "t")["head"] is None and answers(client, "t")
        with sqlite3.connect(tmp_path / "store.sqlite") as c:
            assert c.execute("SELECT head FROM tasks").fetchall() == [(None,)]
        content = client.get("/api/tasks/t/download").content
        (tmp_path / "t.fewshot").write_bytes(content)
        file = FewShotClassifier.load(tmp_path / "t.fewshot", allow=("tests",))
        assert file.show()["head"]["asked"] == "centroid"


def test_the_client_asks_for_a_head(tmp_path):
    with serving(tmp_path, sources=(PLAIN, WORDS)) as client:
        sent = []

        class Recorded(Client):
            def request(self, method, path, **how):  # pyright: ignore[reportIncompatibleMethodOverride]
                sent.append(how.get("json"))
                return client.request(method, f"/{path}", **how)

        task = Recorded("http://localhost").create("t", WORDS, head="ridge")
        assert sent == [{"name": "t", "source": WORDS, "head": "ridge"}]
        assert task.info().head == {"asked": "ridge"}
