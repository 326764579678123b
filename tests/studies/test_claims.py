"""Every trial once, whoever dies: trials that are not trained, taken and stored by several boards on one file."""

import json
import multiprocessing
import os
import random
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from innerloop.studies import claims
from innerloop.studies.claims import OUTCOME, Board
from innerloop.studies.storage import library, open_storage, open_study

pytest.importorskip("optuna")


def board(folder: Any, trials: int = 5) -> Board:
    url = f"sqlite:///{folder / 'study.sqlite'}"
    storage = open_storage(url)
    study = open_study(storage, url, "s", "minimize", {"of": "this"})
    study.sampler = library().samplers.RandomSampler(seed=random.randrange(10**6))
    return Board(study, storage, trials, folder, {"x": 0.5})


def over(one: Board, claim: Any, value: float | None = None) -> bool:
    x = claim.trial.suggest_float("x", 0, 1)
    outcome = {"state": "COMPLETE", "value": x if value is None else value, "values": {"x": x}}
    return one.store(claim.trial._trial_id, outcome)


def finished(one: Board) -> list[int]:
    """Slots whose attempts ended, as often as one did."""
    return sorted(
        slot
        for slot, attempts in one.slots().items()
        for t in attempts
        if t.state.is_finished() and (t.state.name != "FAIL" or t.user_attrs.get(claims.REASON))
    )


def older(monkeypatch):
    """What was begun a moment ago is old."""
    monkeypatch.setattr(claims, "BEAT", 0.01)


def test_all_are_taken_once_and_the_first_has_the_defaults(tmp_path):
    one, other = board(tmp_path), board(tmp_path)
    while (claim := one.take()) is not None:
        with one.held(claim):
            assert over(one, claim)
    assert finished(one) == [0, 1, 2, 3, 4] and other.take() is None
    assert one.chosen()[0].params == {"x": 0.5}
    assert len(one.study.get_trials()) == 5


def test_two_take_different_trials_and_never_one_too_many(tmp_path):
    boards = [board(tmp_path, 12) for _ in range(3)]
    taken: list[int] = []

    def work(one: Board) -> None:
        while (claim := one.take()) is not None:
            with one.held(claim):
                taken.append(claim.slot)
                over(one, claim)

    threads = [threading.Thread(target=work, args=(one,)) for one in boards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 12 and finished(boards[0]) == sorted(taken)


def _dying(folder: Any, trials: int) -> None:
    one = board(folder, trials)
    claim = one.take()
    assert claim is not None
    with one.held(claim):
        claim.trial.suggest_float("x", 0, 1)
        claim.trial.report(1.0, 1)
        os._exit(1)


def die(folder: Any, trials: int = 2) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_dying, args=(folder, trials))
    process.start()
    process.join()


def test_the_trial_of_a_dead_process_goes_on_with_its_values(tmp_path, monkeypatch):
    die(tmp_path)
    older(monkeypatch)
    one = board(tmp_path, 2)
    claim = one.take()
    assert claim is not None and (claim.slot, claim.again) == (0, True)
    assert claim.trial.params == {"x": 0.5} and claim.folder.name == "0000"
    with one.held(claim):
        assert over(one, claim)
    claim = one.take()
    assert claim is not None and claim.slot not in (0, 1), "the number of the attempt at the first"
    with one.held(claim):
        over(one, claim)
    assert one.take() is None and len(finished(one)) == 2


def test_a_living_process_keeps_its_trial(tmp_path, monkeypatch):
    one, other = board(tmp_path, 2), board(tmp_path, 1)
    claim = one.take()
    assert claim is not None
    older(monkeypatch)
    taken: list[Any] = []
    with one.held(claim):
        thread = threading.Thread(target=lambda: taken.append(other.take()))
        thread.start()
        thread.join(1.5)
        assert thread.is_alive(), "it waits, since the one at work may die"
        over(one, claim)
        thread.join()
    assert taken == [None]


def test_what_was_over_and_not_stored_is_stored(tmp_path, monkeypatch):
    die(tmp_path, 1)
    (tmp_path / "trials" / "0000" / OUTCOME).write_text(json.dumps({"state": "PRUNED", "value": 2.5, "steps": 7}))
    older(monkeypatch)
    one = board(tmp_path, 1)
    assert one.take() is None
    assert (one.chosen()[0].state.name, one.chosen()[0].value, one.chosen()[0].user_attrs["steps"]) == (
        "PRUNED",
        2.5,
        7,
    )


def test_two_who_repair_one_slot_do_not_work_twice(tmp_path):
    one = board(tmp_path, 1)
    claim = one.take()
    assert claim is not None
    one.storage.set_trial_state_values(claim.trial._trial_id, state=one.states.FAIL)
    again = library().trial.create_trial(state=one.states.WAITING, user_attrs={claims.SLOT: 0})
    one.study.add_trial(again)
    one.study.add_trial(again)
    first = one.take()
    assert first is not None and first.trial.number == 1
    with one.held(first):
        assert one._claim() is None, "the second attempt is one too many"
        over(one, first)
    assert one.take() is None and finished(one) == [0]


def test_one_that_was_given_away_is_not_stored(tmp_path):
    one = board(tmp_path, 1)
    claim = one.take()
    assert claim is not None
    claim.trial.suggest_float("x", 0, 1)
    one.release(claim)
    assert not over(one, claim)
    other = one.take()
    assert other is not None and other.slot == 0 and other.trial.number == 1


def test_one_that_died_before_it_said_where_it_is_is_noticed_in_time(tmp_path, monkeypatch):
    one = board(tmp_path, 1)
    one.study.ask()
    trial = one.study.get_trials()[0]
    assert not one._dead(trial)
    monkeypatch.setattr(claims, "GRACE", 0)
    trial.datetime_start = datetime.now() - timedelta(seconds=1)
    assert one._dead(trial)


def test_the_folder_of_another_machine_of_the_same_name_says_nothing(tmp_path):
    one = board(tmp_path, 1)
    claim = one.take()
    assert claim is not None
    trial = one.study.get_trials()[0]
    trial.datetime_start = datetime.now() - timedelta(seconds=30)
    assert not one._dead(trial), "there is no lock here that its end would have freed"
    with one.held(claim):
        pass
    assert one._dead(trial)


def test_whoever_stood_still_so_long_that_a_trial_was_given_away_takes_another(tmp_path, monkeypatch):
    one = board(tmp_path, 1)
    ask = one.study.ask

    def slow():
        trial = ask()
        one.storage.set_trial_state_values(trial._trial_id, state=one.states.FAIL)
        return trial

    monkeypatch.setattr(one.study, "ask", slow)
    assert one._claim() is None
    monkeypatch.undo()
    claim = one.take()
    assert claim is not None and claim.trial.number == 1
