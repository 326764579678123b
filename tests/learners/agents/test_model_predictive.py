"""Model-predictive control: its models adapt as `learning_to_adapt` does, and control better once they have."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from innerloop.audit.check_learner import meta_gradient_check
from innerloop.core import random, tree
from innerloop.core.environment import constants
from innerloop.core.errors import InputError
from innerloop.core.interval import interval
from innerloop.core.objectives import regression
from innerloop.core.recorder import recorded
from innerloop.core.transitions import Past, nothing, transitions
from innerloop.core.types import Batch, Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.learners.agents.model_predictive import ModelPredictive
from innerloop.learners.gradient.learning_to_adapt import LearningToAdapt
from innerloop.nn.mlp import MLP
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks
from tests.agents import AgentConformance, double, tasks

SHORT: dict[str, Any] = {"horizon": 20, "half_length": (0.02, 0.1), "reversed": 0.5}
"""Poles that fall within a few steps."""


def agent(environment: CartPole, **settings: Any) -> ModelPredictive:
    """A small one."""
    small = {"window": 3, "following": 2, "taken": 12, "ahead": 3, "candidates": 5, "trajectories": 2, "explore": 0.5}
    acted = 5 if environment.continuous else 6
    return ModelPredictive(env=environment, dynamics=MLP(acted, (6,), 4), **(small | settings))


DISCRETE = agent(CartPole(**SHORT), inner_steps=2)


class TestModelPredictive(AgentConformance):
    learner = DISCRETE


class TestModelPredictiveInABoxByCrossEntropy(AgentConformance):
    learner = agent(CartPole(continuous=True, changes=5, **SHORT), planner="cem", rounds=2, learn_rates=False)


def past(learner: ModelPredictive, real: Any) -> Past:
    """Transitions drawn at random, of the size that the learner's have."""
    n, m = len(real), learner.window
    inputs, changes = (random.normal(random.mix(5, i), (n, m, d), torch.float64) for i, d in enumerate((6, 4)))
    return Past(inputs, changes, torch.tensor(real))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_its_models_are_those_of_learning_to_adapt(steps):
    learner = replace(DISCRETE, learn_rates=False, inner_lr=0.3)
    params = double(learner.init(0))
    seen = past(learner, [[True] * 3, [False, False, True], [False] * 3])
    moved = learner._moved(params, seen, torch.tensor(steps))
    other = LearningToAdapt(model=learner.dynamics, inner_lr=0.3, inner_steps=steps, objective=regression)
    scale = tree.part(params, "scale")
    for i in range(3):
        x, y = (seen.inputs[i] - scale["middle"]) / scale["input"], seen.changes[i] / scale["change"]
        expected = other.adapt(tree.part(params, "model"), Batch(x, y, seen.real[i]))
        assert all(torch.allclose(moved[k][i], v, rtol=1e-12, atol=1e-12) for k, v in expected.items())
    start = tree.part(params, "model")
    assert all(torch.equal(moved[k][2], v) for k, v in start.items()), "nothing has been seen yet"
    assert steps == 0 or not torch.equal(moved["1.weight"][0], start["1.weight"])


