"""Why an answer is what it is, and how good a task is, over HTTP."""

import json
import threading
import time

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import cross_validate
from innerloop.fewshot.shots import by_shots
from innerloop.fewshot.suggestions import suggest
from innerloop.service.http.adapted import Adapted
from innerloop.service.limits import Limits
from tests.service.served import PHOTOS, PLAIN, WORDS, picture, serving, teach

CENTRES = 2.2 * np.random.default_rng(0).normal(size=(4, 8))


def rows(classes, count, seed=1):
    g = np.random.default_rng(seed)
    y = np.repeat(classes, count)
    return (CENTRES[y] + g.normal(size=(len(y), 8))).astype(np.float32), np.array(list("abcd"))[y]


def taught(client, count=5, name="t"):
    client.post("/api/tasks", json={"name": name, "source": PLAIN}).raise_for_status()
    x, y = rows([0, 1, 2, 3], count)
    examples = [{"label": label, "features": row.tolist()} for row, label in zip(x, y, strict=True)]
    client.post(f"/api/tasks/{name}/examples", json={"examples": examples}).raise_for_status()
    return x, y


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store")) as client:
        taught(client)
        yield client


def test_an_answer_comes_with_the_texts_that_are_nearest(tmp_path):
    with serving(tmp_path) as client:
        teach(client, texts={"a": ["aaa", "aab"], "b": ["bbb", "bbc"]})
        plain = client.post("/api/tasks/t/predict", json={"texts": ["aabb", "bbbb"]}).json()
        assert not any("nearest" in one for one in plain["predictions"])
        answer = client.post("/api/tasks/t/predict?explain=true", json={"texts": ["aaaa", "bbbb"]}).json()
        first, second = answer["predictions"]
        assert (first["class"], second["class"]) == ("a", "b")
        stored = {(e["label"], e["text"]): e["id"] for e in client.get("/api/tasks/t/examples").json()}
        near = first["nearest"][0]
        assert (near["label"], near["number"], near["text"]) == ("a", 1, "aaa")
        assert near["example"] == stored["a", "aaa"] and near["picture"] is None
        assert second["nearest"][0]["text"] == "bbb" and len(second["nearest"]) == 3
        assert first["nearest"][0]["distance"] <= first["nearest"][1]["distance"]
        assert client.post("/api/tasks/t/predict?explain=maybe", json={"texts": ["a"]}).status_code == 422


def test_what_is_near_is_of_the_present_version(tmp_path):
    with serving(tmp_path) as client:
        teach(client, texts={"a": ["aaa", "aab", "aad"], "b": ["bbb", "bbc"]})
        first = next(e for e in client.get("/api/tasks/t/examples").json() if e["text"] == "aaa")
        client.delete(f"/api/tasks/t/examples/{first['id']}").raise_for_status()
        near = client.post("/api/tasks/t/predict?explain=1", json={"texts": ["aaa"]}).json()["predictions"][0][
            "nearest"
        ]
        assert all(one["text"] != "aaa" for one in near) and near[0]["text"] in ("aab", "aad")
        assert {one["number"] for one in near if one["label"] == "a"} == {1, 2}


def test_a_picture_is_shown_by_its_thumbnail(tmp_path):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS}).raise_for_status()
        for colour in ("red", "blue"):
            files = [("files", (f"{colour}.png", picture(colour), "image/png"))]
            client.post("/api/tasks/t/examples", data={"label": colour}, files=files).raise_for_status()
        files = [("files", ("ask.png", picture("darkred"), "image/png"))]
        (one,) = client.post("/api/tasks/t/predict?explain=true", files=files).json()["predictions"]
        assert one["nearest"][0]["label"] == "red"
        assert client.get(one["nearest"][0]["picture"]).headers["content-type"].startswith("image/")


def test_an_evaluation_is_that_of_python_and_kept_by_version(tmp_path, monkeypatch):
    computed = []
    work = Adapted.evaluation
    monkeypatch.setattr(Adapted, "evaluation", lambda *args: computed.append(1) or work(*args))
    with serving(tmp_path) as client:
        x, y = taught(client)
        first = client.get("/api/tasks/t/evaluation").json()
        expected = cross_validate(FewShotClassifier().fit(x, y))
        assert first["accuracy"]["of"] == 20 and first["folds"] == 5 and first["previous"] is None
        assert set(first["classes"]) == set(expected.per_class) and len(first["confusion"]["counts"]) == 4
        assert client.get("/api/tasks/t/evaluation").json() == first and len(computed) == 1
        wrong = [{"label": "a", "features": row.tolist()} for row in rows([1, 2], 4, seed=7)[0]]
        client.post("/api/tasks/t/examples", json={"examples": wrong}).raise_for_status()
        second = client.get("/api/tasks/t/evaluation").json()
        assert second["version"] == first["version"] + 1 and len(computed) == 2
        assert second["previous"] == {"version": first["version"], "accuracy": first["accuracy"]}
        assert second["accuracy"]["value"] < first["accuracy"]["value"]  # a change that hurts shows


