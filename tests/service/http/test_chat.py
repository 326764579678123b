"""A desk over HTTP says what the same desk says in Python, and conversations are kept."""

import base64
import contextlib
import json
import sqlite3

import pytest

from innerloop.apps.text.desk.chat import Chat
from innerloop.apps.text.desk.opening import desk
from innerloop.apps.text.desk.replies import Slot
from innerloop.apps.text.desk.settings import DeskOptions
from innerloop.core.context import Context
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.client import Client
from innerloop.service.limits import Limits
from innerloop.service.store import conversations
from innerloop.service.store.keys import add
from tests.apps.text.desk.test_passages import pdf
from tests.service.served import PLAIN, WORDS, served_by, serving
from tests.service.test_erase import are_there

pytest.importorskip("bm25s")
REPLY = {"intent": "a", "reply": ["Order {n}.", "订单 {n}。"], "slots": {"n": {"pattern": r"\d{5}", "ask": "Number?"}}}
DOCUMENT = "# Guarantee\n\ncccc dddd cc\n"
MESSAGES = ["aaa aa", "12345", "and 23456?", "cccc dd", "  ", "hhhh hhhh hhhh", "b b bb"]


def equip(client, name="t"):
    """A task with a threshold, and its desk."""
    client.post("/api/tasks", json={"name": name, "source": WORDS, "strangers": 0.2}).raise_for_status()
    rows = [{"label": label, "text": label * n + " " + label} for label in "ab" for n in (2, 3, 4, 5)]
    client.post(f"/api/tasks/{name}/examples", json={"examples": rows}).raise_for_status()
    body = {"replies": [REPLY], "documents": [{"name": "a.md", "text": DOCUMENT}], "near": 0.9}
    assert client.post(f"/api/tasks/{name}/desk", json=body).json()["passages"] == 1


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request, tmp_path_factory):
    lite = request.param == "sqlite"
    with serving(tmp_path_factory.mktemp("store") if lite else request.getfixturevalue("server").new()) as client:
        equip(client)
        yield client


def test_a_conversation_is_that_of_python(client, tmp_path):
    (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
    (tmp_path / "a.md").write_text(DOCUMENT)
    task = FewShotClassifier.load(tmp_path / "t.fewshot", allow=["tests"])
    (tmp_path / "replies.jsonl").write_text(json.dumps(REPLY))
    options = DeskOptions(replies=str(tmp_path / "replies.jsonl"), documents=str(tmp_path / "a.md"), near=0.9)
    chat = Chat(task, desk(task.task.source, ["a", "b"], options, Context(cache=tmp_path)))
    conversation, kinds = None, []
    for message in MESSAGES:
        said = client.post("/api/tasks/t/chat", json={"message": message, "conversation": conversation}).json()
        turn = chat.say(message).to_json()
        assert {key: said[key] for key in turn} == pytest.approx(turn), message
        conversation, kinds = said["conversation"], [*kinds, said["kind"]]
    assert kinds[:5] == ["question", "reply", "reply", "passage", "question"] and "hand-over" in kinds
    kept = client.get(f"/api/tasks/t/conversations/{conversation}").json()
    assert [one["message"] for one in kept] == MESSAGES and [one["kind"] for one in kept] == kinds
    (listed,) = [one for one in client.get("/api/tasks/t/conversations").json() if one["conversation"] == conversation]
    assert listed["messages"] == len(MESSAGES) and listed["last"]["message"] == MESSAGES[-1]


def test_a_message_that_is_sent_again_is_said_once(client):
    asked = {"headers": {"Idempotency-Key": "once"}, "json": {"message": "aaa"}}
    first, again = (client.post("/api/tasks/t/chat", **asked).json() for _ in range(2))
    assert again["conversation"] == first["conversation"] and again["time"] == first["time"]
    assert len(client.get(f"/api/tasks/t/conversations/{first['conversation']}").json()) == 1
    other = client.post("/api/tasks/t/chat", headers=asked["headers"], json={"message": "b"})
    assert other.status_code == 409


def test_what_was_said_to_an_erased_task_is_in_no_file(tmp_path):
    with serving(tmp_path) as client:
        for name in ("kept", "gone"):
            equip(client, name)
            headers, said = {"Idempotency-Key": name}, {"message": f"aaa said to {name}"}
            client.post(f"/api/tasks/{name}/chat", headers=headers, json=said).raise_for_status()
        assert are_there(tmp_path, b"said to gone", b"said to kept") == [True, True]
        client.delete("/api/tasks/gone?forever=1").raise_for_status()
        assert are_there(tmp_path, b"said to gone", b"said to kept") == [False, True]


def test_a_message_is_corrected_by_feedback(client):
    said = client.post("/api/tasks/t/chat", json={"message": "ab"}).json()
    before = client.get("/api/tasks/t").json()["version"]
    assert said["version"] == before
    client.post("/api/tasks/t/feedback", json={"prediction": said["id"], "label": "b"}).raise_for_status()
    assert client.get("/api/tasks/t").json()["version"] == before + 1
    client.post("/api/tasks/t/undo").raise_for_status()


def test_messages_are_counted_as_predictions_are(client):
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("innerloop_predictions_total{"))

    before = counted()
    client.post("/api/tasks/t/chat", json={"message": "ab"}).raise_for_status()
    assert counted() == before + 1


