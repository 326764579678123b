"""Plans that take turns, on a clock of the test's own."""

from innerloop.engine import trial
from innerloop.engine.plan import Plan
from innerloop.engine.race import decided, race
from innerloop.engine.trial import Trial
from innerloop.tasks import Sinusoid


def calls(times: dict[str, list[float | None]]):
    """What is called takes its times one after another, the last one for ever; and who was called, in order."""
    order: list[str] = []

    def once(name: str) -> float | None:
        took = times[name][min(order.count(name), len(times[name]) - 1)]
        order.append(name)
        return took

    return once, order


def test_turns_are_interleaved_and_the_better_half_stays():
    once, order = calls({"a": [1, 1.2, 1, 1.4], "b": [2, 1.1, 1.3], "c": [3], "d": [4]})
    race("abcd", once, most=100)
    assert "".join(order[:12]) in ("abcdabcdabab", "abcdabcdbaba")
    assert set(order[8:]) == {"a", "b"}


def test_it_ends_when_the_best_is_ahead_by_more_than_times_scatter():
    once, order = calls({"a": [9, 1.0, 1.01], "b": [9, 2.0, 2.02]})
    assert race("ab", once, most=1000) == {"a": [9, 1.0, 1.01], "b": [9, 2.0, 2.02]}
    once, order = calls({"a": [1, 1.0, 1.5], "b": [1, 1.02, 1.4]})
    race("ab", once, most=1000)
    assert len(order) == 16, "as near as these are, all turns are taken"


def test_a_slow_first_call_rules_nobody_out():
    once, _ = calls({"a": [1.0], "b": [2.5, 0.5]})
    assert min(race("ab", once, most=10)["b"]) == 0.5


def test_no_turn_begins_when_the_time_is_over():
    once, order = calls({name: [1.0, 1.0 + 0.01 * i] for i, name in enumerate("abcdefgh")})
    race("abcdefgh", once, most=6)
    assert order == [*"abc", *"abc"], "half of the time for first calls, then a second of each"
    once, order = calls({"a": [7.0], "b": [1.0]})
    assert race("ab", once, most=6) == {"a": [7.0]}


def test_who_cannot_run_is_left_out():
    once, _ = calls({"a": [None], "b": [1.0], "c": [1.0, None]})
    assert set(race("abc", once, most=10)) == {"b"}


def test_a_later_race_on_a_busier_machine_moves_who_was_timed_before(monkeypatch):
    loop, vmap, replay = Plan("loop"), Plan("vmap"), Plan("replay")
    ran = Trial(None, {}, Sinusoid().episodes(0, 2), loop, 1.0, lambda: False)  # pyright: ignore[reportArgumentType]
    times = iter([{loop: [1.5], vmap: [1.0]}, {replay: [1.6], vmap: [2.0]}])
    monkeypatch.setattr(trial, "race", lambda *given: next(times))
    ran.race([loop, vmap], 1)
    ran.race([replay, vmap], 1)
    assert ran.seconds == {loop: 3.0, vmap: 2.0, replay: 1.6}


def test_one_alone_is_decided():
    assert decided([[3.0]]) and not decided([[3.0, 1.0], [3.0, 2.0]])