def test_a_task_that_is_too_small_says_so(tmp_path):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS}).raise_for_status()
        assert client.get("/api/tasks/t/evaluation").status_code == 409
        assert client.get("/api/tasks/none/evaluation").status_code == 404
        examples = [{"label": "a", "text": "a"}, {"label": "b", "text": "b"}]
        client.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status()
        answer = client.get("/api/tasks/t/evaluation")
        assert answer.status_code == 409 and "2 examples of at least 2 classes" in answer.json()["error"]
        more = [{"label": "a", "text": "aa"}, {"label": "b", "text": "bb"}]
        client.post("/api/tasks/t/examples", json={"examples": more}).raise_for_status()
        assert client.get("/api/tasks/t/evaluation").json()["accuracy"]["of"] == 4  # a refusal is not kept


def test_what_takes_long_goes_on_and_holds_nobody(tmp_path, monkeypatch):
    go, work, computed = threading.Event(), Adapted.evaluation, []

    def slow(*args):
        computed.append(1)
        go.wait(60)
        return work(*args)

    monkeypatch.setattr(Adapted, "evaluation", slow)
    with serving(tmp_path, limits=Limits(seconds=0.3)) as client:
        x, _ = taught(client)
        late = client.get("/api/tasks/t/evaluation")
        assert late.status_code == 503 and late.headers["retry-after"] and "goes on" in late.json()["error"]
        assert client.post("/api/tasks/t/predict", json={"features": [x[0].tolist()]}).status_code == 200
        go.set()
        end = time.monotonic() + 60
        while (answer := client.get("/api/tasks/t/evaluation")).status_code == 503 and time.monotonic() < end:
            time.sleep(0.05)
        assert answer.status_code == 200 and len(computed) == 1


def test_it_is_kept_over_a_restart_with_what_was_asked(tmp_path, monkeypatch):
    with serving(tmp_path) as client:
        taught(client)
        first = client.get("/api/tasks/t/evaluation").json()
    monkeypatch.setattr(Adapted, "evaluation", lambda *args: pytest.fail("it was computed before"))
    with serving(tmp_path) as client:
        assert client.get("/api/tasks/t/evaluation").json() == first
    monkeypatch.undo()
    with serving(tmp_path) as client:
        client.patch("/api/tasks/t", json={"strangers": 0.1}).raise_for_status()
        asked = client.get("/api/tasks/t/evaluation").json()
        assert asked["reject"] == 0.1 and asked["version"] == first["version"] and asked["previous"] is None


def test_an_erased_example_is_in_no_evaluation(tmp_path):
    with serving(tmp_path) as client:
        taught(client)
        before = client.get("/api/tasks/t/evaluation").json()
        example = client.get("/api/tasks/t/examples").json()[0]["id"]
        client.delete(f"/api/tasks/t/examples/{example}?forever=1").raise_for_status()
        after = client.get("/api/tasks/t/evaluation").json()
        assert after["accuracy"]["of"] == before["accuracy"]["of"] - 1 and after["previous"] is None


def rounded(values):
    """To eleven digits: the store has rows in another order than the file, and sums end otherwise."""
    return json.loads(json.dumps(values), parse_float=lambda digits: round(float(digits), 11))


