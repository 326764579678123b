"""RL^2: Duan et al. 2016, https://arxiv.org/abs/1611.02779, and Wang et al. 2016, https://arxiv.org/abs/1611.05763.

Adaptation is acting: a recurrent policy is told its actions and rewards, and its memory lives on from episode to
episode of a trial on one task. What it remembers is what it learned; its weights stand still.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.agent import Replayed
from innerloop.core.environment import Environment
from innerloop.core.gaussian import key_of
from innerloop.core.learner import Unrolled
from innerloop.core.model import Model
from innerloop.core.networks import OUTPUTS, Recurrent, Rows, Setting, Size, role
from innerloop.core.ranges import Count, NotNegative, Share
from innerloop.core.rollout import Left, Rollout, Seen, advantages, discounted, mean_live, rollout
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params

_TRIAL, _SCORED = 11, 17
"""Folded into a task's key: trials that are trained on, and episodes that are scored."""


_TRAIN = {"steps": 1000, "meta_batch_size": 64, "meta_lr": 2e-3, "schedule": "cosine"}


class Trial(NamedTuple):
    """Parallel trials of one task between two episodes."""

    left: Left | None  # None: before the first
    step: Tensor  # [] int64
    key: Tensor  # [] int64


class Remembering(NamedTuple):
    """What the episodes of a trial left."""

    left: Left | None
    key: Tensor  # [] int64 of what is drawn where it is scored


class Played(NamedTuple):
    """Trials that were taken, with what they are worth."""

    run: Rollout  # outputs are the policy's, the value, and what the memory was told
    advantages: Tensor  # [n, T]
    returns: Tensor  # [n, T]


