"""Anyone's environment of Gymnasium, as tasks."""

from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.config import decode, encode
from innerloop.core.environment import Box, Discrete, check_environment, constants
from innerloop.core.errors import FailedError, InputError
from innerloop.tasks.outside.gymnasium_tasks import GymnasiumTasks

pytest.importorskip("gymnasium")
from tests.tasks.outside import windy
from tests.tasks.outside.windy import Windy, drawn

ROWS, STEPS = 3, 8


def tasks(make: Any = Windy, **options: Any) -> GymnasiumTasks:
    return GymnasiumTasks(make=make, draw=drawn, **({"horizon": STEPS} | options))


def walk(sampler: GymnasiumTasks, task: dict[str, torch.Tensor], key: torch.Tensor, actions: torch.Tensor) -> Any:
    """Observations, rewards and done [steps, rows] of the same actions [steps] in every row."""
    environment = sampler.environment
    state, rows = environment.start(task, ROWS, key), []
    for t in range(STEPS):
        seen = environment.observe(task, state)
        action = actions[t].expand(ROWS, *actions[t].shape)
        state, reward, done = environment.step(task, state, action, random.fold(key, t))
        rows.append((seen, reward, done))
    return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))


def numbers(sampler: GymnasiumTasks, count: int) -> torch.Tensor:
    """[count] the numbers of tasks."""
    support: Any = sampler.episodes(0, count).support
    return torch.stack([constants(tree.slice(support, i))["number"] for i in range(count)])


def by_hand(task: int, seed: int, actions: torch.Tensor) -> Any:
    """One episode with Gymnasium alone."""
    env = Windy(**drawn(np.random.default_rng(task)))
    seen, rows = env.reset(seed=seed)[0], []
    for action in actions.clamp(-1, 1):
        following, reward, done, _, _ = env.step(action.numpy())
        rows.append((seen, reward, done))
        seen = following
        if done:
            break
    return rows


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_episodes_are_those_of_gymnasium_alone(workers):
    sampler = tasks(workers=workers)
    actions, key, drawn_tasks = torch.linspace(0.4, 1.4, STEPS)[:, None], random.mix(2, 0), numbers(sampler, 4)
    seen, rewards, done = torch.vmap(lambda n: walk(sampler, {"number": n, "unit": torch.ones(())}, key, actions))(
        drawn_tasks
    )
    lengths = []
    for i, task in enumerate(drawn_tasks.tolist()):
        for row, seed in enumerate(random.bits(key, (ROWS,)).tolist()):
            hand = by_hand(task, seed, actions)
            lengths.append(len(hand))
            for t, (observation, reward, end) in enumerate(hand):
                np.testing.assert_array_equal(seen[i, t, row].numpy(), observation)
                assert rewards[i, t, row].item() == np.float32(reward) and done[i, t, row].item() == end
            assert done[i, len(hand) :, row].all() and not rewards[i, len(hand) :, row].any()
    assert min(lengths) < STEPS
    sampler.environment.close()


def test_the_environment_keeps_the_contract_and_all_tasks_at_once_are_the_tasks_one_by_one():
    sampler = tasks()
    check_environment(sampler.environment)
    actions, key, drawn_tasks = torch.zeros(STEPS, 1), random.mix(2, 0), numbers(sampler, 3)
    stacked = torch.vmap(lambda n: walk(sampler, {"number": n, "unit": torch.ones(())}, key, actions))(drawn_tasks)
    for i in range(3):
        alone = walk(sampler, {"number": drawn_tasks[i], "unit": torch.ones(())}, key, actions)
        assert all(torch.equal(a[i], b) for a, b in zip(stacked, alone, strict=True))
    assert len(set(stacked[0][:, 1, 0, 0].tolist())) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_seen_and_earned_has_the_type_of_the_constants(dtype):
    environment = tasks().environment
    task = {k: v.to(dtype) if v.is_floating_point() else v for k, v in environment.draw(random.mix(2, 0)).items()}
    state = environment.start(task, 2, random.mix(2, 1))
    _, reward, _ = environment.step(task, state, torch.zeros(2, 1, dtype=dtype), random.mix(2, 2))
    assert environment.observe(task, state).dtype == reward.dtype == dtype


def test_a_gradient_passes_by_steps_outside():
    sampler = tasks()
    key, number = random.mix(2, 0), numbers(sampler, 2)

    def loss(weight: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        _, rewards, _ = walk(
            sampler, {"number": n, "unit": torch.ones(())}, key, (weight * torch.ones(STEPS, 1)).detach()
        )
        return weight * rewards.sum()

    weight = torch.tensor(0.1)
    slopes = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, number)
    torch.testing.assert_close(slopes, torch.stack([loss(weight, n) / weight for n in number]))


