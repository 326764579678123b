"""The service over HTTP: a task from its first example to its last version, and what is known of the whole."""

import base64
import json
import threading
import time

import pytest
import torch
from starlette.testclient import TestClient

from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.service.http.app import create
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from tests.service.served import PHOTOS, PLAIN, WORDS, picture, refused, served_by, serving, teach

TASK = "/api/tasks/t"


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path / "store") as made:
        yield made


def test_the_story_of_a_task(client, tmp_path):
    made = client.post("/api/tasks", json={"name": "letters", "source": WORDS})
    assert made.status_code == 201
    assert made.json() == client.get("/api/tasks/letters").json() == client.get("/api/tasks").json()[0]
    assert made.json()["version"] == 0 and made.json()["classes"] == [] and made.json()["kind"] == "texts"
    refused(client.post("/api/tasks/letters/predict", json={"texts": ["a"]}), 409, "has 0 classes", "at least 2")

    examples = [{"label": label, "text": 3 * label} for label in "abc"]
    taught = client.post("/api/tasks/letters/examples", json={"examples": examples}).json()
    assert taught["version"] == 1 and taught["classes"] == [{"label": c, "examples": 1} for c in "abc"]

    said = client.post("/api/tasks/letters/predict", json={"texts": ["aab", "ddd", "cc"]}).json()
    assert said["version"] == 1 and [p["class"] for p in said["predictions"]][::2] == ["a", "c"]
    for p in said["predictions"]:
        assert abs(sum(p["probabilities"].values()) - 1) < 1e-6 and p["accepted"]
        assert list(p["probabilities"].values()) == sorted(p["probabilities"].values(), reverse=True)

    wrong = said["predictions"][1]["id"]
    fixed = client.post("/api/tasks/letters/feedback", json={"prediction": wrong, "label": "d"})
    assert fixed.status_code == 201 and fixed.json()["version"] == 2 and len(fixed.json()["classes"]) == 4
    assert client.post("/api/tasks/letters/predict", json={"texts": ["ddd"]}).json()["predictions"][0]["class"] == "d"
    itself = client.post("/api/tasks/letters/feedback", json={"text": "dd", "label": "d"}).json()
    assert itself["version"] == 3

    listed = client.get("/api/tasks/letters/examples").json()
    assert [(e["label"], e["text"]) for e in listed] == [
        ("a", "aaa"),
        ("b", "bbb"),
        ("c", "ccc"),
        ("d", "ddd"),
        ("d", "dd"),
    ]
    assert client.patch(f"/api/tasks/letters/examples/{listed[0]['id']}", json={"label": "b"}).json() == {"version": 4}
    assert client.delete(f"/api/tasks/letters/examples/{listed[1]['id']}").json() == {"version": 5}
    assert client.delete("/api/tasks/letters/classes/d").json() == {"version": 6}
    assert [(e["label"], e["text"]) for e in client.get("/api/tasks/letters/examples").json()] == [
        ("b", "aaa"),
        ("c", "ccc"),
    ]

    stale = client.post("/api/tasks/letters/undo", json={"to": 1}, headers={"If-Match": '"5"'})
    refused(stale, 412, "version 6 now, not 5")
    back = client.post("/api/tasks/letters/undo", json={"to": 1}, headers={"If-Match": '"6"'})
    assert back.json() == {"version": 7}
    again = client.post("/api/tasks/letters/predict", json={"texts": ["aab", "ddd", "cc"]}).json()
    assert [p["probabilities"] for p in again["predictions"]] == [p["probabilities"] for p in said["predictions"]]
    history = client.get("/api/tasks/letters/versions").json()
    assert [h["version"] for h in history] == list(range(8))
    assert history[2]["action"] == "feedback: 1 to d" and history[7]["action"] == "back to 1"

    file = tmp_path / "l.fewshot"
    file.write_bytes(client.get("/api/tasks/letters/download").content)
    loaded = FewShotClassifier.load(file, allow=("tests",))
    rows = Rows(torch.tensor([[2.0, 1, 0, 0, 0, 0, 0, 0]]) + 0.1)
    p = dict(zip(loaded.classes_.tolist(), loaded.predict_proba(rows)[0].tolist(), strict=True))
    assert p == pytest.approx(said["predictions"][0]["probabilities"], abs=1e-6)

    assert client.delete("/api/tasks/letters").status_code == 204
    refused(client.get("/api/tasks/letters"), 404, "no task 'letters'")


