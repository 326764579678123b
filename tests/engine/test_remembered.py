"""The same command on the same machine takes the same plan, at once."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from innerloop.core import kept
from innerloop.core.context import cache_folder
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, choose, meta_train, remembered
from innerloop.engine.checkpoint import read_state
from innerloop.engine.choose import Length
from innerloop.engine.plan import Plan
from innerloop.engine.trial import Trial
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

LEARNER = MAML(model=MLP(hidden=(8,)), inner_lr=0.01, objective=regression)
TASKS = Sinusoid().episodes(0, 4)


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """The folder of choices of a cache that is this test's alone."""
    monkeypatch.setattr(kept, "cache_folder", cache_folder)
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plans"


@pytest.fixture
def fastest(monkeypatch):
    """Says which plan is the fastest from now on; how often one was chosen is its length."""
    timed: list[str] = []

    def say(name: str) -> list[str]:
        def race(self, plans, most):
            if not self.seconds:  # the first race of a choice
                timed.append(name)
                self.seconds.update(dict.fromkeys(plans, 2.0))
            self.seconds.update({plan: 1.0 for plan in self.seconds if plan.name == name})

        monkeypatch.setattr(Trial, "race", race)
        monkeypatch.setattr(Trial, "_right", lambda self, plan: True)
        return timed

    return say


def chosen(monkeypatch, learner: MAML = LEARNER, tasks=TASKS, **options) -> choose.Choice:
    """What a new process would choose."""
    monkeypatch.setattr(choose, "_CHOSEN", {})
    return choose.choose(learner, learner.init(0), tasks, **options)


def test_what_was_chosen_once_is_taken_again_until_it_is_timed_again(monkeypatch, cache, fastest):
    fastest("loop")
    first = chosen(monkeypatch)
    assert first.plan.name == "loop" and "plans timed on" in first.message
    timed = fastest("vmap")
    again = chosen(monkeypatch)
    assert again.plan == first.plan and "remembered" in again.message and timed == ["loop"]
    assert chosen(monkeypatch, retime=True).plan.name == "vmap"
    assert chosen(monkeypatch).plan.name == "vmap"
    assert len(list(cache.iterdir())) == 1


def test_whatever_a_choice_depends_on_has_one_of_its_own(monkeypatch, cache, fastest):
    timed = fastest("loop")
    chosen(monkeypatch)
    chosen(monkeypatch, length=Length(steps=1000))
    chosen(monkeypatch, length=Length(steps=1001))  # as long as the one before, roughly
    chosen(monkeypatch, length=Length(steps=1000, cpu_seconds=60))
    chosen(monkeypatch, tasks=Sinusoid(shots=7).episodes(0, 4))
    chosen(monkeypatch, tasks=Sinusoid().episodes(0, 5))
    chosen(monkeypatch, learner=dataclasses.replace(LEARNER, inner_steps=3))
    chosen(monkeypatch, chunk=1)
    for part in ("processor", "torch", "cores", "innerloop"):
        machine = remembered.machine() | {part: "another"}
        with monkeypatch.context() as patch:
            patch.setattr(remembered, "machine", lambda machine=machine: machine)
            chosen(monkeypatch)
    assert len(timed) == len(list(cache.iterdir())) == 11


def test_a_damaged_choice_is_passed_over_with_one_line(monkeypatch, cache, fastest):
    timed = fastest("loop")
    chosen(monkeypatch)
    (file,) = cache.iterdir()
    content = json.loads(file.read_text())
    no_plan = content | {"value": content["value"] | {"plan": {"name": "fast"}}}
    for damage in ("", "{}", "[1]", json.dumps(no_plan), json.dumps(content | {"key": 0})):
        file.write_text(damage)
        with pytest.warns(UserWarning, match="damaged, and passed over"):
            chosen(monkeypatch)
        assert json.loads(file.read_text()) == content, "it was mended"
    assert len(timed) == 6


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch, cache, fastest, recwarn):
    fastest("loop")
    cache.parent.write_text("a file")
    assert chosen(monkeypatch).plan == chosen(monkeypatch).plan == Plan("loop")
    assert not recwarn.list


def test_a_network_without_a_name_is_not_remembered(monkeypatch, cache, fastest):
    timed = fastest("loop")
    nameless = MAML(model=Module(lambda: torch.nn.Linear(1, 1)), inner_lr=0.01, objective=regression)
    for _ in range(2):
        chosen(monkeypatch, learner=nameless)
    assert len(timed) == 2 and not cache.exists()


def test_a_plan_that_there_is_no_room_for_now_is_chosen_anew(monkeypatch, cache, fastest):
    timed = fastest("vmap")
    plan = chosen(monkeypatch)
    monkeypatch.setattr(choose, "free_memory", lambda device: 2 * 3 * plan.each)
    assert chosen(monkeypatch).plan.chunk == 3 < plan.plan.chunk
    assert len(timed) == 2


def test_two_runs_of_one_command_are_equal_and_a_resumed_one_keeps_its_plan(monkeypatch, cache, fastest, tmp_path):
    def trained(name: str, steps: int = 8, **options):
        monkeypatch.setattr(choose, "_CHOSEN", {})
        monkeypatch.setattr(choose, "_BRIEF", 0.0)
        meta_train(LEARNER, Sinusoid(), TrainConfig(steps=steps, **options), out=tmp_path / name)
        state = read_state(tmp_path / name)
        assert state is not None
        return state

    fastest("loop")
    first = trained("first")
    fastest("vmap")
    second = trained("second")
    assert second["plan"] == first["plan"]
    assert all(torch.equal(v, second["params"][k]) for k, v in first["params"].items())
    assert trained("first", steps=12, retime=True)["plan"] == first["plan"], "a run that goes on is no new one"
    assert trained("third", retime=True)["plan"]["name"] == "vmap"


def test_the_cache_folder_may_be_named(monkeypatch, cache, fastest, tmp_path):
    fastest("loop")
    chosen(monkeypatch, cache=tmp_path / "other")
    assert (tmp_path / "other" / "plans").is_dir() and not cache.exists()


def test_only_auto_can_be_timed_again():
    with pytest.raises(InputError, match="plan='loop' is asked for"):
        TrainConfig(plan="loop", retime=True)