def test_a_conversation_is_deleted(client):
    name = client.post("/api/tasks/t/chat", json={"message": "ab"}).json()["conversation"]
    assert client.delete(f"/api/tasks/t/conversations/{name}").status_code == 204
    assert client.get(f"/api/tasks/t/conversations/{name}").status_code == 404
    gone = client.post("/api/tasks/t/chat", json={"message": "ab", "conversation": name})
    assert gone.status_code == 404 and f"no conversation '{name}'" in gone.json()["error"]


def test_a_conversation_is_erased_with_its_bytes(tmp_path):
    first, last = "abcdefgh the first secret", "ab " * 400 + "the last secret"
    secrets = [text.encode() for text in (first, last)]
    with serving(tmp_path, workers=2) as client:
        equip(client)
        with Client("http://localhost") as known:
            known._http = client  # pyright: ignore[reportAttributeAccessIssue]  # in place of a socket
            task = known.task("t")
            talks = [task.chat(first)["conversation"] for _ in range(2)]
            kept = task.chat("aab, which stays")["conversation"]
            for talk in talks:
                for i in range(30):  # so that pages are split
                    task.chat(last if i == 20 else "b" * (i * 37 % 500), talk)
            task.forget_chat(talks[0])
            assert are_there(tmp_path, *secrets) == [True, True]
            named = {"Idempotency-Key": "k"}
            road = f"/api/tasks/t/conversations/{talks[1]}?forever=1"
            assert [client.delete(road, headers=named).status_code for _ in range(2)] == [204, 204]
            assert client.delete(road).status_code == 404
            assert are_there(tmp_path, *secrets, b"aab, which stays") == [False, False, True]
            assert len(client.get(f"/api/tasks/t/conversations/{kept}").json()) == 1
            task.forget_chat(kept, forever=True)
            assert are_there(tmp_path, b"aab, which stays") == [False]


def test_the_oldest_conversations_are_let_go_with_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(conversations, "MOST", 2)
    secrets = [f"abcdefgh secret {i}" for i in range(3)]
    with serving(tmp_path) as client:
        equip(client)
        named = {"Idempotency-Key": "first"}
        talks = [
            client.post("/api/tasks/t/chat", json={"message": secret}, headers=named if i == 0 else {}).json()
            for i, secret in enumerate(secrets)
        ]
        there = [one["conversation"] for one in client.get("/api/tasks/t/conversations").json()]
        assert there == [talk["conversation"] for talk in talks[:0:-1]]
        again = client.post("/api/tasks/t/chat", json={"message": secrets[0]}, headers=named).json()
        assert again["conversation"] != talks[0]["conversation"]  # its answer went with it
    # When the service starts again, or once a day.
    with serving(tmp_path):
        assert are_there(tmp_path, b"secret 1", b"secret 2", b"secret 0") == [False, True, True]


def test_bytes_of_a_conversation_that_somebody_reads_go_when_asked_again(tmp_path):
    with serving(tmp_path, limits=Limits(store_seconds=0.3)) as client:
        equip(client)
        name = client.post("/api/tasks/t/chat", json={"message": "abcdefgh secret"}).json()["conversation"]
        with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM tasks").fetchone()
            refused = client.delete(f"/api/tasks/t/conversations/{name}?forever=1")
            assert refused.status_code == 503 and "still in the files" in refused.json()["error"]
        assert client.delete(f"/api/tasks/t/conversations/{name}?forever=1").status_code == 404
        assert are_there(tmp_path, b"abcdefgh secret") == [False]


def test_a_pdf_is_quoted_and_words_decide_before_the_classifier(client, monkeypatch):
    pytest.importorskip("pypdf")
    body = {"documents": [{"name": "terms.pdf", "pdf": base64.b64encode(pdf(b"hh hhhh hh")).decode()}], "near": 0.9}
    body |= {"replies": [{"intent": "emergency", "words": ["fire"], "hand_over": "Leave!"}]}
    before = served_by(client).store.task("t")
    kept = conversations.desk(served_by(client).store, before)
    assert kept is not None
    assert client.post("/api/tasks/t/desk", json=body).json()["passages"] == 1
    said = client.post("/api/tasks/t/chat", json={"message": "hhhh hhhh"}).json()
    assert (said["kind"], said["source"]) == ("passage", "terms.pdf, page 1")
    said = client.post("/api/tasks/t/chat", json={"message": "aaa fire"}).json()
    assert (said["kind"], said["text"], said["rule"]) == ("hand-over", "Leave!", "fire")
    monkeypatch.setattr("innerloop.core.importing.importlib.util.find_spec", lambda name: None)
    refused = client.post("/api/tasks/t/desk", json=body)
    assert refused.status_code == 422 and "innerloop[desk]" in refused.json()["error"]
    conversations.equip(served_by(client).store, before, kept[1])