def test_a_restarted_server_gives_the_same_answers(tmp_path):
    with serving(tmp_path / "store") as client:
        teach(client)
        before = client.post("/api/tasks/t/predict", json={"texts": ["ab", "b", "xyz"]}).json()
        served_by(client).drifting.wait()
        task = client.get("/api/tasks/t").json()
    with serving(tmp_path / "store") as client:
        assert client.get("/api/tasks/t").json() == task
        after = client.post("/api/tasks/t/predict", json={"texts": ["ab", "b", "xyz"]}).json()
        assert [p["probabilities"] for p in after["predictions"]] == [p["probabilities"] for p in before["predictions"]]
        served_by(client).drifting.wait()
        asked = client.get("/api/tasks/t").json()
        # What is asked counts in the report of drift, and changes nothing else.
        counts = [one.pop("drift")["distance"]["count"] for one in (task, asked)]
        assert asked == task and counts == [1, 2]
    with serving(tmp_path / "store", sources=(PLAIN,)) as client:
        refused(client.post("/api/tasks/t/predict", json={"texts": ["a"]}), 409, "was taught to", "offers no source")


def test_two_servers_on_one_store_see_each_other_at_the_next_request(tmp_path):
    with serving(tmp_path / "store", workers=2) as one, serving(tmp_path / "store", workers=2) as two:
        teach(one)
        said = two.post("/api/tasks/t/predict", json={"texts": ["ccc"]}).json()
        two.post("/api/tasks/t/examples", json={"examples": [{"label": "c", "text": "ccc"}]})
        assert one.post("/api/tasks/t/predict", json={"texts": ["ccc"]}).json()["predictions"][0]["class"] == "c"
        fixed = None
        for _ in range(600):  # predictions are shared in the background
            fixed = one.post("/api/tasks/t/feedback", json={"prediction": said["predictions"][0]["id"], "label": "c"})
            if fixed.status_code != 410:
                break
            time.sleep(0.05)
        assert fixed is not None and fixed.status_code == 201 and fixed.json()["version"] == 3


def test_none_of_these(client):
    client.post("/api/tasks", json={"name": "t", "source": WORDS, "reject": 0.1})
    examples = [{"label": c, "text": c * n} for c in "abc" for n in (3, 4, 5)]
    client.post("/api/tasks/t/examples", json={"examples": examples})
    found = client.post("/api/tasks/t/predict", json={"texts": ["aaaa", "g" * 12]}).json()["predictions"]
    assert found[0]["class"] == "a" and found[0]["accepted"]
    assert found[1]["class"] is None and not found[1]["accepted"] and len(found[1]["probabilities"]) == 3
    task = client.get("/api/tasks/t").json()
    assert task["reject"] == 0.1 and task["calibration"]["threshold"] and "temperature" in task["calibration"]
    client.delete("/api/tasks/t/classes/c")
    again = client.post("/api/tasks/t/predict", json={"texts": ["aaaa", "g" * 12]}).json()["predictions"]
    assert [one["accepted"] for one in again] == [True, False], "two classes and the bank's sentences are enough"
    points = [{"label": c, "features": [float(ord(c)), float(n), *6 * [1.0]]} for c in "ab" for n in (3, 4)]
    client.post("/api/tasks", json={"name": "u", "source": PLAIN, "reject": 0.1})
    client.post("/api/tasks/u/examples", json={"examples": points})
    asked = client.post("/api/tasks/u/predict", json={"features": [points[0]["features"]]})
    refused(asked, 409, "cannot be learned", "at least 3 classes")