def test_its_loss_is_that_of_learning_to_adapt_on_its_windows():
    learner = replace(DISCRETE, learn_rates=False)
    params, episode = double(learner.init(0)), tree.slice(tasks(learner.env, 1), 0)
    loss, metrics = learner.loss(params, episode)
    key = random.fold(episode.query.key, 11)
    seen = learner._taken(params, constants(episode.support), key)
    scale = tree.part(params, "scale")
    x, y = (seen.inputs - scale["middle"]) / scale["input"], seen.changes / scale["change"]
    short = (random.uniform(random.fold(key, 14), (2 * 4,)) * 3).long()
    other = LearningToAdapt(model=learner.dynamics, inner_lr=0.05, inner_steps=2, objective=regression)
    start, after, before = tree.part(params, "model"), [], []
    for row in range(2):
        for number, first in enumerate(range(0, 12 - 5 + 1, 2)):
            window, rest = slice(first, first + 3), slice(first + 3, first + 5)
            real = torch.arange(3) >= short[4 * row + number]
            weights = other.adapt(start, Batch(x[row, window], y[row, window], real))
            for result, model in ((after, weights), (before, start)):
                result.append(regression(learner.dynamics.apply(model, x[row, rest]), y[row, rest]))
    assert len(after) == 8 and short.unique().numel() > 1
    torch.testing.assert_close(loss, torch.stack(after).mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(metrics["unadapted"], torch.stack(before).mean(), rtol=1e-12, atol=0)


def test_transitions_are_those_of_the_environment_and_begin_anew():
    environment = CartPole(**SHORT)
    task = environment.draw(random.mix(0, 3))

    def right(past, seen, step):
        return torch.ones(3, dtype=torch.int64), torch.cat([seen, seen.new_full((3, 1), step)], 1)

    run = transitions(environment, task, right, nothing(3, 2, 5, 4, torch.zeros(())), 30, random.mix(0, 9))
    seen, ends = run.inputs[..., :4], run.ends
    assert run.inputs[0, :, 4].tolist() == list(range(30)) and 1 < int(ends[0].sum()) < 15
    assert torch.equal(environment.falls(seen + run.changes), ends)
    later, goes_on = seen[:, 1:], ~ends[:, :-1]
    torch.testing.assert_close((seen + run.changes)[:, :-1][goes_on], later[goes_on])
    assert float(later[~goes_on].abs().max()) <= 0.05 < float(later[goes_on].abs().max()), "as episodes start"


def test_the_past_holds_the_last_ones_in_the_order_of_time():
    memory = nothing(2, 2, 1, 1, torch.zeros(()))
    for step in (1.0, 2.0, 3.0):
        row = torch.full((2, 1), step)
        memory = memory.with_one(row, -row, torch.tensor([True, step != 2]))
    assert memory.inputs[..., 0].tolist() == [[2, 3], [1, 3]] and memory.changes[..., 0].tolist() == [
        [-2, -3],
        [-1, -3],
    ]
    assert memory.real.all() and not nothing(1, 2, 1, 1, torch.zeros(())).real.any()


def test_scales_are_of_random_actions_and_stand_still_in_training():
    params = DISCRETE.init(0)
    assert params["scale.change"].shape == (4,) and bool((params["scale.input"] > 0).all())
    config = TrainConfig(steps=2, meta_batch_size=2, meta_lr=0.1, plan="vmap")
    trained = meta_train(DISCRETE, EnvironmentTasks(environment=DISCRETE.env), config)
    for name, value in params.items():
        assert torch.equal(trained[name], value) is name.startswith("scale."), name


def test_the_audit_proves_its_gradient_with_what_it_did_held():
    check = meta_gradient_check(
        DISCRETE, DISCRETE.init(0), EnvironmentTasks(environment=DISCRETE.env).episodes(0, 1), 0
    )
    said = check.explanation
    assert check.passed and "held, as policy gradients have it" in said and "derivative" not in said


@dataclass(frozen=True, kw_only=True)
class Blind(CartPole):
    """Nothing is said of plans."""

    outlook = None  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize(
    ("environment", "settings", "said"),
    [
        (Blind(), {}, "Blind does not say what a plan earns there.*try --env cart-pole"),
        (Navigation(), {}, "Navigation does not say what a plan earns there"),
        (CartPole(), {"taken": 15}, "taken=15 steps have no window of 8 with 8 that follow: take at least 16"),
        (CartPole(), {"candidates": 0}, "candidates must be"),
        (CartPole(), {"explore": 1.5}, "explore must"),
    ],
)
def test_what_cannot_be_planned_is_refused(environment, settings, said):
    with pytest.raises(InputError, match=said):
        ModelPredictive(env=environment, dynamics=MLP(6, (6,), 4), **settings)


@pytest.mark.parametrize(
    ("outlook", "said"),
    [
        (
            lambda self, seen, action, following: (following, following > 1),
            r"Odd.outlook gives \(2, 3, 4\) torch.float32",
        ),
        (lambda self, seen, action, following: (following[..., 0], following[..., 0]), r"has to give .* torch.bool"),
        (lambda self, seen, action, following: following[..., 0], r"gives \(2, 3\) torch.float32 for"),
        (lambda self, seen, action, following: None, "gives NoneType for"),
    ],
)
def test_an_outlook_of_other_shapes_is_refused_before_training(outlook, said):
    odd = type("Odd", (CartPole,), {"outlook": outlook})
    with pytest.raises(InputError, match=said):
        ModelPredictive(env=odd(), dynamics=MLP(6, (6,), 4)).init(0)


def test_plans_are_drawn_anew_at_every_step_whoever_has_fallen(monkeypatch):
    keys, planned = [], ModelPredictive._planned

    def noted(self, params, past, seen, key, count):
        keys.append(int(key))
        return planned(self, params, past, seen, key, count)

    monkeypatch.setattr(ModelPredictive, "_planned", noted)
    recorder = recorded(CartPole(**SHORT))
    learner = replace(agent(CartPole(**SHORT)), env=recorder)  # pyright: ignore[reportArgumentType]
    params, lasted = learner.init(0), []
    for index in range(5):
        episode = tree.slice(EnvironmentTasks(environment=learner.env).episodes(index, 1), 0)
        keys.clear()
        learner.predict(params, learner.adapt(params, episode.support), episode.query.x)
        lasted.append(recorder.trajectories().lengths)
        assert len(set(keys)) == min(20, max(lasted[-1]) + 1)
    assert any(first < other for first, other in lasted)


def returns(learner: Any, params: Params, sampler: EnvironmentTasks, steps: int) -> Any:
    """[20] of unseen tasks, all at once."""
    episodes, tested = sampler.episodes(0, 20), replace(learner, inner_steps=steps)
    one = lambda e: tested.predict(params, tested.adapt(params, e.support), e.query.x)  # noqa: E731
    with torch.no_grad():
        return torch.vmap(one, in_dims=(tree.axes(episodes),))(episodes).flatten()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [None, 40])
def test_where_forces_may_be_reversed_it_controls_once_it_has_adapted_and_no_policy_of_all_tasks_does(changes):
    environment = CartPole(reversed=0.5, changes=changes, horizon=80)
    train, unseen = (EnvironmentTasks(environment=environment, seed=seed) for seed in (0, 1))
    learner = ModelPredictive(env=environment, dynamics=MLP(6, (64, 64), 4), explore=1.0, trajectories=2)
    config = TrainConfig(steps=120, meta_batch_size=12, meta_lr=4e-3, schedule="cosine", plan="vmap")
    params = meta_train(learner, train, config)
    before, after = (returns(learner, params, unseen, steps) for steps in (0, 1))
    gain = interval(after - before)
    assert gain.mean > 2 * gain.ci95 and float(after.mean()) > 50
    policy = MAMLRL(env=environment, model=MLP(4, (32, 32), 2, "tanh"), inner_steps=0, trajectories=4)
    config = TrainConfig(steps=60, meta_batch_size=16, meta_lr=1e-2, plan="vmap")
    everywhere = interval(after - returns(policy, meta_train(policy, train, config), unseen, 0))
    assert everywhere.mean > 2 * everywhere.ci95
