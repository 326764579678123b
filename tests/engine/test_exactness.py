"""Plans are held to the loop's meta-gradient, whoever chose them."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from innerloop.core import kept, tree
from innerloop.core.errors import InputError
from innerloop.core.gradient import transformed
from innerloop.core.learner import Learner
from innerloop.core.model import Module
from innerloop.engine import TrainConfig, choose, exactness, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.engine.updates import Descent
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from tests.problems import INPUTS, NeedlesInNoise


class Slightly(nn.Module):
    """Wrong under vmap by less than float32 can tell from rounding."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(INPUTS, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * (1 + 1e-5 if transformed() else 1)


class InFloat32(nn.Module):
    """Computes in float32, whatever it gets."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(INPUTS, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.linear(x).float()).to(x.dtype)


SLIGHTLY = MAML(model=Module(Slightly), inner_lr=0.1, inner_steps=1)
TASKS = NeedlesInNoise(dtype=torch.float32)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "_CHOSEN", {})
    monkeypatch.setattr(kept, "cache_folder", lambda root: tmp_path / "cache")
    exactness._VERIFIED.clear()


def test_auto_does_not_choose_what_is_off_by_less_than_float32_shows():
    found = choose.choose(SLIGHTLY, SLIGHTLY.init(0), TASKS.episodes(0, 8))
    assert found.plan.name in ("loop", "threads")
    assert "from the loop's in float64" in found.message


def test_a_pinned_plan_is_held_to_the_same_unless_unchecked(capsys):
    params, episodes = SLIGHTLY.init(0), TASKS.episodes(0, 4)
    for plan in ("vmap", Plan("vmap", chunk=2)):
        with pytest.raises(InputError, match=r"another meta-gradient than the loop.*unchecked"):
            meta_gradient(SLIGHTLY, params, episodes, plan)
        meta_gradient(SLIGHTLY, params, episodes, plan, unchecked=True)
    with pytest.raises(InputError, match="another meta-gradient"):
        meta_train(SLIGHTLY, TASKS, TrainConfig(steps=1, plan="vmap"))
    meta_train(SLIGHTLY, TASKS, TrainConfig(steps=1, plan="vmap", unchecked=True))


def test_a_pinned_plan_is_checked_once_for_each_shape(monkeypatch):
    learner, calls = MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=3)), []
    gap = exactness.gap
    monkeypatch.setattr(exactness, "gap", lambda *args: calls.append(1) or gap(*args))
    for shots in (2, 2, 3):
        tasks = dataclasses.replace(TASKS, shots=shots)
        for tasks_at_once in (3, 5):
            meta_gradient(learner, learner.init(0), tasks.episodes(0, tasks_at_once), "vmap")
    assert len(calls) == 2


def test_learners_that_compute_in_float32_are_judged_by_its_rounding():
    learner = MAML(model=Module(InFloat32), inner_lr=0.1)
    apart, most = exactness.gap(learner, learner.init(0), TASKS.episodes(0, 2), Plan("vmap"))
    assert apart <= most
    meta_gradient(learner, learner.init(0), TASKS.episodes(0, 2), "vmap")


@dataclasses.dataclass(frozen=True)
class Growing:
    """Tasks of 3, 4 and 5 examples in turn."""

    def episodes(self, first: int, count: int):
        return dataclasses.replace(TASKS, shots=3 + first // 4 % 3).episodes(first, count)

    def describe(self):
        return TASKS.describe()


def trained(plan: str, sampler, out=None, steps: int = 6, learner: Learner | None = None, **fields):
    learner = learner or MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=3), inner_lr=0.1)
    return meta_train(learner, sampler, TrainConfig(steps=steps, plan=plan, **fields), out=out)  # pyright: ignore


def test_shapes_may_change_between_steps_under_replay(monkeypatch):
    monkeypatch.setattr("innerloop.engine.episode_buffer._BYTES", 1)  # a step at a time
    expected = trained("loop", Growing())
    found = trained("replay", Growing())
    assert exactness.distance(found, expected) < 1e-5


def test_a_run_goes_on_with_the_plan_that_is_asked_for(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(
        "innerloop.engine.train.Descent",
        lambda **fields: ran.append(fields["plan"]) or Descent(**fields),
    )
    trained("loop", TASKS, tmp_path, steps=2)
    trained("vmap", TASKS, tmp_path, steps=4)
    trained("vmap", TASKS, tmp_path, steps=6, chunk=2)
    assert [(plan.name, plan.chunk) for plan in ran] == [("loop", 1), ("vmap", 0), ("vmap", 2)]


def test_what_was_chosen_is_kept_while_nothing_else_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("innerloop.engine.choose._BRIEF", 0.0)  # what is chosen for a few steps is for those alone
    trained("auto", TASKS, tmp_path, steps=2)
    monkeypatch.setattr("innerloop.engine.train.choose", None)
    trained("auto", TASKS, tmp_path, steps=3)


def test_gradients_in_inference_mode_are_refused():
    learner = MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=3))
    params, episodes = learner.init(0), TASKS.episodes(0, 2)
    with torch.inference_mode():
        made = learner.init(0)
        for work in (
            lambda: meta_gradient(learner, params, episodes, "loop"),
            lambda: learner.adapt(params, tree.slice(episodes.support, 0)),
            lambda: trained("loop", TASKS),
        ):
            with pytest.raises(InputError, match="inference_mode"):
                work()
    meta_gradient(learner, made, episodes, "loop")