def test_another_share_is_asked_of_a_task_that_stays_as_it_is(client):
    both = {"name": "t", "source": WORDS, "strangers": 0.1, "coverage": 0.9}
    refused(client.post("/api/tasks", json=both), 422, "give strangers or coverage")
    assert client.post("/api/tasks", json={"name": "t", "source": WORDS, "strangers": 0.1}).json()["reject"] == 0.1
    examples = [{"label": c, "text": c * n + "h" * (n % 3)} for c in "abc" for n in range(3, 9)]
    client.post("/api/tasks/t/examples", json={"examples": examples})
    before = client.get("/api/tasks/t").json()
    after = client.patch("/api/tasks/t", json={"coverage": 0.9}).json()
    assert (after["reject"], after["coverage"], after["version"]) == (None, 0.9, before["version"])
    assert after["calibration"]["answered"] and after["calibration"]["threshold"] != before["calibration"]["threshold"]
    assert client.get("/api/tasks/t").json() == after
    assert client.patch("/api/tasks/t", json={}).json()["calibration"]["threshold"] is None
    refused(client.patch("/api/tasks/u", json={}), 404, "no task 'u'")
    found = client.post("/api/tasks/t/predict?sets=0.9", json={"texts": ["aaaa"]}).json()["predictions"][0]
    assert found["set"][0] == found["class"] == "a"
    refused(client.post("/api/tasks/t/predict?sets=0.99", json={"texts": ["a"]}), 409, "takes 99 examples")


def test_pictures_are_kept_as_small_copies_of_our_own(client):
    client.post("/api/tasks", json={"name": "p", "source": PHOTOS})
    secret = b"GPS of my house"
    files = [
        ("files", (f"{c}.jpg", picture(c, (900, 600), "JPEG", comment=secret), "image/jpeg")) for c in ("red", "blue")
    ]
    taught = client.post("/api/tasks/p/examples", files=files, data={"label": ["warm", "cold"]})
    assert taught.status_code == 201 and taught.json()["classes"] == [
        {"label": c, "examples": 1} for c in ("cold", "warm")
    ]
    more = client.post("/api/tasks/p/examples", files=[("files", ("o.png", picture("orange")))], data={"label": "warm"})
    assert more.json()["version"] == 2
    listed = client.get("/api/tasks/p/examples?label=warm").json()
    assert len(listed) == 2
    shown = client.get(listed[0]["picture"])
    assert shown.headers["content-type"] == "image/jpeg" and secret not in shown.content
    from io import BytesIO

    from PIL import Image

    assert Image.open(BytesIO(shown.content)).size == (256, 171)
    said = client.post("/api/tasks/p/predict", files=[("files", ("x.png", picture("navy")))]).json()["predictions"][0]
    image = base64.b64encode(picture("navy")).decode()
    same = client.post("/api/tasks/p/predict", json={"images": [image, f"data:image/png;base64,{image}"]}).json()
    assert said["class"] == "cold"
    assert [p["probabilities"] for p in same["predictions"]] == [said["probabilities"]] * 2
    fixed = client.post("/api/tasks/p/feedback", json={"prediction": said["id"], "label": "dark"}).json()
    picture_of_it = client.get(f"/api/tasks/p/examples/{fixed['ids'][0]}/picture")
    assert picture_of_it.headers["content-type"] == "image/png"


def test_features_with_and_without_an_encoder(client):
    client.post("/api/tasks", json={"name": "f", "source": PLAIN})
    examples = [{"label": "up", "features": [1.0] * 8}, {"label": "down", "features": [-1] * 8}]
    assert client.post("/api/tasks/f/examples", json={"examples": examples}).status_code == 201
    assert client.get("/api/tasks/f/examples").json()[0]["features"] == 8
    said = client.post("/api/tasks/f/predict", json={"features": [[0.5] * 8]}).json()["predictions"][0]
    assert said["class"] == "up"
    teach(client)
    rows = client.post("/api/tasks/t/predict", json={"features": [[3.1] + [0.1] * 7]}).json()["predictions"][0]
    text = client.post("/api/tasks/t/predict", json={"texts": ["aaa"]}).json()["predictions"][0]
    assert rows["probabilities"] == pytest.approx(text["probabilities"])


def test_labels_are_composed_and_may_hold_slashes(client):
    teach(client, texts={"e\u0301/x": ["aaa"], " b ": ["bbb"]})
    assert [c["label"] for c in client.get(TASK).json()["classes"]] == ["b", "\u00e9/x"]
    assert client.delete(f"{TASK}/classes/e\u0301%2Fx").json() == {"version": 2}


