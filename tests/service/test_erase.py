"""An example that is erased forever is in no version, no file and no memory of the service."""

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.limits import Limits
from innerloop.service.store.erase import erase
from innerloop.service.store.errors import BusyError
from innerloop.service.store.records import Example
from innerloop.service.store.store import Store
from innerloop.service.store.undo import redo, undo
from tests.service.served import PHOTOS, PLAIN, WORDS, picture, serving, teach

SECRET = "abcdefgh-marker-of-a-secret-"
_FIND = """
import json, sys
from pathlib import Path
wanted = [bytes.fromhex(text) for text in sys.argv[2:]]
files = [path for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
print(json.dumps([any(one in path.read_bytes() for path in files) for one in wanted]))
"""


def are_there(folder: Path, *wanted: bytes) -> list[bool]:
    """Which bytes are in any file; read by another process, as closing one here would drop SQLite's locks."""
    command = [sys.executable, "-c", _FIND, str(folder), *(one.hex() for one in wanted)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_text_is_gone_from_every_file_version_and_memory(tmp_path):
    secret, short = SECRET + "s" * 5_000, SECRET + "short"  # one with pages of its own, one among others
    with serving(tmp_path, workers=2) as client:
        teach(client)
        t = "/api/tasks/t"
        for i in range(60):  # so that pages are split
            text = {20: secret, 40: short}.get(i, f"aab {i} " + "a" * (i * 37 % 500))
            client.post(f"{t}/examples", json={"examples": [{"label": "a", "text": text}]}).raise_for_status()
        ids = [e["id"] for e in client.get(f"{t}/examples?limit=1000").json() if SECRET in e["text"]]
        client.post(f"{t}/predict", json={"texts": [secret, short]}).raise_for_status()
        client.patch(f"{t}/examples/{ids[0]}", json={"label": "c"}).raise_for_status()
        client.delete(f"{t}/examples/{ids[0]}").raise_for_status()
        client.post(f"{t}/undo").raise_for_status()
        client.delete(f"{t}/examples/{ids[1]}").raise_for_status()  # no longer in the newest version
        app: Any = client.app
        app.state.service.recent.find("none", 1)
        assert are_there(tmp_path, SECRET.encode()) == [True]
        before = client.get(t).json()["version"]
        for i, id in enumerate(ids):
            gone = client.delete(f"{t}/examples/{id}?forever=1")
            assert gone.status_code == 200 and gone.json() == {"version": before + 1 + i}
        assert are_there(tmp_path, SECRET.encode(), b"aab 21") == [False, True]
        assert client.delete(f"{t}/examples/{ids[0]}?forever=1").status_code == 404
        for version in range(before + 1):
            client.post(f"{t}/undo", json={"to": version}).raise_for_status()
            assert SECRET not in client.get(f"{t}/examples?limit=1000").text
        assert SECRET.encode() not in client.get(f"{t}/download").content
        assert are_there(tmp_path, SECRET.encode()) == [False]


def test_a_picture_is_gone_with_its_row_also_from_the_file_that_it_came_in(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    from PIL import Image

    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    store = tmp_path / "store"
    with serving(store) as client:
        client.post("/api/tasks", json={"name": "p", "source": PHOTOS}).raise_for_status()
        for label, content in (("a", path.read_bytes()), ("a", picture("red")), ("b", picture("blue"))):
            files = [("files", ("x.png", content))]
            client.post("/api/tasks/p/examples", files=files, data={"label": label}).raise_for_status()
        shown = client.get("/api/tasks/p/examples/1/picture")
        assert "max-age" not in shown.headers["cache-control"]
        app: Any = client.app
        task = app.state.service.store.task("p")
        row = app.state.service.store.support(task)[0][0].tobytes()
        file = client.get("/api/tasks/p/download").content
        imported = client.post("/api/tasks/import", files={"file": ("q.fewshot", file)})
        assert imported.status_code == 201
        kept = [shown.content[100:200], row]
        assert are_there(store, *kept) == [True, True]
        for name in ("p", "q"):
            first = client.get(f"/api/tasks/{name}/examples").json()[0]["id"]
            client.delete(f"/api/tasks/{name}/examples/{first}?forever=1").raise_for_status()
            assert client.get(f"/api/tasks/{name}/examples/{first}/picture").status_code == 404
        assert are_there(store, *kept) == [False, False]
        files = [("files", ("x.png", picture("darkblue")))]
        asked = [client.post(f"/api/tasks/{name}/predict", files=files).json()["predictions"] for name in ("p", "q")]
        assert asked[0][0]["probabilities"] == asked[1][0]["probabilities"] and asked[0][0]["class"] == "b"
    with serving(store) as client:  # the learner is read again from what stands for the file
        again = client.post("/api/tasks/q/predict", files=files).json()["predictions"]
        assert again[0]["probabilities"] == asked[1][0]["probabilities"]
        downloaded = tmp_path / "q.fewshot"
        downloaded.write_bytes(client.get("/api/tasks/q/download").content)
    assert len(FewShotClassifier.load(downloaded, allow=("tests",)).classes_) == 2


def test_every_version_is_counted_as_if_it_had_never_been(tmp_path):
    """Against a store that was told the same without the example."""
    stores = [Store(tmp_path / name) for name in ("with", "without")]
    for store in stores:
        store.create("t", "plain", "features", None)
    whole, without = stores
    r, ids, victim = random.Random(0), {}, 0
    for step in range(60):
        label = r.choice("ab")
        example = Example(row=np.full(3, step, np.float32), label=label)
        added = whole.add("t", [example, example] if step == 5 else [example]).ids
        ids[step] = (added[0], without.add("t", [example]).ids[0])
        if step == 5:
            victim = added[1]
        if step > 5 and step % 3 == 0:
            whole.relabel("t", victim, r.choice("abc"))
            without.relabel("t", ids[0][1], "a")
            whole.relabel("t", ids[0][0], "a")
            without.relabel("t", ids[0][1], "a")
    assert erase(whole, "t", victim).version == whole.task("t").version
    counts = [[(v["examples"], v["classes"]) for v in store.versions("t")] for store in stores]
    assert counts[0][:-1] == counts[1]
    for store in stores:
        store.close()


def test_it_cannot_be_undone_and_undo_goes_on_to_the_change_before(tmp_path):
    store = Store(tmp_path)
    store.create("t", "plain", "features", None)
    ids = [store.add("t", [Example(row=np.full(3, i, np.float32), label="a")]).ids[0] for i in range(3)]
    erase(store, "t", ids[0])
    undo(store, "t")
    assert [e["id"] for e in store.examples("t", None, 10, 0)] == [ids[1]]
    redo(store, "t")
    assert [e["id"] for e in store.examples("t", None, 10, 0)] == ids[1:]
    store.close()


def test_while_somebody_reads_it_says_that_bytes_are_left_and_does_it_when_asked_again(tmp_path):
    with serving(tmp_path, limits=Limits(store_seconds=0.3)) as client:
        teach(client, texts={"a": [SECRET, "aa"], "b": ["b"]})
        other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM tasks").fetchone()
        refused = client.delete("/api/tasks/t/examples/1?forever=1")
        assert refused.status_code == 503 and "still in the files" in refused.json()["error"]
        assert refused.headers["retry-after"]
        assert SECRET not in client.get("/api/tasks/t/examples").text and are_there(tmp_path, SECRET.encode()) == [True]
        other.execute("ROLLBACK")
        other.close()
        assert client.delete("/api/tasks/t/examples/1?forever=1").status_code == 404
        assert are_there(tmp_path, SECRET.encode()) == [False]


def test_what_another_worker_erases_while_one_scrubs_is_scrubbed_as_well(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    first.create("t", "plain", "texts", None)
    texts = [f"{SECRET}{i}" for i in range(3)]
    ids = first.add("t", [Example(row=np.zeros(3, np.float32), label="a", text=text) for text in texts]).ids
    erase(first, "t", ids[0])
    database: Any = first.database  # in SQLite
    writer = database._writer
    marks = {writer.execute("SELECT unscrubbed FROM totals").fetchone()[0]}
    writer.set_trace_callback(
        lambda statement: erase(second, "t", ids[1]) if "wal_checkpoint(TRUNCATE)" in statement else None
    )
    first.database.scrub()  # its pages were written anew before the second one was erased
    writer.set_trace_callback(None)
    assert [e["id"] for e in first.examples("t", None, 10, 0)] == [ids[2]]
    marks |= {writer.execute("SELECT unscrubbed FROM totals").fetchone()[0], 0}
    assert len(marks) == 3  # the second one's
    second.database.scrub()
    assert writer.execute("SELECT unscrubbed FROM totals").fetchone()[0] == 0
    assert are_there(tmp_path, *(text.encode() for text in texts)) == [False, False, True]
    for store in (first, second):
        store.close()


def test_a_scrub_that_a_change_elsewhere_holds_up_says_what_is_left(tmp_path):
    store = Store(tmp_path, Limits(store_seconds=0.2))
    store.create("t", "plain", "features", None)
    (id,) = store.add("t", [Example(row=np.zeros(3, np.float32), label="a")]).ids
    erase(store, "t", id)
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="still in the files"):
        store.database.scrub()
    other.close()
    store.database.scrub()
    store.close()


def test_a_task_is_gone_with_its_bytes(tmp_path):
    with serving(tmp_path, workers=2) as client:
        teach(client, texts={"a": [SECRET + "s" * 5_000, "aa"], "b": ["b"]})
        teach(client, "kept", texts={"a": ["kept for ever"], "b": ["b"]})
        client.post("/api/tasks/t/predict", json={"texts": [SECRET]}).raise_for_status()
        client.delete("/api/tasks/t/examples/1").raise_for_status()
        assert client.delete("/api/tasks/t?forever=1").status_code == 204
        assert client.get("/api/tasks/t").status_code == 404
        assert are_there(tmp_path, SECRET.encode(), b"kept for ever") == [False, True]
        assert client.delete("/api/tasks/t?forever=1").status_code == 404
        assert len(client.get("/api/tasks/kept/examples").json()) == 2


def test_a_task_that_is_only_deleted_leaves_bytes_that_the_next_erasing_takes(tmp_path):
    with serving(tmp_path) as client:
        teach(client, texts={"a": [SECRET + "s" * 5_000, "aa"], "b": ["b"]})
        teach(client, "u", texts={"a": ["a"], "b": ["b"]})
        client.delete("/api/tasks/t").raise_for_status()
        assert are_there(tmp_path, SECRET.encode()) == [True]
        client.delete("/api/tasks/u?forever=1").raise_for_status()
        assert are_there(tmp_path, SECRET.encode()) == [False]


def test_a_task_whose_bytes_are_left_is_erased_when_asked_again(tmp_path):
    with serving(tmp_path, limits=Limits(store_seconds=0.3)) as client:
        teach(client, texts={"a": [SECRET, "aa"], "b": ["b"]})
        other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM tasks").fetchone()
        named = {"Idempotency-Key": "k"}
        refused = client.delete("/api/tasks/t?forever=1", headers=named)
        assert refused.status_code == 503 and "still in the files" in refused.json()["error"]
        assert client.get("/api/tasks/t").status_code == 404 and are_there(tmp_path, SECRET.encode()) == [True]
        other.execute("ROLLBACK")
        other.close()
        # As the client sends it again by itself.
        assert client.delete("/api/tasks/t?forever=1", headers=named).status_code == 204
        assert are_there(tmp_path, SECRET.encode()) == [False]


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_forever_is_yes_or_no(tmp_path, value):
    with serving(tmp_path) as client:
        teach(client)
        assert client.delete(f"/api/tasks/t/examples/1?forever={value}").status_code == 422
        assert client.delete("/api/tasks/t/examples/1?forever=0").status_code == 200
        assert client.post("/api/tasks/t/undo").status_code == 200
        assert len(client.get("/api/tasks/t/examples").json()) == 4


def test_what_was_asked_does_not_outlive_the_server(tmp_path):
    with serving(tmp_path, workers=2, sources=(PLAIN, WORDS)) as client:
        teach(client)
        client.post("/api/tasks/t/predict", json={"texts": [SECRET]}).raise_for_status()
    assert are_there(tmp_path, SECRET.encode()) == [True]
    with serving(tmp_path):
        assert are_there(tmp_path, SECRET.encode()) == [False]
