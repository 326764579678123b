import json

import pytest

from innerloop.apps.text.watch import events
from innerloop.apps.text.watch.clock import AGREE, Clock
from innerloop.apps.text.watch.events import BAD_ID, NO_TEXT, NO_TIME, NOT_JSON, TOO_LONG, Event, Unusable, iso, parse
from innerloop.apps.text.watch.schedule import Schedule

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("time", "milliseconds"),
    [
        ("2026-01-01T00:00:00Z", 1767225600000),
        ("2026-01-01", 1767225600000),
        ("2026-01-01T08:00:00.5+08:00", 1767225600500),
        (1767225600, 1767225600000),
        (1767225600.25, 1767225600250),
        (1767225600000, 1767225600000),
        ("1767225600", 1767225600000),
        (0, 0),
    ],
)
def test_times_are_iso_or_since_1970(time, milliseconds):
    assert events.milliseconds(time) == milliseconds
    assert events.milliseconds(iso(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "time", [None, True, "", "soon", "NaN", float("nan"), float("inf"), -1, "0001-01-01", 1e300, 10**400, [1], {}]
)
def test_what_is_no_time(time):
    assert events.milliseconds(time) is None


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"{", NOT_JSON),
        (b"[1]", NOT_JSON),
        (b"\xff\xfe", NOT_JSON),
        (b"[" * 100_000, NOT_JSON),
        (b'{"time": 1}', NO_TEXT),
        (b'{"text": " \\n", "time": 1}', NO_TEXT),
        (b'{"text": 3, "time": 1}', NO_TEXT),
        (b'{"text": "a"}', NO_TIME),
        (b'{"text": "a", "time": 1, "id": [1]}', BAD_ID),
        (b'{"text": "a", "time": 1, "id": true}', BAD_ID),
        (b"x" * (events.LONGEST_LINE + 1), TOO_LONG),
    ],
)
def test_what_is_no_event_is_said_by_kind(line, kind):
    with pytest.raises(Unusable) as refused:
        parse(line)
    assert str(refused.value) == kind and kind in events.ABOUT


@pytest.mark.parametrize("text", ["x" * 100_000, "👩‍👩‍👧 🎉", "مرحبا بالعالم", "half \ud83d", "\u202eabc", "a\0b"])
def test_odd_texts_are_events_that_can_be_kept(text):
    event = parse(b"\xef\xbb\xbf" + json.dumps({"text": text, "time": 1, "id": 7, "source": text}).encode())
    assert event.id == "7" and len(event.shown) <= 280 and len(event.text) == len(text)
    for one in (event.text, event.shown, event.source or ""):
        one.encode()
    assert event.key and event.content and event.order


def times(schedule: Schedule) -> list[tuple[int, bool]]:
    """Windows by their hour, and whether they are closed."""
    return [(step.start // HOUR, step.event is None) for step in schedule.steps]


def scheduled(hours: list[float], late: float = 0.0, jump: float = 24.0) -> tuple[Schedule, Clock]:
    clock = Clock(late=int(late * HOUR), jump=int(jump * HOUR))
    schedule = Schedule(clock, HOUR, set(), lambda start: False)
    for hour in hours:
        schedule.add(Event(text="a", time=int(hour * HOUR)))
    return schedule, clock


def test_a_window_closes_when_the_watermark_has_passed_it():
    begin = [0.1] * AGREE
    schedule, _ = scheduled([*begin, 1.2, 0.9, 1.6, 0.8], late=0.5)
    assert times(schedule)[AGREE:] == [(1, False), (0, False), (0, True), (1, False)], "0.9 came in time"
    assert [event.time for event in schedule.late] == [int(0.8 * HOUR)]


def test_the_first_events_are_not_late_because_they_are_far_apart():
    schedule, _ = scheduled([0.5 + i for i in range(AGREE)])
    assert not schedule.late and times(schedule)[-3:] == [(8, False), (8, True), (9, False)]


@pytest.mark.parametrize("off", [-10_000.0, 500_000.0])
def test_a_time_that_is_far_off_is_not_believed_and_closes_nothing(off):
    schedule, clock = scheduled([*[5.1] * AGREE, off, 5.2, off, off, 5.3])
    assert times(schedule) == [(5, False)] * (AGREE + 2) and len(schedule.astray) == 3
    assert clock.now == int(5.3 * HOUR) and not schedule.late


@pytest.mark.parametrize("first", [500_000.0, 0.0])
def test_a_wrong_first_time_does_not_set_the_clock(first):
    schedule, clock = scheduled([first, *[1000.1] * AGREE])
    assert clock.now == int(1000.1 * HOUR) and len(schedule.steps) == AGREE and len(schedule.astray) == 1


def test_a_clock_that_jumps_is_followed_ahead_and_back_once_events_agree():
    schedule, clock = scheduled([*[5.1] * AGREE, *[5000.1] * AGREE, *[5.9, 6.1] * AGREE, 6.2, 7.3])
    starts = times(schedule)
    assert clock.moved == 2 and clock.now == int(7.3 * HOUR)
    assert starts[AGREE : AGREE + 2] == [(5, True), (5000, False)] and (5000, True) in starts
    assert starts[-3:] == [(6, False), (6, True), (7, False)], "windows after the jump close again"
    assert len(schedule.late) == AGREE, "hour 5 was closed before"


def test_what_waits_is_kept():
    _, clock = scheduled([0.1] * AGREE + [300.0] * 3)
    again = Clock.from_json(json.loads(json.dumps(clock.to_json())), clock.late, clock.jump)
    assert again == clock and len(again.waiting) == 3