def test_many_threads_with_different_tasks_get_the_answers_of_one(client):
    words = ["aab", "bbc", "cde", "fgh", "abc", "hhh"]
    names = [f"task{i}" for i in range(4)]
    for i, name in enumerate(names):
        teach(client, name, texts={"x": [words[i]], "y": [words[i + 1], words[i + 2]]})
    alone = {n: client.post(f"/api/tasks/{n}/predict", json={"texts": words}).json() for n in names}
    wrong = []

    def ask(name):
        for _ in range(10):
            said = client.post(f"/api/tasks/{name}/predict", json={"texts": words}).json()
            for p, q in zip(said["predictions"], alone[name]["predictions"], strict=True):
                if p["probabilities"] != pytest.approx(q["probabilities"], abs=1e-6):
                    wrong.append(name)

    threads = [threading.Thread(target=ask, args=(names[i % 4],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_busy_server_says_when_to_come_back(tmp_path, monkeypatch):
    from innerloop.service.http import work

    with serving(tmp_path / "store", limits=Limits(waiting=2, threads=1)) as client:
        teach(client)
        free, real = threading.Event(), work.encode
        monkeypatch.setattr(work, "encode", lambda *a, **k: free.wait(60) and real(*a, **k))
        answers = []
        asking = [
            threading.Thread(target=lambda: answers.append(client.post(f"{TASK}/predict", json={"texts": ["a"]})))
            for _ in range(6)
        ]
        for thread in asking:
            thread.start()
        late = time.monotonic() + 60
        while len(answers) < 2 and time.monotonic() < late:
            time.sleep(0.01)  # who is refused is told at once
        free.set()
        for thread in asking:
            thread.join()
        busy = [a for a in answers if a.status_code == 503]
        assert 2 <= len(busy) <= 4, "one or two are worked on (or were not yet taken), two wait, the others are refused"
        assert all(a.headers["retry-after"] == "1" for a in busy)
        assert sum(a.status_code == 200 for a in answers) == 6 - len(busy)


def test_metrics_and_health(client):
    teach(client)
    client.post(f"{TASK}/predict", json={"texts": ["a", "b"]})
    assert client.get("/healthz").json()["tasks"] == 1
    text = client.get("/metrics").text
    for line in (
        'innerloop_requests_total{method="POST",route="/api/tasks/{name}/predict",status="200"} 1.0',
        'innerloop_predictions_total{accepted="yes"} 2.0',
        "innerloop_examples_total 4.0",
        "innerloop_adapted_tasks 1.0",
        'innerloop_batch_items_sum{stage="encode"} 4.0',
        'innerloop_batch_items_sum{stage="predict"} 2.0',
    ):
        assert line in text, line


def test_the_document_names_every_route_and_has_examples(client):
    made = client.get("/openapi.json").json()
    for path in ("", "/{name}", "/{name}/examples", "/{name}/predict", "/{name}/feedback", "/{name}/undo"):
        assert f"/api/tasks{path}" in made["paths"]
    for schema in ("TaskIn", "ExamplesIn", "PredictBody", "FeedbackIn"):
        assert made["components"]["schemas"][schema]["examples"], schema
    assert "HTTPValidationError" not in json.dumps(made)
    sent = made["components"]["schemas"]["PredictBody"]["examples"][0]
    teach(client)
    assert client.post(f"{TASK}/predict", json=sent).status_code == 200


def test_a_source_that_cannot_be_loaded_stops_the_start(tmp_path):
    from innerloop.core.errors import InputError

    with pytest.raises(InputError, match="no run folder"):
        create(Settings(store=str(tmp_path), sources=("nothing-like-it",)))


def test_the_page_and_nothing_else_of_the_folder(tmp_path):
    with TestClient(create(Settings(store=str(tmp_path), sources=(PLAIN,), allow=("tests",)))) as client:
        client.base_url = "http://localhost"
        assert client.get("/static/plotly.min.js").headers["content-type"].startswith("text/javascript")
        assert client.get("/static/swagger-ui.css").headers["content-type"].startswith("text/css")
        assert "static/docs.js" in client.get("/docs").text
        for path in ("app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "store.sqlite", "x.js", "%00.js"):
            refused(client.get(f"/static/{path}"), 404)
