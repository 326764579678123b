"""Questions that workers share in a file, and hosts in their store: what becomes of them where it is slow or closed."""

import time

import numpy as np
import pytest

from innerloop.service.http import recent, recent_shelves
from innerloop.service.http.adapted import Raw
from innerloop.service.http.recent import Asked, Recent
from innerloop.service.limits import Limits
from innerloop.service.store import predictions
from innerloop.service.store.errors import BusyError
from innerloop.service.store.store import Store
from tests.service.served import served_by, serving, teach


def asked(task=1, text="a"):
    return Asked(task, np.zeros(1, np.float32), Raw("texts", text, "a"), "b")


def shared(folder, **limits):
    """What one of several workers remembers."""
    file = recent_shelves.File(Limits(**limits), folder)
    return Recent(Limits(**limits), file, written=file)


def test_a_folder_that_cannot_be_written_for_a_while_does_not_end_the_writing(tmp_path, monkeypatch):
    private = recent_shelves.make_private

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recent_shelves, "make_private", full)
    here, other = shared(tmp_path), shared(tmp_path)
    here.put(asked())
    time.sleep(3 * recent._MOMENT)
    assert other.find("none", 1) is None
    with pytest.raises(BusyError):
        here.erase(1)
    monkeypatch.setattr(recent_shelves, "make_private", private)
    id = here.put(asked())
    end = time.monotonic() + 60
    while other.find(id, 1) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    here.erase(1)
    other._kept.forget(lambda *_: True)
    assert other.find(id, 1) is None
    here.close()
    other.close()


def test_what_was_not_written_in_time_is_not_taken_for_erased(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "_PATIENCE", 0.05)
    here = shared(tmp_path)
    monkeypatch.setattr(here, "_gather", lambda: time.sleep(0.3) or [None])
    here.put(asked())
    time.sleep(2 * recent._MOMENT)  # the writer gathers once more by the old way, and then ends
    with pytest.raises(BusyError):
        here.erase(1)
    here.close()


def test_what_waits_to_be_written_holds_no_more_than_memory_may(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "_MOMENT", 0.5)
    here = shared(tmp_path, recent_mb=0.1)
    ids = [here.put(asked(text="x" * 10_000)) for _ in range(100)]
    assert all(isinstance(one, str) for one in list(here._queue.queue))
    other, end = shared(tmp_path), time.monotonic() + 60
    while other.find(ids[-1], 1) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert other.find(ids[0], 1) is None
    here.close()
    other.close()


def test_hosts_name_each_others_predictions_and_one_host_writes_none(place):
    with serving(place) as one, serving(place) as other:
        teach(one)
        said = one.post("/api/tasks/t/predict", json={"texts": ["abc\0", "ü \U0001f600"]}).json()["predictions"]
        with served_by(one).store.database.reading() as c:
            written = "SELECT count(*) FROM predictions"
            if served_by(one).store.database.shared:
                body = {"prediction": said[1]["id"], "label": "b"}
                assert other.post("/api/tasks/t/feedback", json=body).json()["version"] == 2
                (row,) = one.get("/api/tasks/t/examples").json()[4:]
                assert (row["label"], row["text"]) == ("b", "ü \U0001f600")
                assert c.execute(written).fetchone()[0] == 2
                teach(other, "u")
                assert other.post("/api/tasks/u/feedback", json=body).status_code == 410
            else:
                time.sleep(3 * recent._MOMENT)
                assert c.execute(written).fetchone()[0] == 0
        one.delete("/api/tasks/t", params={"forever": True}).raise_for_status()
        with served_by(other).store.database.reading() as c:
            assert c.execute(written).fetchone()[0] == 0


def test_rows_of_the_store_are_bounded_and_found_wherever_the_store_came_from(place):
    limits = Limits(recent=32, recent_mb=0.1)
    store = Store(place)
    task = store.create("t", "plain", "features", None)
    rows = recent_shelves.Rows(limits, store.database)
    about = [
        Asked(task.id, np.arange(3, dtype=np.float32), Raw("features", [0.0, 1.0, 2.0], f"x{i}"), "b")
        for i in range(50)
    ]
    rows.write([(f"id{i}", one) for i, one in enumerate(about)])
    found = rows.find("id49")
    assert found is not None and found.raw == about[-1].raw and (found.row == about[-1].row).all()
    assert rows.find("id17") is None and rows.find("id18") is not None
    rows.write([(f"big{i}", asked(task.id, "x" * 10_000)) for i in range(20)])
    assert rows.find("big0") is None and len(predictions_of(store)) <= 11
    rows.write([("gone", asked(task.id + 1)), ("there", asked(task.id))])
    assert rows.find("gone") is None and rows.find("there") is not None
    assert Recent(limits, rows).find("there", task.id) is not None
    with store.database.writing() as c:
        c.execute("UPDATE predictions SET time = time - 90000")
    predictions.expire(store.database)
    assert predictions_of(store) == []
    store.close()


def predictions_of(store):
    with store.database.reading() as c:
        return c.execute("SELECT ticket FROM predictions").fetchall()