def test_discrete_actions_and_observations():
    environment = tasks(windy.Forked).environment
    assert environment.observations == 3 and environment.actions == Discrete(3)
    task, key = environment.draw(random.mix(0, 0)), random.mix(0, 1)
    state = environment.start(task, 3, key)
    state, _, _ = environment.step(task, state, torch.tensor([0, 1, 2]), key)
    assert environment.observe(task, state).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_numbers_of_an_action_with_bounds_of_their_own_are_from_minus_one_to_one():
    environment = tasks(windy.Uneven).environment
    assert environment.actions == Box(2, -1.0, 1.0)
    task, key = environment.draw(random.mix(0, 0)), random.mix(0, 1)
    for action, given in (([-1.0, -1.0], [-1, 0]), ([0.5, 0.5], [0.5, 3]), ([9.0, 9.0], [1, 4])):
        environment.step(task, environment.start(task, 1, key), torch.tensor([action]), key)
        np.testing.assert_allclose(windy.Uneven.last, given)


def test_the_horizon_is_the_registered_one():
    gymnasium = pytest.importorskip("gymnasium")

    def make(gravity: float) -> Any:
        return gymnasium.make("Pendulum-v1", g=gravity)

    sampler = GymnasiumTasks(make=make, draw=lambda rng: {"gravity": rng.uniform(5, 15)})
    assert sampler.environment.horizon == 200 and sampler.environment.actions == Box(1, -2.0, 2.0)
    with pytest.raises(InputError, match="give horizon="):
        tasks(horizon=None)


@pytest.mark.parametrize("make", [windy.Unseeded, windy.Remembering])
def test_an_environment_that_does_not_repeat_itself_is_refused(make):
    with pytest.raises(InputError, match=f"{make.__name__} does not repeat itself: after reset"):
        tasks(make)


def test_an_environment_without_seeds_is_refused():
    with pytest.raises(InputError, match=r"Seedless\.reset takes no seed"):
        tasks(windy.Seedless)


def test_actions_that_no_policy_has_are_refused():
    with pytest.raises(InputError, match="Manifold takes actions MultiDiscrete"):
        tasks(windy.Manifold)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_reward_that_is_no_number_names_task_and_step(workers):
    sampler = tasks(windy.Broken, workers=workers)
    number = numbers(sampler, 1)[0]
    with pytest.raises(FailedError, match=rf"reward is nan at step 3 of the task {number.item()} \(wind=.*Broken"):
        walk(sampler, {"number": number, "unit": torch.ones(())}, random.mix(0, 0), torch.zeros(STEPS, 1))
    sampler.environment.close()


def test_an_episode_that_is_done_at_once_has_one_reward():
    sampler = tasks(windy.Over)
    _, rewards, done = walk(
        sampler, {"number": numbers(sampler, 1)[0], "unit": torch.ones(())}, random.mix(0, 0), torch.zeros(STEPS, 1)
    )
    assert done.all() and (rewards.sum(0) == 1).all()


def test_tasks_must_have_the_same_spaces():
    def make(wind: float) -> Any:
        return Windy(wind) if wind > 0 else windy.Forked(wind)

    sampler = tasks(make)
    drawn_tasks = numbers(sampler, 8)
    walk_all = torch.vmap(
        lambda n: walk(sampler, {"number": n, "unit": torch.ones(())}, random.mix(0, 0), torch.zeros(STEPS, 1))
    )
    with pytest.raises(InputError, match="tasks differ in what is seen or done"):
        walk_all(drawn_tasks)


def test_a_file_names_the_environment_of_somebody_who_is_trusted():
    environment = tasks(Windy).environment
    kept = encode(environment)
    assert decode(kept, allow=("tests",)) == environment
    with pytest.raises(InputError, match="outside of innerloop"):
        decode(kept)
    with pytest.raises(InputError, match="cannot be found again by its name"):
        encode(tasks(lambda wind: Windy(wind)).environment)


def test_without_gymnasium_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[rl\]'"):
        tasks()


def test_environments_of_old_tasks_are_closed():
    closed = []

    class Closing(Windy):
        def close(self) -> None:
            closed.append(self.wind)

    from innerloop.tasks.outside import hosts

    host = hosts.Here(Closing, drawn, 1)
    for task in range(hosts.KEPT + 5):
        host.start([task], [task], [0])
        host.step([task], np.zeros((1, 1), np.float32))
    assert len(closed) == 5
    host.close()
    assert len(closed) == hosts.KEPT + 5
