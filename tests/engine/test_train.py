import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from innerloop.core.errors import FailedError, InputError
from innerloop.core.model import Module
from innerloop.core.types import Episode
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.engine.checkpoint import steps_done
from innerloop.learners.gradient.maml import MAML
from tests.problems import NeedlesInNoise, classifier, inputs

TASKS = NeedlesInNoise(dtype=torch.float32)
LEARNER = MAML(model=Module(classifier))
CONFIG = TrainConfig(
    steps=30,
    meta_batch_size=2,
    meta_lr=1e-2,
    schedule="cosine",
    clip=1.0,
    validate_every=5,
    validation_episodes=5,
    checkpoint_every=4,
    plan="loop",
)


def train(out=None, config=CONFIG, learner=LEARNER, watchers=(), **changes):
    validation = replace(TASKS, seed=5)
    return meta_train(learner, TASKS, replace(config, **changes), out, validation=validation, watchers=watchers)


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def lines(run: Path) -> list[dict]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry.items() if k not in ("tasks_per_second", "cpu_seconds")} for entry in found]


@pytest.mark.exact
def test_a_run_folder_holds_what_rebuilds_everything(tmp_path):
    params = train(tmp_path / "run")
    learner, loaded = load(tmp_path / "run", allow=("tests",))
    assert learner == LEARNER and same(loaded, params)
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "metrics.jsonl", "params.safetensors", "state.pt"]
    assert len(lines(tmp_path / "run")) == 30 + 6
    assert same(train(), params), "a folder changes nothing"
    assert same(train(tmp_path / "run"), params), "a finished run is returned as it is"


def test_the_best_validation_is_kept_and_patience_ends_a_run(tmp_path):
    params = train(tmp_path, steps=200, patience=2, schedule="constant", meta_lr=0.5)
    validations = [entry["validation"]["mean"] for entry in lines(tmp_path) if "validation" in entry]
    assert {e["validation"]["normalisation"] for e in lines(tmp_path) if "validation" in e} == {"inductive"}
    assert len(validations) < 40 and max(validations[-2:]) <= max(validations[:-2])
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["best"]["score"] == max(validations) and same(state["best"]["params"], params)


def test_schedules():
    config = TrainConfig(steps=100, meta_lr=2.0, schedule_every=30)
    rate = {
        s: [round(replace(config, schedule=s).rate(t), 6) for t in (0, 50, 99)] for s in ("constant", "linear", "step")
    }
    assert rate == {"constant": [2, 2, 2], "linear": [2, 1, 0.02], "step": [2, 1, 0.25]}
    assert replace(config, schedule="cosine").rate(50) == pytest.approx(1.0)


def test_a_budget_of_processor_time_ends_a_run_and_its_schedule(tmp_path):
    config = TrainConfig(steps=10**9, cpu_minutes=2, schedule="linear", meta_lr=1.0)
    assert [config.rate(0, spent) for spent in (0, 60, 120, 180)] == pytest.approx([1, 0.5, 0, 0], abs=1e-6)
    spent = [0.0]
    for more in (0.1, 0.5):  # seconds; the second goes on where the first stopped
        budget = spent[-1] + more
        train(tmp_path, steps=10**9, cpu_minutes=budget / 60, schedule="constant")
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        spent.append(state["cpu_seconds"])
        assert budget <= spent[-1] < budget + 10 and state["step"] == steps_done(tmp_path)
    assert spent[2] > spent[1]


def test_gradients_are_clipped():
    small = meta_train(LEARNER, TASKS, TrainConfig(steps=1, optimizer="sgd", meta_lr=1.0, clip=1e-3, plan="loop"))
    start = LEARNER.init(0)
    squares = torch.stack([(small[k] - start[k]).square().sum() for k in start])
    assert squares.sum().sqrt() == pytest.approx(1e-3, rel=1e-4)


def test_gradient_accumulation_over_chunks_is_the_whole_batch():
    whole = meta_train(LEARNER, TASKS, TrainConfig(steps=3, meta_batch_size=6, optimizer="sgd", plan="vmap", chunk=6))
    chunks = meta_train(LEARNER, TASKS, TrainConfig(steps=3, meta_batch_size=6, optimizer="sgd", plan="vmap", chunk=4))
    assert all(torch.allclose(whole[k], chunks[k], atol=1e-6) for k in whole)


class Broken:
    """Raises at one step, as a crash would, or poisons it."""

    def __init__(self, at: int, poison: bool = False):
        self.at, self.poison = at, poison

    def episodes(self, first: int, count: int) -> Episode:
        episodes = TASKS.episodes(first, count)
        if first < self.at * count:
            return episodes
        if not self.poison:
            raise KeyError("crash")
        return episodes._replace(support=episodes.support._replace(x=inputs(episodes.support) * float("nan")))

    def describe(self) -> dict[str, object]:
        return {"score": "mse"}


@pytest.fixture
def step_by_step(monkeypatch):
    """Episodes are drawn when their step comes, so that a sampler fails there."""
    monkeypatch.setattr("innerloop.engine.episode_buffer._STEPS", 1)


@pytest.mark.parametrize("at", [1, 4, 17])
@pytest.mark.exact
def test_resumed_equals_unbroken(tmp_path, at, step_by_step):
    expected = train(tmp_path / "unbroken")
    with pytest.raises(KeyError):
        meta_train(LEARNER, Broken(at), CONFIG, tmp_path / "run", validation=replace(TASKS, seed=5))
    assert same(train(tmp_path / "run"), expected)
    assert lines(tmp_path / "run") == lines(tmp_path / "unbroken")