def test_what_labels_buy_is_what_the_command_line_and_python_say(tmp_path, capsys):
    with serving(tmp_path / "store") as client:
        taught(client)
        x, y = rows([0, 1, 2, 3], 3, seed=5)
        more = [{"label": label, "features": row.tolist()} for row, label in zip(x, y, strict=True)]
        client.post("/api/tasks/t/examples", json={"examples": more}).raise_for_status()
        answer = client.get("/api/tasks/t/shots", params={"shots": [5, 1, 2]})
        assert answer.status_code == 200, answer.text
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
    file = str(tmp_path / "t.fewshot")
    assert main(["evaluate", file, "--shots", "1", "2", "5", "--allow", "tests", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    python = by_shots(FewShotClassifier.load(file, ("tests",)), (1, 2, 5)).to_json()
    served, asked = answer.json(), {"task": "t", "version": 2}
    assert rounded(served) == rounded(printed | asked) == rounded(python | asked)
    assert [one["shots"] for one in python["points"]] == [1, 2, 5] and python["forecast"]["total"] is not None


def test_what_labels_buy_is_counted_once_by_version_and_ends_in_time(tmp_path, monkeypatch):
    go, work, counted = threading.Event(), Adapted.by_shots, []

    def slow(*args):
        counted.append(1)
        go.wait(60)
        return work(*args)

    monkeypatch.setattr(Adapted, "by_shots", slow)
    with serving(tmp_path, limits=Limits(seconds=0.3)) as client:
        x, _ = taught(client)
        path = "/api/tasks/t/shots?shots=1&shots=2"
        late = client.get(path)
        assert late.status_code == 503 and late.headers["retry-after"] and "goes on" in late.json()["error"]
        assert client.post("/api/tasks/t/predict", json={"features": [x[0].tolist()]}).status_code == 200
        go.set()
        end = time.monotonic() + 60
        while (answer := client.get(path)).status_code == 503 and time.monotonic() < end:
            time.sleep(0.05)
        assert answer.status_code == 200 and client.get(path).json() == answer.json() and len(counted) == 1
        example = [{"label": "a", "features": x[0].tolist()}]
        client.post("/api/tasks/t/examples", json={"examples": example}).raise_for_status()
        assert client.get(path).json()["version"] == 2 and len(counted) == 2


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 422, "shots"),
        ("shots=0", 422, "greater than or equal to 1"),
        ("shots=1001", 422, "less than or equal to 1000"),
        ("shots=x", 422, "integer"),
        ("shots=2&shots=2", 422, "2 shots are given twice"),
        ("&".join(f"shots={n}" for n in range(1, 12)), 422, "at most 10"),
        ("shots=1&shots=5", 409, "'a' has 5, of which 4 are left where a fifth is held out"),
    ],
)
def test_numbers_of_shots_that_cannot_be_are_refused(quiet, query, status, said):
    answer = quiet.get(f"/api/tasks/t/shots?{query}")
    assert answer.status_code == status and said in answer.json()["error"], answer.text
    assert quiet.get("/api/tasks/none/shots?shots=1").status_code == 404


@pytest.mark.parametrize("path", ["/api/tasks/{name}/evaluation", "/api/tasks/{name}/predict"])
def test_the_document_says_so(tmp_path, path):
    with serving(tmp_path) as client:
        document = client.get("/openapi.json").json()
    assert path in document["paths"]
    assert {"NeighbourOut", "EvaluationOut"} <= set(document["components"]["schemas"])


def test_suggestions_are_those_of_python_and_can_be_taught_by_their_id(tmp_path):
    with serving(tmp_path) as client:
        taught(client)
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
        asked, _ = rows([1, 2], 4, seed=7)
        body = {"features": asked.tolist()}
        answer = client.post("/api/tasks/t/suggestions?n=3", json=body).json()
        expected = suggest(FewShotClassifier.load(tmp_path / "t.fewshot", ("tests",)), asked, 3)
        assert [one["index"] for one in answer["suggestions"]] == [one.index for one in expected]
        assert [next(iter(one["probabilities"])) for one in answer["suggestions"]] == [one.answer for one in expected]
        feedback = {"prediction": answer["suggestions"][0]["id"], "label": "new"}
        assert client.post("/api/tasks/t/feedback", json=feedback).status_code == 201
        again = client.post("/api/tasks/t/suggestions", json=body).json()
        assert len(again["suggestions"]) == 7 and again["notices"] == [
            "1 example was taught already, and not suggested"
        ]
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
        answer = client.post("/api/tasks/t/suggestions?n=3&by=entropy", json=body).json()
        expected = suggest(FewShotClassifier.load(tmp_path / "t.fewshot", ("tests",)), asked, 3, "entropy")
        assert [one["index"] for one in answer["suggestions"]] == [one.index for one in expected]
        refused = client.post("/api/tasks/t/suggestions?by=mutual_information", json=body)
        assert refused.status_code == 422 and "several members" in refused.text
        for wrong in ("n=0", "n=1001", "n=x", "by=x"):
            assert client.post(f"/api/tasks/t/suggestions?{wrong}", json=body).status_code == 422
        assert client.post("/api/tasks/none/suggestions", json=body).status_code == 404


def test_wrong_answers_name_their_examples(tmp_path):
    with serving(tmp_path) as client:
        x, _ = taught(client)
        wrong = [{"label": "a", "features": x[-1].tolist()}]
        (id,) = client.post("/api/tasks/t/examples", json={"examples": wrong}).json()["ids"]
        evaluation = client.get("/api/tasks/t/evaluation").json()
        assert evaluation["errors"][0]["id"] == id and evaluation["errors"][0]["truth"] == "a"
        assert "taught as different classes" in " ".join(evaluation["notes"])
