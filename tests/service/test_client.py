import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.client import Client, ServiceError, Task
from innerloop.service.limits import Limits
from innerloop.service.parts import parts
from innerloop.service.store import keys
from tests.service.live import draw, service, train

THREE = ("circle", "cross", "square")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "shapes"
    train(folder, steps=5)
    return folder


@pytest.fixture(scope="module")
def url(run, tmp_path_factory) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("store"), run.parent) as found:
        yield found


@pytest.fixture
def client(url) -> Iterator[Client]:
    with Client(url) as made:
        yield made


@pytest.fixture
def task(client, request, tmp_path) -> Task:
    made = client.create(request.node.name[-60:].strip("_"), "shapes")
    for shape in THREE:
        made.add(draw(tmp_path, shape, 3), shape)
    return made


def test_a_table_is_read_by_the_service(client, task, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("frage;absicht\nwo ist sie;karte\nnoch nicht da;karte\n")
    with pytest.raises(ServiceError, match="a table only names them"):
        task.table(table)
    with pytest.raises(InputError, match="cannot be read"):
        task.table(tmp_path / "none.csv")
    if "use-multilingual" in client.sources():
        texts = client.create("texts-of-a-table", "use-multilingual")
        assert texts.table(table) == (["wo ist sie", "noch nicht da"], ["karte", "karte"])
        assert texts.table(table, label_column="frage", text_column="absicht")[1] == ["wo ist sie", "noch nicht da"]
        assert texts.add(*texts.table(table)) == 1


def test_a_task_is_taught_asked_corrected_and_taken_back(client, task, tmp_path, monkeypatch):
    assert task.show().classes == {"circle": 3, "cross": 3, "square": 3}
    assert "shapes" in client.sources()
    asked = [*draw(tmp_path, "circle", 2, seed=1), *draw(tmp_path, "cross", 2, seed=1)]
    answers = task.predict(asked)
    assert len(answers) == 4
    assert all(a.accepted and a.label == max(a.probabilities, key=a.probabilities.__getitem__) for a in answers)
    assert all(
        set(a.probabilities) == set(THREE) and sum(a.probabilities.values()) == pytest.approx(1) for a in answers
    )
    explained = task.predict(asked[:1], explain=True)[0]
    assert explained.label == answers[0].label and not answers[0].nearest
    assert [one["label"] in THREE for one in explained.nearest] == [True] * 3 and explained.nearest[0]["picture"]
    monkeypatch.setattr("innerloop.service.parts._AT_ONCE", 3)  # two requests, and a third for what they chose
    chosen = task.suggest(asked, 2)
    assert len({place for place, _ in chosen}) == 2 and len(task.suggest(asked, 10)) == 4
    assert all(one.probabilities == answers[place].probabilities for place, one in chosen)
    before = task.show().version
    evaluation = task.evaluate()
    assert evaluation["accuracy"]["of"] == 9 and evaluation["version"] == before
    assert [one["shots"] for one in task.shots([2, 1])["points"]] == [1, 2]
    assert task.feedback(answers[0], "ring") == before + 1
    assert task.show().classes["ring"] == 1
    assert task.undo(before) == before + 2
    assert task.show().classes == {"circle": 3, "cross": 3, "square": 3}
    assert [v.version for v in task.versions()] == list(range(before + 3))
    assert task.name in [t.name for t in client.tasks()]
    task.delete()
    with pytest.raises(ServiceError, match=task.name) as gone:
        client.task(task.name)
    assert gone.value.status == 404


def test_a_task_is_erased_with_its_bytes(client, monkeypatch):
    task = client.create("erased", "shapes")
    asked, request = [], client.request
    monkeypatch.setattr(client, "request", lambda *a, **k: asked.append(k["params"]) or request(*a, **k))
    task.delete(forever=True)
    assert asked == [{"forever": 1}]
    monkeypatch.undo()
    with pytest.raises(ServiceError, match="erased") as gone:
        client.task("erased")
    assert gone.value.status == 404


def test_examples_are_listed_relabelled_removed_and_classes_dropped(client, task):
    found = list(task.examples("cross"))
    assert [e.label for e in found] == ["cross"] * 3 and found[0].picture is not None
    assert client.request("GET", found[0].picture.lstrip("/")).headers["content-type"].startswith("image/")
    task.relabel(found[0].id, "square")
    task.remove(found[1].id)
    assert task.show().classes == {"circle": 3, "cross": 1, "square": 4}
    task.drop("square")
    assert [e.label for e in task.examples()] == ["circle"] * 3 + ["cross"]


def test_the_downloaded_file_answers_as_the_service_does(task, tmp_path):
    asked = draw(tmp_path, "square", 3, seed=5)
    served = [a.probabilities for a in task.predict(asked)]
    local = FewShotClassifier.load(task.download(tmp_path / "task.fewshot"))
    own = [dict(zip(map(str, local.classes_), row, strict=True)) for row in local.predict_proba(asked)]
    for a, b in zip(served, own, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_many_examples_go_in_several_requests_and_come_back_in_order(task, tmp_path, monkeypatch):
    monkeypatch.setattr("innerloop.service.parts._AT_ONCE", 2)
    pictures = [path.read_bytes() for shape in THREE for path in draw(tmp_path, shape, 3, seed=7)]
    before = task.show().version
    assert task.add(pictures, ["circle"] * 3 + ["cross"] * 3 + ["square"] * 3) == before + 1
    assert task.show().classes == {"circle": 6, "cross": 6, "square": 6}
    together = [a.probabilities for a in task.predict(pictures)]
    alone = [task.predict([picture])[0].probabilities for picture in pictures]
    assert [pytest.approx(a, abs=1e-5) for a in alone] == together
    assert len({tuple(a.values()) for a in alone}) == len(pictures)


def test_a_folder_and_a_zip_of_it_are_one_version_each(task, tmp_path, monkeypatch):
    monkeypatch.setattr("innerloop.service.parts._AT_ONCE", 2)
    for shape in THREE[:2]:
        draw(tmp_path / "pics" / shape / "deep", shape, 2, seed=8)
    before = task.show()
    assert task.add_folder(tmp_path / "pics") == before.version + 1
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "pics")
    assert task.add_folder(packed) == before.version + 2
    assert task.show().classes == before.classes | {shape: before.classes[shape] + 4 for shape in THREE[:2]}


def test_no_request_of_numbers_is_larger_than_it_may_be(monkeypatch):
    monkeypatch.setattr("innerloop.service.parts._BYTES", 10_000)
    rows = np.random.default_rng(0).normal(size=(40, 100)) * -1e-300  # the longest that JSON spells
    requests = list(parts(rows, "features"))
    assert [place for _, places in requests for place in places] == list(range(40))
    assert max(len(json.dumps(part)) for part, _ in requests) < 1.2 * 10_000, "what stands around the numbers is little"


@pytest.mark.parametrize(
    "given, labels, message",
    [
        (["nowhere.png"], "a", "nowhere.png cannot be read"),
        ("one.png", "a", "give a list"),
        ([b"x", b"y"], ["a"], "2 examples and 1 labels"),
        ([], "a", "no examples"),
        ([np.array([1.0, np.nan])], "a", "NaN"),
        ([object()], "a", "picture, a text or a vector"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(client, url, given, labels, message):
    task = Task(client, client.create(f"bad-{abs(hash(message)) % 10**8}", "shapes").info())
    with pytest.raises(InputError, match=message):
        task.add(given, labels)
    assert task.show().version == 0


def test_a_refusal_carries_the_message_and_the_status(client, task, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    before = task.show()
    with pytest.raises(ServiceError, match="picture") as refused:
        task.add([*draw(tmp_path, "square", 1), tmp_path / "notes.png"], "square")
    assert refused.value.status == 422 and task.show() == before
    with pytest.raises(ServiceError, match="version") as stale:
        task.undo(0, seen=before.version - 1)
    assert stale.value.status == 412
    with pytest.raises(ServiceError) as forgotten:
        task.feedback("AAAAAAAAAAAAAAAA", "square")
    assert forgotten.value.status == 410


def test_a_key_is_sent_and_asked_for(run, tmp_path):
    _, key = keys.add(str(tmp_path / "store"), "write", "test")
    with service(tmp_path / "store", run.parent, demand_keys=True) as url:
        with Client(url) as nobody, pytest.raises(ServiceError, match="key") as refused:
            nobody.tasks()
        assert refused.value.status == 401
        with Client(url, key) as known:
            assert known.create("a", "shapes").info().classes == {}


def test_too_fast_is_slowed_down_not_failed(run, tmp_path):
    with service(tmp_path, run.parent, limits=Limits(rate=2, threads=1)) as url, Client(url) as client:
        assert [client.tasks() for _ in range(6)] == [[]] * 6
        with Client(url, tries=1) as hasty, pytest.raises(ServiceError, match="a second"):
            [hasty.tasks() for _ in range(6)]


def test_nobody_there_is_one_message():
    with Client("http://127.0.0.1:9", tries=2) as client, pytest.raises(ServiceError, match="no answer") as error:
        client.tasks()
    assert error.value.status is None
    with pytest.raises(InputError, match="no address"):
        Client("localhost:8000")


@pytest.fixture
def unsteady() -> Iterator[tuple[str, list[str], list[int]]]:
    """A server that closes the connection (0), or answers with the status that stands next on a list."""
    seen: list[str] = []
    plan: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append(self.command)
            status = plan.pop(0)
            if status == 0:
                self.close_connection = True
                return
            body = json.dumps({"error": "busy", "version": 3, "predictions": []} if status != 204 else []).encode()
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen, plan
    server.shutdown()
    server.server_close()


def test_only_what_is_safe_is_sent_again(unsteady):
    url, seen, plan = unsteady
    with Client(url) as client:
        plan[:] = [0, 503, 200]
        client.request("GET", "x")
        assert seen == ["GET"] * 3
        seen.clear()
        plan[:] = [503, 200]  # it said that it did nothing
        client.request("POST", "x")
        assert seen == ["POST"] * 2
        seen.clear()
        plan[:] = [0, 200]  # it may have been done, and this service does not know names of changes
        with pytest.raises(ServiceError, match="no answer"):
            client.request("POST", "x")
        assert seen == ["POST", "GET"]
        seen.clear()
        plan[:] = [0, 200]
        client.request("POST", "predict", looks=True)
        assert seen == ["POST"] * 2
        seen.clear()
        plan[:] = [500]
        with pytest.raises(ServiceError, match="busy") as failed:
            client.request("GET", "x")
        assert failed.value.status == 500 and seen == ["GET"]


def test_a_file_is_loaded_undone_and_redone(client, task, tmp_path):
    file = task.download(tmp_path / "Shapes of mine.fewshot")
    again = client.load(file)
    assert again.name == "Shapes-of-mine" and again.show().classes == task.show().classes
    asked = draw(tmp_path, "cross", 2, seed=7)
    assert [p.probabilities for p in again.predict(asked)] == [p.probabilities for p in task.predict(asked)]
    version = again.drop("circle")
    assert again.undo() == version + 1 and again.redo() == version + 2 and again.rollback(version - 1) == version + 3
    assert [v.action for v in again.versions()][-4:] == ["drop circle", "undo", "redo", f"back to {version - 1}"]
    with pytest.raises(ServiceError, match="already") as taken:
        client.load(file, name=task.name)
    assert taken.value.status == 409
    with pytest.raises(InputError, match=r"nothing\.fewshot cannot be read"):
        client.load(tmp_path / "nothing.fewshot")


def test_a_desk_is_given_and_asked(client):
    if "use-multilingual" not in client.sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    task = client.create("a-desk", "use-multilingual", reject=0.2)
    task.add(["my money back", "refund me", "pay it back", "return my money"], "refund")
    task.add(["when do you open", "opening times", "open on Sunday?", "are you open"], "hours")
    reply = {"intent": "refund", "reply": "In five days."}
    assert task.equip([reply], {"a.txt": "Lamps have three years."}, [("Who are you?", "A shop.")]) == 2
    said = task.chat("I want my money back")
    assert (said["kind"], said["text"]) == ("reply", "In five days.")
    assert task.chat("Who are you?", said["conversation"])["source"] == "answer 1"
    task.feedback(said["id"], "hours")
    with pytest.raises(ServiceError, match=r"replies\[0\]"):
        task.equip([{"intent": "x", "reply": "y"}])


def test_a_stream_is_watched(client):
    if "use-multilingual" not in client.sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    task = client.create("a-watch", "use-multilingual")
    for label, texts in {
        "refund": ["my money back", "refund me"],
        "hours": ["when do you open", "opening times"],
    }.items():
        task.add(texts, label)
    assert task.watched() is None
    assert task.watch(window="1h", warmup=3)["settings"]["warmup"] == 3
    events = [{"text": "refund me", "time": 3600 * i, "id": str(i)} for i in range(5)]
    taken = task.events(events, finish=True)
    assert taken["came"] == {"lines": 5, "events": 5} and taken["closed"] == 5
    stands = task.watched()
    assert stands is not None and stands["tally"]["events"] == 5
    with pytest.raises(ServiceError, match="is a duration"):
        task.watch(window="a week")