@dataclass(frozen=True, kw_only=True)
class RL2(Unrolled[Remembering, Trial]):
    """Parameters: `memory.*`, `policy.*`, `value.*`. Each trial has `inner_steps` episodes, and one more that counts.

    Meta-training raises the return of whole trials, so that exploring early may pay later.
    """

    trains_on = ("environments",)
    usual_data = "bandits"
    targets = ("returns",)
    stochastic = True
    exact_gradient = False  # rollouts are held
    step_name = "episode"
    sensible = by_kind(
        bandits=Sensible(
            fields={"baseline": "trials", "discount": 1.0, "entropy": 0.02, "greedy": True},
            task={"update": "descent"},
            train={"steps": 4000, "meta_batch_size": 64, "meta_lr": 8e-3, "schedule": "cosine"},
        ),
        mazes=Sensible(fields={"inner_steps": 2}, task={"update": "descent"}, train=_TRAIN),
        agents=Sensible(task={"update": "descent"}, train=_TRAIN),
    )

    env: Environment[Any]
    """What it acts in."""
    memory: Model = field(metadata=role(Recurrent(Setting("units"))))
    """`{"x": what is told, "h": the memory}` -> the next memory. Told are observation, last action, reward and end."""
    policy: Model = field(metadata=role(Rows(Size("memory"), OUTPUTS)))
    """[n, units] -> outputs of the policy, as `core.actions.Actions` reads them."""
    value: Model = field(metadata=role(Rows(Size("memory"), 1)))
    """[n, units] -> [n, 1] what the rest of the trial is expected to earn."""
    units: Count = 64
    """Numbers of the memory."""
    remembers: bool = True
    """Otherwise the memory is forgotten before every step: the control, which adapts to nothing."""
    trajectories: Count = 16
    """Trials side by side."""
    inner_steps: int = 0
    """Episodes of a trial before the one that counts."""
    discount: Share = 0.99
    """Factor on rewards for every step that they are later, across the episodes of a trial."""
    trace: Share = 0.95
    """Lambda of the generalised advantage estimator, beside the value."""
    baseline: Literal["value", "trials"] = "value"
    """What returns are compared with. trials: the mean of the other trials at the same step."""
    value_weight: NotNegative = 0.25
    """Weight of the value's squared error in the loss."""
    entropy: NotNegative = 0.01
    """Weight of the entropy of actions, which is rewarded."""
    floor: NotNegative = 0.1
    """Least deviation of actions of a box, in the environment's units."""
    greedy: bool = False
    """Take the likeliest action where returns are scored, instead of drawing one."""

    def __post_init__(self) -> None:
        Actions(self.env.actions, floor=self.floor)

    @property
    def actions(self) -> Actions:
        """How they are drawn."""
        return Actions(self.env.actions, floor=self.floor)

    def init(self, seed: int) -> Params:
        parts = {"memory": self.memory, "policy": self.policy, "value": self.value}
        return tree.join(**{name: part.init(seed + i) for i, (name, part) in enumerate(parts.items())})

    def start(self, params: Params, support: Batch) -> Trial:
        return Trial(None, torch.zeros_like(key_of(support)), key_of(support))

    def advance(self, params: Params, carry: Trial, support: Batch) -> tuple[Trial, Tensor]:
        key = random.fold(random.fold(carry.key, _TRIAL), carry.step)
        run, left = self._run(params, support.x, key, 1, carry.left)
        return Trial(left, carry.step + 1, carry.key), -run.returns.mean()

    def finish(self, params: Params, carry: Trial, support: Batch) -> Remembering:
        return Remembering(carry.left, random.fold(carry.key, _SCORED))

    def predict(self, params: Params, adapted: Remembering, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[1, 1] mean return of the next episode on the task whose constants are `x`."""
        run, _ = self._run(params, x, adapted.key, 1, adapted.left, self.greedy)
        return run.returns.mean().reshape(1, 1)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """The surrogate of the trial's return, whose gradient is the policy gradient, with what is beside it."""
        played = self.collect(params, episode)
        seen = self.replay(params, episode, played)
        loss = -mean_live(seen.log_ratio.exp() * seen.advantages, seen.live) + seen.beside
        return loss, {"score": self.rewards(played)["after"].returns.mean(), "trial": played.run.returns.mean()}

    def collect(self, params: Params, episode: Episode) -> Played:
        with torch.no_grad():
            key = random.fold(key_of(episode.query), _TRIAL)
            run, _ = self._run(params, episode.support.x, key, 1 + self.inner_steps)
            returns = discounted(run.rewards, run.live, run.ends, self.discount, across=True)
            if self.baseline == "trials":
                worth = torch.where(run.live, returns - _others(returns, run.live), 0.0)
            else:
                values = run.outputs[..., self.actions.outputs]
                worth = advantages(run, values, self.discount, self.trace, across=True)
        return stop(Played(run, worth, returns))

    def replay(self, params: Params, episode: Episode, collected: Played, every: int = 1) -> Replayed:
        run, live = collected.run, collected.run.live
        outputs, values = self._again(params, run)
        old = run.outputs[..., : self.actions.outputs]
        log_ratio = self.actions.log_prob(outputs, run.actions) - self.actions.log_prob(old, run.actions)
        error = mean_live((values - collected.returns).square(), live)
        beside = self.value_weight * error - self.entropy * mean_live(self.actions.entropy(outputs), live)
        divergence = self.actions.divergence(old, outputs)
        thin = (slice(None), slice(None, None, every))
        return Replayed(log_ratio[thin], collected.advantages[thin], divergence[thin], live[thin], beside)

    def rewards(self, collected: Played) -> dict[str, Rollout]:
        horizon = self.env.horizon
        after = {"after": tree.map(lambda leaf: leaf[:, -horizon:], collected.run)}
        return (
            {"before": tree.map(lambda leaf: leaf[:, :horizon], collected.run)} | after if self.inner_steps else after
        )

    def _run(
        self,
        params: Params,
        x: Tensor | dict[str, Tensor],
        key: Tensor,
        episodes: int,
        left: Left | None = None,
        greedy: bool = False,
    ) -> tuple[Rollout, Left]:
        """So many further episodes of the trials that `left` is of."""
        assert isinstance(x, dict)
        held = stop(params)

        def act(memory: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
            told = self._told(seen)
            memory = self._next(held, memory, told)
            outputs, value = self._heads(held, memory)
            if greedy:
                outputs = self.actions.certain(self.actions.likeliest(outputs), outputs.dtype)
            return memory, torch.cat([outputs, value[..., None], told], -1)

        memory = self._blank(params) if left is None else left.memory
        seen = None if left is None else left.seen
        return rollout(self.env, tree.slice(x, 0), self.actions, act, self.trajectories, key, memory, episodes, seen)

    def _again(self, params: Params, run: Rollout) -> tuple[Tensor, Tensor]:
        """[n, T, o] outputs and [n, T] values at the same steps, now with a graph."""
        memory, rows = self._blank(params), []
        for told, live in zip(run.outputs[..., self.actions.outputs + 1 :].unbind(1), run.live.unbind(1), strict=True):
            rows.append(self._next(params, memory, told))
            memory = torch.where(live[:, None], rows[-1], memory)
        return self._heads(params, torch.stack(rows, 1))

    def _told(self, seen: Seen) -> Tensor:
        """[n, inputs] observation, last action, its reward and whether it ended an episode."""
        dtype = seen.reward.dtype
        beside = torch.stack([seen.reward, seen.done.to(dtype)], -1)
        return torch.cat([seen.observation, self.actions.told(seen.action, dtype), beside], -1)

    def _blank(self, params: Params) -> Tensor:
        return next(iter(params.values())).new_zeros(self.trajectories, self.units)

    def _next(self, params: Params, memory: Tensor, told: Tensor) -> Tensor:
        old = memory if self.remembers else torch.zeros_like(memory)
        return self.memory.apply(tree.part(params, "memory"), {"x": told, "h": old})

    def _heads(self, params: Params, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and values [..., o] and [...] of memories [..., units]."""
        flat = memory.flatten(0, -2)
        outputs = self.policy.apply(tree.part(params, "policy"), flat)
        values = self.value.apply(tree.part(params, "value"), flat)[..., 0]
        return outputs.unflatten(0, memory.shape[:-1]), values.unflatten(0, memory.shape[:-1])


def _others(returns: Tensor, live: Tensor) -> Tensor:
    """[n, T] mean return from the same step of the other trials that are there; of none, the return itself."""
    total, count = (returns * live).sum(0), live.sum(0)
    others = (total - returns) / (count - 1).clamp(min=1)
    return torch.where(count > 1, others, returns)