def test_not_finite_stops_with_step_learner_and_causes(tmp_path, step_by_step):
    with pytest.raises(FailedError, match=r"MAML: .* step 6 .*inner_lr") as error:
        meta_train(LEARNER, Broken(6, poison=True), replace(CONFIG, validate_every=0), tmp_path)
    assert error.value.code == 1
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4, "the last good checkpoint stays"
    assert all(v.isfinite().all() for v in load(tmp_path, allow=("tests",))[1].values())


def test_another_run_in_the_folder_is_not_overwritten(tmp_path):
    train(tmp_path)
    before = (tmp_path / "params.safetensors").read_bytes()
    others: tuple[dict[str, Any], ...] = (
        {"meta_lr": 5e-2},
        {"learner": replace(LEARNER, inner_lr=0.1)},
        {"steps": 60},
    )
    for change in others:
        with pytest.raises(InputError, match="holds another run"):
            train(tmp_path, **change)
    assert (tmp_path / "params.safetensors").read_bytes() == before


def test_an_option_that_a_run_had_no_word_for_was_off(tmp_path):
    def go(**task: Any) -> None:
        meta_train(LEARNER, TASKS, TrainConfig(steps=2), tmp_path, record={"task": {"data": "digits"} | task})

    go()
    go(distort=False, relative_noise=0.0, units=None)
    with pytest.raises(InputError, match=r"its record\.task\.flip is None, now True is asked for"):
        go(distort=False, relative_noise=0.0, units=None, flip=True)


@pytest.mark.exact
def test_a_constant_schedule_may_be_extended(tmp_path):
    expected = train(schedule="constant", steps=40)
    train(tmp_path, schedule="constant", steps=20)
    assert same(train(tmp_path, schedule="constant", steps=40), expected)


@pytest.mark.exact
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    replaced = os.replace

    def full(source, target):
        if str(target).endswith("state.pt") and Path(target).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        train(tmp_path)
    monkeypatch.undo()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4
    assert same(train(tmp_path), train()), "and the run goes on once there is space"


def test_an_unwritable_folder_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        train(tmp_path / "file" / "run")


@pytest.mark.parametrize("field", ["steps", "meta_batch_size", "checkpoint_every", "chunk", "patience", "cpu_minutes"])
def test_impossible_numbers_are_refused(field):
    negative: dict[str, Any] = {field: -1}
    with pytest.raises(InputError, match=field):
        TrainConfig(**negative)


def test_validation_needs_a_sampler():
    with pytest.raises(InputError, match="validation sampler"):
        meta_train(LEARNER, TASKS, CONFIG)


@pytest.mark.parametrize("damage", ["version", "json", "foreign", "params", "missing"])
def test_broken_and_foreign_runs_are_refused(tmp_path, damage):
    train(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if damage == "version":
        config["version"] = 99
    if damage == "foreign":
        config["learner"]["class"] = "os:system"
    (tmp_path / "config.json").write_text("{" if damage == "json" else json.dumps(config))
    if damage == "params":
        (tmp_path / "params.safetensors").write_bytes(b"not tensors")
    if damage == "missing":
        (tmp_path / "config.json").unlink()
    with pytest.raises(InputError):
        load(tmp_path, allow=("tests",))


SCRIPT = """
import os
import sys
import threading
from innerloop.engine import Interrupted, Watcher
from tests.engine.test_train import train

run, steps, number, at, delay = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])


class Struck(Watcher):
    struck = False

    def step(self, step, metrics):
        if step >= at and not self.struck:
            self.struck = True
            threading.Timer(delay, os.kill, (os.getpid(), number)).start()


try:
    train(run, watchers=[Struck()], steps=steps, validate_every=20)
except Interrupted as stop:
    print("saved", stop.step)
    sys.exit(130)
"""


def struck(run: Path, steps: int, number: signal.Signals, at: int, delay: float) -> subprocess.Popen:
    """A process that trains and gets a signal `delay` seconds after a step: by steps, as machines differ in speed."""
    # With as many threads as here, also in MKL, which by the environment alone takes no more than there are cores.
    script = f"import torch\ntorch.set_num_threads({torch.get_num_threads()})\n{SCRIPT}"
    command = [sys.executable, "-c", script, str(run), str(steps), str(int(number)), str(at), str(delay)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_again_and_again_equals_unbroken(tmp_path):
    """A real process, `kill -9` at random moments, until it ends by itself."""
    steps, moments = 500, random.Random(0)
    begun = time.monotonic()
    expected = train(tmp_path / "unbroken", steps=steps, validate_every=20)
    step = (time.monotonic() - begun) / steps
    ends = []
    for at in (*sorted(moments.sample(range(1, 400), 5)), steps + 1):
        process = struck(tmp_path / "run", steps, signal.SIGKILL, at, step * moments.random())
        ends.append(process.wait(timeout=600))
    assert ends[-1] == 0 and ends.count(-signal.SIGKILL) >= 4, ends
    assert same(load(tmp_path / "run", allow=("tests",))[1], expected)
    assert lines(tmp_path / "run") == lines(tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_leave(tmp_path, number):
    expected = train(tmp_path / "unbroken", steps=600, validate_every=20)
    process = struck(tmp_path / "run", 600, number, 30, 0.0)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and printed.startswith("saved")
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == int(printed.split()[1])
    assert same(train(tmp_path / "run", steps=600, validate_every=20), expected)
