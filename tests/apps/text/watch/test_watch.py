import json
import random
import sqlite3

import numpy as np
import pytest

from innerloop.apps.text.watch import watch as module
from innerloop.apps.text.watch.events import NO_TIME, NOT_JSON
from innerloop.apps.text.watch.ids import OTHER, TWICE
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.summary import summary
from innerloop.apps.text.watch.watch import ASTRAY, LATE
from innerloop.core.errors import FailedError, InputError
from tests.apps.text.watch.streams import Known, alerts, line, settings, sizes, surging, watched


def test_a_surge_of_a_topic_is_told_with_its_pair_its_shares_and_its_sentences(state):
    watch = watched(state, surging())
    watch.finish()
    told = [json.loads(one) for one in alerts(state)]
    rises = [one for one in told if one["what"] == "rise"]
    assert [one["labels"] for one in rises][:2] == [{"topic": "a"}, {"topic": "a", "mood": "h"}]
    first = rises[0]
    assert first["window"] == {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T09:00:00Z"}, "the first that surges"
    assert first["share"]["of"] == 40 and first["share"]["low"] < first["share"]["value"] < first["share"]["high"]
    adjusted, low, high = first["adjusted"]
    assert low < adjusted < high and adjusted > first["share"]["value"] > 4 * first["usual"]["value"]
    assert set(first["charts"]) == {"cusum", "ewma"} and len(first["sentences"]) == 5
    assert all(one["text"].startswith("a") and one["source"] == "shop" for one in first["sentences"])
    assert all(one["text"].startswith("ah") for one in rises[1]["sentences"])
    assert len({one["key"] for one in told}) == len(told) and [one["number"] for one in told] == [
        *range(1, len(told) + 1)
    ]


def test_a_rise_that_is_over_is_told_once(state):
    lines = surging(hours=12)
    for hour in range(12, 30):
        for i in range(40):
            topic = "a" if i % 10 == 0 else "bc"[i % 2]
            lines.append(line(f"{topic}g {hour}.{i}", 3600 * hour + 80 * i))
    watched(state, lines).finish()
    told = [json.loads(one) for one in alerts(state) if json.loads(one)["labels"] == {"topic": "a"}]
    assert [one["what"] for one in told] == ["rise", "over"] and told[1]["sentences"] == []


def test_nothing_changes_nothing_is_told(state):
    watched(state, surging(hours=60, after=99), 1000, warmup=24, run_length=1000.0).finish()
    assert alerts(state) == []


@pytest.mark.exact
def test_alerts_do_not_depend_on_how_lines_come(opened):
    lines, rng = surging(), random.Random(0)
    for first in range(0, len(lines), 20):  # a little out of order, as streams are
        part = lines[first : first + 5]
        rng.shuffle(part)
        lines[first : first + 5] = part
    found = []
    for batch in (7, 37, 1000):
        state = opened(f"w{batch}")
        watched(state, lines, batch).finish()
        found.append((alerts(state), state.history(99), state.get("tally")))
    assert found[0] == found[1] == found[2] and found[0][0]


class Killed(Exception):
    """In place of the end of a process."""


@pytest.mark.exact
def test_a_process_that_dies_anywhere_in_a_batch_loses_and_doubles_nothing(opened, monkeypatch):
    lines = surging()
    state = opened("whole")
    watched(state, lines)
    expected, rng = (alerts(state), list(sizes(state))), random.Random(0)
    left = rng.choices(range(1, 12), k=25)

    class Dying(sqlite3.Connection):
        """Dies at a statement that changes something."""

        def execute(self, sql, *parameters):
            if sql.startswith(("REPLACE", "INSERT", "UPDATE", "COMMIT")) and left:
                left[-1] -= 1
                if left[-1] == 0:
                    left.pop()
                    raise Killed
            return super().execute(sql, *parameters)

    original = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: original(*args, **more, factory=Dying))
    deaths = 0
    while True:
        try:
            state = opened("parts")
            begin = (state.get("position") or {"lines": 0})["lines"]
            watch = module.Watch(Known(), settings(), state)
            for first in range(begin, len(lines), 70):
                watch.take(lines[first : first + 70], {"lines": first + 70})
            break
        except Killed:
            deaths += 1
            state.close()
    assert deaths == 25 and (alerts(state), list(sizes(state))) == expected