def test_a_desk_that_was_kept_with_a_pattern_that_takes_for_ever_opens_and_does_not_look_for_it(client):
    store, task = served_by(client).store, served_by(client).store.task("t")
    kept = conversations.desk(store, task)
    assert kept is not None
    endless = {"intent": "a", "reply": "{n}", "slots": {"n": {"pattern": "(a+)+$", "ask": "Number?"}}}
    conversations.equip(store, task, kept[1] | {"replies": [endless], "passages": []})
    talk, kinds = None, []
    for _ in range(3):
        said = client.post("/api/tasks/t/chat", json={"message": "a" * 40 + "!", "conversation": talk}).json()
        talk, kinds = said["conversation"], [*kinds, said["kind"]]
    assert kinds == ["question", "question", "hand-over"]
    conversations.equip(store, task, kept[1])


def test_nothing_is_looked_for_in_a_message_while_the_store_is_held(client, monkeypatch):
    if not served_by(client).store.database.instant:
        pytest.skip("a file that is locked")
    path, find, looked = served_by(client).store.database.path, Slot.find, []

    def free(slot, message):
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as c:
            c.execute("BEGIN IMMEDIATE")  # where the store is held it fails
        looked.append(slot.name)
        return find(slot, message)

    monkeypatch.setattr(Slot, "find", free)
    said = client.post("/api/tasks/t/chat", json={"message": "aaa"}).json()
    body = {"message": "12345", "conversation": said["conversation"]}
    assert client.post("/api/tasks/t/chat", json=body).json()["text"] == "Order 12345."
    assert looked == ["n", "n"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"replies": [{"intent": "z", "reply": "x"}]}, "replies[0] answers 'z', which is no intent"),
        ({"replies": [{"intent": "a", "reply": "{x}"}]}, "nothing fills {x}"),
        ({"documents": [{"name": "a.pdf", "text": "x"}]}, "give .md, .txt or .html"),
        ({"documents": [{"name": "a.pdf", "pdf": "eA=="}]}, "a.pdf is no PDF that can be read"),
        ({"documents": [{"name": "a.pdf", "pdf": "?"}]}, "a.pdf is not base64"),
        ({"documents": [{"name": "a.pdf"}]}, "give one of them"),
        ({"documents": [{"name": "a.pdf", "pdf": "eA==", "text": "x"}]}, "give one of them"),
        ({"replies": [{"intent": "z", "pattern": "(a+)+"}]}, "could take very long"),
        ({"replies": [REPLY | {"slots": {"n": {"pattern": "(a+)+$", "ask": "?"}}}]}, "replies[0], slot 'n'"),
        ({"near": float("inf")}, "near"),
        ({"hand_over": []}, "hand_over"),
        ({"reply": []}, "reply"),
    ],
)
def test_a_wrong_desk_is_refused_and_the_old_one_stays(client, body, said):
    before = client.get("/api/tasks/t/desk").json()
    content = json.dumps(body).replace("Infinity", "1e999")
    refused = client.post("/api/tasks/t/desk", content=content, headers={"Content-Type": "application/json"})
    assert refused.status_code == 422 and said in refused.json()["error"]
    assert client.get("/api/tasks/t/desk").json() == before


def test_what_cannot_chat_says_why(client):
    client.post("/api/tasks", json={"name": "numbers", "source": PLAIN}).raise_for_status()
    for path, body in (("chat", {"message": "x"}), ("desk", {})):
        refused = client.post(f"/api/tasks/numbers/{path}", json=body)
        assert refused.status_code == 422 and "a desk reads texts" in refused.json()["error"]
    client.post("/api/tasks", json={"name": "open", "source": WORDS}).raise_for_status()
    refused = client.post("/api/tasks/open/chat", json={"message": "x"})
    assert refused.status_code == 409 and "strangers" in refused.json()["error"]
    assert client.get("/api/tasks/open/desk").json() == {"replies": [], "passages": 0, "near": None, "hand_over": []}
    assert client.post("/api/tasks/t/chat", json={"message": "x" * 10_001}).status_code == 422
    assert client.post("/api/tasks/nobody/chat", json={"message": "x"}).status_code == 404


def test_who_may_only_look_may_chat_but_not_read_what_others_said(tmp_path):
    head = {scope: {"Authorization": f"Bearer {add(tmp_path, scope)[1]}"} for scope in ("read", "write")}
    with serving(tmp_path, demand_keys=True) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS, "strangers": 0.2}, headers=head["write"])
        rows = [{"label": label, "text": label * n} for label in "ab" for n in (2, 3, 4, 5)]
        client.post("/api/tasks/t/examples", json={"examples": rows}, headers=head["write"]).raise_for_status()
        said = client.post("/api/tasks/t/chat", json={"message": "aa"}, headers=head["read"])
        said.raise_for_status()
        assert client.get("/api/tasks/t/conversations", headers=head["read"]).status_code == 403
        assert len(client.get("/api/tasks/t/conversations", headers=head["write"]).json()) == 1
        assert client.post("/api/tasks/t/desk", json={}, headers=head["read"]).status_code == 403
