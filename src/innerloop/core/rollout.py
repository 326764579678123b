"""Rollouts without a graph, and what is made of their rewards: returns, a baseline, advantages.

A rollout has [n, T, ...] tensors: n trajectories of one task, and T steps of one episode or of several one after
another, which is a trial. An episode has `horizon` places; those after its end are there, and count for nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.environment import Environment, Task
from innerloop.core.linalg import ridge
from innerloop.core.stopped import stop

_START, _STEP, _NOISE = 1, 2, 3
_TIES = 1e-8
"""Added to the variance of advantages that are all alike."""


class Seen(NamedTuple):
    """What an agent is told before it acts: what it sees now, and what became of its last step, zeros at first."""

    observation: Tensor  # [n, d]
    action: Tensor  # [n] int64 or [n, k], as it was drawn
    reward: Tensor  # [n]
    done: Tensor  # [n] bool, whether that step ended an episode


class Left(NamedTuple):
    """What a rollout leaves to the next one."""

    memory: Any  # the policy's: a tree of tensors [n, ...], or None
    seen: Seen  # what is to be told of its last step


class Rollout(NamedTuple):
    """Steps of n trajectories of one task."""

    observations: Tensor  # [n, T, d]
    actions: Tensor  # [n, T] int64 or [n, T, k], as they were drawn
    outputs: Tensor  # [n, T, o] of the policy at the time
    rewards: Tensor  # [n, T], 0 where a step does not count
    live: Tensor  # [n, T] bool, which steps count
    ends: Tensor  # [n, T] bool, which steps are the last of an episode

    @property
    def returns(self) -> Tensor:
        """[n] sums of the rewards of a trajectory."""
        return self.rewards.sum(-1)


Act = Callable[[Any, Seen], tuple[Any, Tensor]]
"""`(memory, seen) -> (memory, outputs [n, o])`: the policy, whose first outputs are those of `Actions`; others, such as
a value, are kept with the rollout. A memory is a tree of tensors [n, ...], or None."""


def rollout(
    environment: Environment[Any],
    task: Task,
    actions: Actions,
    act: Act,
    n: int,
    key: Tensor,
    memory: Any = None,
    episodes: int = 1,
    seen: Seen | None = None,
) -> tuple[Rollout, Left]:
    """Let `n` trajectories run, without a graph: whatever `act` reads of parameters must have been stopped.

    The noise of step t is of `fold(key, t)`, so that a rollout is the same in every plan.

    Args:
        environment: What the agent acts in.
        task: Its constants.
        actions: How they are drawn.
        act: The policy.
        n: How many.
        key: [] int64.
        memory: The policy's before the first step.
        episodes: How many one after another, on the same task; the memory lives on, the state begins anew.
        seen: What the rollout before left, where the trial goes on with this one; None: it begins.

    Returns:
        The rollout, and what it leaves.
    """
    horizon, rows = environment.horizon, []
    steps = torch.arange(episodes * horizon, device=key.device)
    keys = random.fold(random.fold(key, _STEP), steps)
    noise: Tensor | None = None
    state, live = None, None
    for t in range(episodes * horizon):
        if t % horizon == 0:
            state = environment.start(task, n, random.fold(random.fold(key, _START), t // horizon))
        assert state is not None
        observation = environment.observe(task, state)
        if noise is None:
            noise = actions.noise(random.fold(random.fold(key, _NOISE), steps), n, observation.dtype)
        if seen is None:
            zero = torch.zeros_like(observation[:, 0])
            seen = Seen(observation, actions.blank(noise[0]), zero, torch.zeros_like(zero, dtype=torch.bool))
        if live is None or t % horizon == 0:
            live = torch.ones_like(seen.done)
        following, outputs = act(memory, seen._replace(observation=observation))
        drawn = actions.draw(outputs[..., : actions.outputs], noise[t])
        after, reward, done = environment.step(task, state, actions.taken(drawn), keys[t])
        reward = torch.where(live, reward, 0.0)
        last = done if t % horizon < horizon - 1 else torch.ones_like(done)
        rows.append((observation, drawn, outputs, reward, live, live & last))
        # What is done stays as it is: an environment need not have a meaning behind its end.
        state, memory = tree.where(live, after, state), tree.where(live, following, memory)
        seen = tree.where(live, Seen(observation, drawn, reward, last), seen)
        live = live & ~done
    stacked = (torch.stack(parts, 1) for parts in zip(*rows, strict=True))
    assert seen is not None
    return Rollout(*stop(tuple(stacked))), stop(Left(memory, seen))


def discounted(rewards: Tensor, live: Tensor, ends: Tensor, discount: float, across: bool = False) -> Tensor:
    """[n, T] sums of what follows, each step's weighing `discount` times the last one's.

    Args:
        rewards: [n, T], or anything that is summed so, such as errors of a baseline.
        live: As of `Rollout`; places that do not count are passed over.
        ends: As of `Rollout`.
        discount: From 0 to 1.
        across: Whether a sum goes on into the next episode of a trial.
    """
    later, sums = torch.zeros_like(rewards[:, 0]), []
    goes_on = torch.ones_like(ends) if across else ~ends
    for reward, counts, on in zip(*(v.flip(1).unbind(1) for v in (rewards, live, goes_on)), strict=True):
        later = torch.where(counts, reward + discount * torch.where(on, later, 0.0), later)
        sums.append(torch.where(counts, later, 0.0))
    return torch.stack(sums[::-1], 1)


def linear_baseline(observations: Tensor, returns: Tensor, live: Tensor, decay: float = 1e-5) -> Tensor:
    """[n, T] what returns are expected to be, by least squares on the observation, its square, and powers of the time.

    The features of Duan et al., ICML 2016, https://arxiv.org/abs/1604.06778, without those for long episodes.

    Args:
        observations: [n, T, d].
        returns: [n, T], of the steps that count.
        live: [n, T] bool.
        decay: Of ridge regression.
    """
    n, steps, _ = observations.shape
    seen = observations.clamp(-10, 10)
    time = torch.arange(steps, dtype=seen.dtype, device=seen.device) / steps
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], -1).expand(n, steps, 4)
    features = torch.cat([seen, seen.square(), powers], -1) * live[..., None]
    weights = ridge(features.flatten(0, 1), (returns * live).reshape(-1, 1), decay)
    return (features @ weights)[..., 0]


def advantages(run: Rollout, values: Tensor, discount: float, trace: float, across: bool = False) -> Tensor:
    """[n, T] how much better than expected it went on from a step, by the generalised estimator.

    Schulman et al., ICLR 2016, https://arxiv.org/abs/1506.02438. An episode that ends is worth 0 from then on, also
    where it ends because its steps are used up.

    Args:
        run: The steps.
        values: [n, T] what was expected: of a baseline, or a network's, without a graph.
        discount: Of rewards.
        trace: The estimator's lambda: 0 looks one step ahead, 1 to the end.
        across: As of `discounted`.
    """
    live, ends = run.live, run.ends
    following, later = [], torch.zeros_like(values[:, 0])
    for value, counts in zip(values.flip(1).unbind(1), live.flip(1).unbind(1), strict=True):
        following.append(later)
        later = torch.where(counts, value, later)
    after = torch.stack(following[::-1], 1)
    errors = run.rewards + discount * (after if across else torch.where(ends, 0.0, after)) - values
    return discounted(torch.where(live, errors, 0.0), live, ends, discount * trace, across)


def normalised(values: Tensor, live: Tensor) -> Tensor:
    """`values` [n, T] less their mean and by their deviation, over the steps that count; 0 elsewhere."""
    mean = mean_live(values, live)
    variance = mean_live((values - mean).square(), live)
    return torch.where(live, (values - mean) * torch.rsqrt(variance + _TIES), 0.0)


def mean_live(values: Tensor, live: Tensor) -> Tensor:
    """[] mean over the steps that count."""
    return torch.where(live, values, 0.0).sum() / live.sum().clamp(min=1)
