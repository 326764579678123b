"""Questions that workers share in a file: what becomes of them where it cannot be written, or only slowly."""

import time

import numpy as np
import pytest

from innerloop.service.http import recent
from innerloop.service.http.adapted import Raw
from innerloop.service.http.recent import Asked, Recent
from innerloop.service.limits import Limits
from innerloop.service.store.errors import BusyError


def asked(task=1, text="a"):
    return Asked(task, np.zeros(1, np.float32), Raw("texts", text, "a"), "b")


def test_a_folder_that_cannot_be_written_for_a_while_does_not_end_the_writing(tmp_path, monkeypatch):
    private = recent.make_private

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recent, "make_private", full)
    here, other = Recent(Limits(), tmp_path), Recent(Limits(), tmp_path)
    here.put(asked())
    time.sleep(3 * recent._MOMENT)
    assert other.find("none", 1) is None
    with pytest.raises(BusyError):
        here.erase(1)
    monkeypatch.setattr(recent, "make_private", private)
    id = here.put(asked())
    end = time.monotonic() + 5
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
    here = Recent(Limits(), tmp_path)
    monkeypatch.setattr(here, "_gather", lambda: time.sleep(0.3) or [None])
    here.put(asked())
    time.sleep(2 * recent._MOMENT)  # the writer gathers once more by the old way, and then ends
    with pytest.raises(BusyError):
        here.erase(1)
    here.close()


def test_what_waits_to_be_written_holds_no_more_than_memory_may(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "_MOMENT", 0.5)
    here = Recent(Limits(recent_mb=0.1), tmp_path)
    ids = [here.put(asked(text="x" * 10_000)) for _ in range(100)]
    assert all(isinstance(one, str) for one in list(here._queue.queue))
    time.sleep(1)
    other = Recent(Limits(), tmp_path)
    assert other.find(ids[0], 1) is None
    assert other.find(ids[-1], 1) is not None
    here.close()
    other.close()
