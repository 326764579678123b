"""Names of classes over HTTP: learned from as in Python, told without an example, and kept by changes and files."""

import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.client import Client
from tests.service.http.test_heads import answers, create, show
from tests.service.served import WORDS, downgrade, serving

NAMES = ["aaa", "bbb", "ccc"]
ABOUT = {"ccc": "cccc"}


def teach(client, name: str, label: str, *texts: str):
    examples = [{"label": label, "text": text} for text in texts]
    return client.post(f"/api/tasks/{name}/examples", json={"examples": examples})


def counts(client, name: str) -> dict[str, int]:
    return {one["label"]: one["examples"] for one in show(client, name)["classes"]}


def test_a_task_is_told_its_classes_and_then_taught(tmp_path):
    with serving(tmp_path) as client:
        made = create(client, "t", classes=NAMES, descriptions=ABOUT)
        assert made.status_code == 201 and made.json()["version"] == 1 and made.json()["names"] == {"asked": "auto"}
        assert counts(client, "t") == dict.fromkeys(NAMES, 0)
        alone = answers(client, "t")
        python = FewShotClassifier(WORDS, allow=("tests",), descriptions=ABOUT).fit_names(NAMES)
        in_python = dict(zip(NAMES, python.predict_proba(["aabb"])[0].tolist(), strict=True))
        assert alone[0] == pytest.approx(in_python, abs=1e-6)
        assert show(client, "t")["names"]["reason"].endswith("3 classes have no example")
        assert teach(client, "t", "aaa", "aaab", "aaac").json()["version"] == 2
        taught = answers(client, "t")
        assert taught != alone and counts(client, "t") == {"aaa": 2, "bbb": 0, "ccc": 0}
        assert client.get("/api/tasks").json()[0]["classes"][1] == {"label": "bbb", "examples": 0}
        assert client.delete("/api/tasks/t/classes/bbb").json()["version"] == 3
        assert counts(client, "t") == {"aaa": 2, "ccc": 0}
        client.post("/api/tasks/t/undo")
        assert counts(client, "t") == {"aaa": 2, "bbb": 0, "ccc": 0} and answers(client, "t") == taught
        client.post("/api/tasks/t/undo", json={"to": 1})
        assert answers(client, "t") == alone
        client.post("/api/tasks/t/undo")
        assert [one["classes"] for one in client.get("/api/tasks/t/versions").json()] == [0, 3, 3, 2, 3, 3, 3]
    with serving(tmp_path) as client:  # the store knows
        assert answers(client, "t") == taught


def test_a_file_takes_names_with_it(tmp_path):
    with serving(tmp_path) as client:
        create(client, "t", classes=NAMES, descriptions=ABOUT)
        teach(client, "t", "aaa", "aaab", "aaac")
        client.delete("/api/tasks/t/classes/bbb")
        client.post("/api/tasks/t/undo")
        expected = answers(client, "t")
        path = tmp_path / "t.fewshot"
        path.write_bytes(client.get("/api/tasks/t/download").content)
        classifier = FewShotClassifier.load(path, allow=("tests",))
        alone = dict(zip(NAMES, classifier.predict_proba(["aabb"])[0].tolist(), strict=True))
        assert alone == pytest.approx(expected[0], abs=1e-6)
        assert classifier.examples_ == {"aaa": 2, "bbb": 0, "ccc": 0} and classifier.examples_at(3) == {
            "aaa": 2,
            "ccc": 0,
        }
        with path.open("rb") as content:
            client.post("/api/tasks/import", files={"file": content}, data={"name": "u"}).raise_for_status()
        assert answers(client, "u") == expected and counts(client, "u") == counts(client, "t")
        client.post("/api/tasks/u/undo", json={"to": 3})
        assert counts(client, "u") == {"aaa": 2, "ccc": 0}


def test_an_example_that_is_erased_leaves_the_class_that_was_named(tmp_path):
    with serving(tmp_path) as client:
        create(client, "t", classes=NAMES)
        (example,) = teach(client, "t", "aaa", "aaab").json()["ids"]
        client.delete(f"/api/tasks/t/examples/{example}?forever=1").raise_for_status()
        assert counts(client, "t") == dict.fromkeys(NAMES, 0)
        assert [one["classes"] for one in client.get("/api/tasks/t/versions").json()] == [0, 3, 3, 3]


def test_names_are_switched_off_and_refused(tmp_path):
    with serving(tmp_path, sources=(WORDS, "kanji-protonet")) as client:
        assert {one["name"]: one["names"] for one in client.get("/api/sources").json()} == {
            WORDS: True,
            "kanji-protonet": False,
        }
        assert create(client, "t", names="off").json()["names"] == {"asked": "off"}
        for how in (
            {"names": "off", "classes": NAMES},
            {"names": "perhaps"},
            {"classes": ["a", "a"]},
            {"classes": [""]},
        ):
            assert create(client, "u", **how).status_code == 422
        body = {"name": "v", "source": "kanji-protonet"}
        assert client.post("/api/tasks", json=body | {"classes": NAMES}).status_code == 422
        assert client.post("/api/tasks", json=body | {"names": "on"}).status_code == 422


def test_the_client_tells_names(tmp_path):
    with serving(tmp_path) as client:

        class Sent(Client):
            def request(self, method, path, **how):  # pyright: ignore[reportIncompatibleMethodOverride]
                return client.request(method, f"/{path}", **how)

        task = Sent("http://localhost").create("t", WORDS, names="on", classes=NAMES, descriptions=ABOUT)
        info = task.info()
        assert info.classes == dict.fromkeys(NAMES, 0) and info.names is not None
        assert info.names["asked"] == "on" and "asked for" in info.names["reason"]
        assert task.add_names(["ddd"]) == 2 and counts(client, "t") == dict.fromkeys([*NAMES, "ddd"], 0)
        assert client.post("/api/tasks/t/classes", json={"classes": ["ddd"]}).status_code == 409
        assert client.post("/api/tasks/t/undo").json()["version"] == 3 and counts(client, "t") == dict.fromkeys(
            NAMES, 0
        )
        create(client, "u")
        assert client.post("/api/tasks/u/classes", json={"classes": NAMES}).json()["version"] == 1
        assert answers(client, "u")
        create(client, "v", names="off")
        assert client.post("/api/tasks/v/classes", json={"classes": NAMES}).status_code == 422


def test_a_task_of_an_older_store_has_no_names(tmp_path):
    with serving(tmp_path) as client:
        create(client, "t")
        for label in NAMES:
            teach(client, "t", label, label, f"{label}d")
    downgrade(tmp_path / "store.sqlite", 4)
    with serving(tmp_path) as client:
        assert show(client, "t")["names"] is None
        off = FewShotClassifier(WORDS, allow=("tests",), names="off")
        off.fit([text for label in NAMES for text in (label, f"{label}d")], [label for label in NAMES for _ in "ab"])
        without = dict(zip(NAMES, off.predict_proba(["aabb"])[0].tolist(), strict=True))
        assert answers(client, "t")[0] == pytest.approx(without, abs=1e-6)