def test_what_is_no_event_is_counted_told_once_and_passed_over(opened):
    lines, told = surging(hours=3), []
    bad = [b"no json", b'{"text": "ag"}', b"", b"  ", b"{}", b"no json either"]
    lines[5:5] = bad
    lines += [line("bg changed", 7200, id=3), lines[0], lines[0]]  # another text under a known id; twice the same
    lines += [line("ag", -365 * 86400), line("ag", 7300), line("ag", 3600), line("ag", 1e6), line("ag", 7400)]
    state = opened()
    watch = watched(state, lines, told=told)
    tally = watch.tally
    assert (tally[NOT_JSON], tally[NO_TIME], tally[OTHER], tally[TWICE]) == (2, 1, 1, 2)
    assert (tally[ASTRAY], tally[LATE]) == (2, 1) and tally["events"] == 120 + 2
    assert len(told) == len({*told}) and sum("no JSON" in one for one in told) == 1
    assert sum(size for _, size in sizes(state)) == tally["events"]
    state.close()
    again: list[str] = []
    watched(opened(), [b"no json"], told=again)
    assert again == [], "not told again after a restart"


@pytest.mark.parametrize("batch", [1, 1000])
def test_an_id_is_known_for_as_long_as_it_is_remembered_however_lines_come(opened, batch):
    lines = [line("ag", 60 * i, id=i) for i in range(10)]
    for hour in (0.2, 1, 3, 4, 8):  # forgotten after two hours
        lines += [line("ag", 3600 * hour), line("ag", 3600 * hour, id="same")]
    back = [line("ag", -86400 * 30 + i, id=f"back {i % 10}") for i in range(15)]  # the clock is set back
    watch = watched(opened(), [*lines, *back, line("ag", -86400 * 30 + 20, id="back 0")], batch, remember="2h")
    assert watch.clock.moved == 1 and watch.tally[TWICE] == 2 + 1
    assert watch.tally["events"] == 10 + 5 + 3 + 15


def test_what_is_forgotten_leaves_the_disk(state):
    watched(state, surging(), remember="2h")
    ids = state.connection.execute("SELECT count(*), min(time) FROM ids").fetchone()
    assert 80 <= ids[0] <= 140


def test_another_watch_on_a_state_is_refused_with_what_differs(opened):
    opened("w", {"task topic": "1", "window": "1h", "charts": ["cusum"]}).close()
    with pytest.raises(InputError, match="task topic was 1, now none; window was 1h, now 2h; task new was none, now 2"):
        opened("w", {"window": "2h", "charts": ["cusum"], "task new": "2"})
    assert opened("w", {"task topic": "1", "window": "1h", "charts": ["cusum"]}).new is False


def test_one_process_at_a_time(opened):
    opened()
    with pytest.raises(InputError, match="another process watches"):
        opened()


def test_what_is_no_state_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"something else, which is long enough" * 100)
    with pytest.raises(InputError, match="cannot be used as the state"):
        State(tmp_path / "a", {})
    other = sqlite3.connect(tmp_path / "b")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(InputError, match="something else"):
        State(tmp_path / "b", {})


def test_a_state_that_cannot_be_written_says_so(state):
    watch = watched(state, surging(hours=1))
    state.connection.execute("DROP TABLE windows")
    state.connection.execute("CREATE TABLE windows (start)")
    with pytest.raises(FailedError, match="read again next time"):
        watch.take([line("ag", 3000)])


def test_how_it_stands(state):
    watch = watched(state, surging(), batch=1000)
    stands = summary(watch, state)
    standing = {str(one.series): one for one in stands.standings}
    assert standing["a"].trend == "up" and standing["a"].alerting and standing["b"].trend == "down"
    assert standing["a"].share.of == 240 and standing["a"].usual.of == 200
    assert (stands.closed, stands.open, stands.warming, stands.waiting) == (13, 1, 0, 0)
    json.dumps(stands.to_json())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": "1 hour"}, "--window is a duration"),
        ({"window": "0s"}, "--window"),
        ({"late": "2d"}, "--late 2d is more than --jump 1d"),
        ({"warmup": 1}, "2 or more windows"),
        ({"run_length": float("nan")}, "--run-length"),
        ({"surge": 1.0}, "--surge"),
        ({"charts": ()}, "--charts"),
        ({"charts": ("cusum", "cusum")}, "--charts"),
    ],
)
def test_settings_that_make_no_sense(changes, said):
    with pytest.raises(InputError, match=said):
        settings(**changes)


def test_one_task_has_no_pairs(opened):
    class One(Known):
        subjects = Known.subjects[:1]

        def __call__(self, texts: list[str]) -> np.ndarray:
            return super().__call__(texts)[:, :1]

    watch = module.Watch(One(), settings(), opened())
    watch.take(surging())
    assert [one.labels for one in watch.board.series] == [{"topic": one} for one in "abc"]
