import json

import pytest

from tests.field import margins
from tests.field.margins import FILE, holds, measured, room


@pytest.mark.parametrize("what", measured())
def test_the_worst_seed_on_either_make_holds_by_an_interval(what):
    known = measured()[what]
    assert len(known["values"]) == 2 and all(len(seeds) >= 3 for seeds in known["values"].values())
    assert room(known) >= 1


def test_a_threshold_holds_or_says_what_was_measured(tmp_path, monkeypatch):
    values = {"a": {"least": 0.5, "most": None, "values": {}}, "b": {"least": None, "most": 2.0, "values": {}}}
    monkeypatch.setattr(margins, "FILE", tmp_path / "measured.json")
    margins.FILE.write_text(json.dumps({"thresholds": values}))
    holds("a", 0.5, 0.1, least=0.5)
    holds("b", 2.0, 0.1, most=2.0)
    with pytest.raises(AssertionError, match=r"a: 0.49 ± 0.1, at least 0.5 is needed"):
        holds("a", 0.49, 0.1, least=0.5)
    with pytest.raises(AssertionError, match="at most 2 is allowed"):
        holds("b", 2.1, 0.1, most=2.0)
    with pytest.raises(AssertionError, match="measure it again"):
        holds("a", 0.9, 0.1, least=0.6)
    monkeypatch.setenv(margins.WRITE, str(tmp_path / "lines"))
    holds("new", 1.0, 0.1, least=0.0)
    assert json.loads((tmp_path / "lines").read_text())["what"] == "new"


def test_room_is_counted_in_intervals_of_the_worst():
    known = {"least": 0.8, "most": None, "values": {"x": [[0.9, 0.01], [0.85, 0.02]], "y": [[0.86, 0.05]]}}
    assert room(known) == pytest.approx(1.2)
    assert room({"least": None, "most": 1.0, "values": {"x": [[0.7, 0.1], [1.1, 0.1]]}}) == pytest.approx(-1)


def test_what_was_measured_says_how():
    content = json.loads(FILE.read_text())
    assert content["command"] and content["date"] and content["torch"] and content["seeds"] == [0, 1, 2]
