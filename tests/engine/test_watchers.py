"""Watchers hear everything, in order, change nothing, and may end training."""

import json
from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import FailedError
from innerloop.engine import Stop, Watcher, load, meta_train
from innerloop.engine import train as engine_train
from innerloop.engine.checkpoint import steps_done
from tests.engine.test_train import CONFIG, LEARNER, TASKS, Broken, lines, same, train


class Diary(Watcher):
    """Writes down what it hears; `stop` names an event and a step to stop at."""

    def __init__(self, stop=(None, 0), reason="enough"):
        self.entries, self.stop, self.reason = [], stop, reason

    def _hear(self, event, number, value=None):
        self.entries.append((event, number, value))
        if (event, number) == self.stop:
            raise Stop(self.reason)

    def started(self, run, config, record):
        self._hear("started", 0, (run, config, record))

    def step(self, number, metrics):
        self._hear("step", number, metrics)

    def scored(self, number, totals):
        self._hear("scored", number, totals)

    def validated(self, number, scores):
        self._hear("validated", number, scores)

    def saving(self, number):
        self._hear("saving", number)

    def saved(self, number):
        self._hear("saved", number)

    def ended(self, reason):
        self._hear("ended", 0, reason)

    def events(self):
        return [(event, number) for event, number, _ in self.entries]


@pytest.mark.parametrize(("apart", "expected"), [(1e9, [30]), (0.0, [4, 8, 12, 16, 20, 24, 28, 30])])
def test_checkpoints_are_apart_in_steps_and_in_seconds(tmp_path, monkeypatch, apart, expected):
    monkeypatch.setattr(engine_train, "_EVERY", 4)
    monkeypatch.setattr(engine_train, "_APART", apart)
    diary = Diary()
    train(tmp_path, checkpoint_every=None, watchers=[diary])
    assert [number for event, number, _ in diary.entries if event == "saving"] == expected


class Rude(Watcher):
    """Breaks what it is given, moves torch's generator, then fails."""

    def step(self, number, metrics):
        torch.rand(3)
        metrics.clear()
        if number == 3:
            raise ValueError("no more")


def watched(*watchers, out=None, **changes):
    config = replace(CONFIG, **changes)
    return meta_train(LEARNER, TASKS, config, out, replace(TASKS, seed=5), {"data": "needles"}, watchers=watchers)


@pytest.mark.exact
def test_all_is_heard_in_order_and_nothing_is_changed(tmp_path, capsys):
    diary = Diary()
    params = watched(Rude(), diary, out=tmp_path, steps=10)
    assert same(params, train(tmp_path / "alone", steps=10)) and lines(tmp_path) == lines(tmp_path / "alone")
    steps = [number for event, number in diary.events() if event == "step"]
    assert steps == list(range(1, 11))
    assert [e for e in diary.events() if e[0] in ("scored", "validated")] == [
        (event, number) for number in (5, 10) for event in ("scored", "validated")
    ]
    means = {number: scores["mean"] for event, number, scores in diary.entries if event == "validated"}
    totals = {number: each for event, number, each in diary.entries if event == "scored"}
    assert all(len(totals[n]) == CONFIG.validation_episodes for n in (5, 10))
    assert all(sum(totals[n]) / len(totals[n]) == pytest.approx(means[n]) for n in (5, 10))
    assert (
        [n for e, n in diary.events() if e == "saving"] == [n for e, n in diary.events() if e == "saved"] == [4, 8, 10]
    )
    assert diary.entries[0] == ("started", 0, (tmp_path, replace(CONFIG, steps=10), {"data": "needles"}))
    assert diary.entries[-1] == ("ended", 0, "finished")
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert diary.entries[1][2] == {k: v for k, v in first.items() if k != "step"}
    told = capsys.readouterr().err
    assert told.count("Rude failed after step 3 (ValueError: no more) and is left out") == 1


@pytest.mark.exact
@pytest.mark.parametrize("event, number, steps", [("step", 7, 7), ("validated", 5, 5), ("saved", 4, 4)])
def test_a_watcher_ends_training_and_the_run_goes_on_later(tmp_path, event, number, steps):
    diary = Diary(stop=(event, number))
    params = watched(diary, out=tmp_path)
    assert steps_done(tmp_path) == steps and diary.entries[-1] == ("ended", 0, "enough")
    assert same(load(tmp_path, allow=("tests",))[1], params)
    best = watched(Diary(stop=("step", steps)), steps=30)
    assert same(params, best), "without a folder the same parameters come back"
    assert same(watched(out=tmp_path), train()), "as if nobody had stopped it"


@pytest.mark.parametrize("reason", ["enough", ""])
def test_training_that_is_stopped_before_it_began_has_the_initial_parameters(tmp_path, reason):
    diary = Diary(stop=("started", 0), reason=reason)
    params = watched(diary, out=tmp_path)
    assert diary.events() == [("started", 0), ("ended", 0)] and diary.entries[-1][2] == reason
    assert same(params, {k: v.detach() for k, v in LEARNER.init(CONFIG.seed).items()})
    assert (tmp_path / "params.safetensors").exists()


def test_the_best_parameters_come_back_from_a_stop():
    diary = Diary(stop=("step", 27))
    params = watched(diary)
    scores = {number: value["mean"] for event, number, value in diary.entries if event == "validated"}
    best = max(scores, key=lambda number: scores[number])
    assert same(params, watched(Diary(stop=("validated", best))))


def test_a_training_that_fails_says_so_to_its_watchers(monkeypatch):
    monkeypatch.setattr("innerloop.engine.episode_buffer._STEPS", 1)
    diary = Diary()
    with pytest.raises(FailedError, match="not finite") as error:
        meta_train(LEARNER, Broken(6, poison=True), replace(CONFIG, validate_every=0), watchers=(diary,))
    assert diary.entries[-1] == ("ended", 0, str(error.value))
