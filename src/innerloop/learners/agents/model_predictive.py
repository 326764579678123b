"""Model-predictive control that learns to adapt: Nagabandi et al., ICLR 2019, https://arxiv.org/abs/1803.11347, GrBAL.

Adaptation is gradient descent of a model of the environment on the last few transitions, from a learned start and begun
afresh at every step of an episode; the agent takes the first action of the best plan in the adapted model.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.environment import Environment, Task, constants, random_actions
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.inner import descend
from innerloop.core.learner import Unrolled
from innerloop.core.model import Model
from innerloop.core.networks import Dynamics, role
from innerloop.core.objectives import regression
from innerloop.core.planning import Planner
from innerloop.core.ranges import Count, Share
from innerloop.core.rollout import Seen, rollout
from innerloop.core.searched import between
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.transitions import Past, Transitions, nothing, transitions
from innerloop.core.types import Batch, Episode, Metrics, Params

_TAKEN, _PLAN, _RANDOM, _LENGTH, _ACTED, _SCORED = 11, 12, 13, 14, 15, 17
"""Folded into a task's key: transitions that are trained on, plans, random actions, lengths of windows, steps of
episodes that are scored, and these episodes."""
_LOOKS, _STEPS = 32, 20
"""Tasks and steps of random actions that the scales of the model's inputs and outputs are of."""
_FLAT = 1e-3
"""Least of these scales: some numbers never change."""
_TRAIN = {"steps": 150, "meta_batch_size": 16, "meta_lr": 3e-3, "schedule": "cosine"}


class Steps(NamedTuple):
    """How many gradient steps the model takes at every moment."""

    steps: Tensor  # [] int64
    key: Tensor  # [] int64


class Memory(NamedTuple):
    """What each trajectory remembers while it is scored."""

    past: Past
    inputs: Tensor  # [n, i] what it did last
    age: Tensor  # [n] int64 steps so far


@dataclass(frozen=True, kw_only=True)
class ModelPredictive(Unrolled[Steps, Steps]):
    """Parameters: `model.*`, `scale.*` of its inputs and outputs, which stand still, and `rate.*` of the inner steps.

    In training some trajectories act by its own plans and others at random; it learns to foresee the next `following`
    transitions after it has adapted to the `window` before them.

    Raises:
        InputError: The environment does not say what a planner has to know of the reward.
    """

    trains_on = ("environments",)
    usual_data = "cart-pole"
    targets = ("returns",)
    stochastic = True
    exact_gradient = False  # transitions are held
    sensible = by_kind(
        # Random actions show all that there is to know of a cart, and cost a fifth of plans.
        cart_pole=Sensible(fields={"explore": 1.0}, task={"update": "descent"}, train=_TRAIN),
        agents=Sensible(task={"update": "descent"}, train=_TRAIN),
    )

    env: Environment[Any]
    """What it acts in; it has an `outlook(observation, action, following) -> (reward, done)`."""
    dynamics: Model = field(metadata=role(Dynamics()))
    """[n, observation and action] -> [n, change of the observation], both scaled."""
    inner_lr: float = field(default=0.05, metadata=between(0.003, 0.3, log=True))
    """Step size on the mean squared error of the window."""
    inner_steps: int = field(default=1, metadata=between(1, 5))
    """Gradient steps at every moment, from the learned start; 0: it plans with what it learned of all tasks."""
    learn_rates: bool = True
    """Also meta-learn a rate for every weight tensor, from `inner_lr`."""
    window: Count = 8
    """Transitions that it adapts to, fewer at the beginning of an episode (the paper's M)."""
    following: Count = 8
    """Transitions that are foreseen in training (K)."""
    planner: Literal["shooting", "cem"] = "shooting"
    """shooting: the best of random sequences of actions. cem: drawn again near the best ones, `rounds` times."""
    ahead: Count = 12
    """Steps of a plan."""
    candidates: Count = 32
    """Sequences of actions that are tried in the model; with cem, in each round."""
    rounds: Count = 3
    """How often cem draws sequences."""
    explore: Share = 0.75
    """Share of trajectories in training whose actions are random, rounded to whole ones; the others act by plans of the
    model as it is."""
    taken: Count = 64
    """Steps of a trajectory in training; what is done begins anew."""
    trajectories: Count = 4
    """Episodes side by side, in training and where returns are scored."""

    def __post_init__(self) -> None:
        if not callable(getattr(self.env, "outlook", None)):
            raise InputError(
                f"{type(self.env).__name__} does not say what a plan earns there: a planner needs an "
                "outlook(observation, action, following) -> (reward, done) of the environment, which does not depend "
                "on the task, as CartPole has: try --env cart-pole, or maml_rl, which needs none"
            )
        if self.taken < self.window + self.following:
            raise InputError(
                f"taken={self.taken} steps have no window of {self.window} with {self.following} that follow: "
                f"take at least {self.window + self.following}"
            )
        self.search  # noqa: B018

    @property
    def actions(self) -> Actions:
        """How they are read."""
        return Actions(self.env.actions)

    @property
    def search(self) -> Planner:
        """How plans are made."""
        return Planner(self.env.actions, self.ahead, self.candidates, self.rounds if self.planner == "cem" else 1)

    def init(self, seed: int) -> Params:
        self._check_outlook()
        model = self.dynamics.init(seed)
        rates = {k: torch.tensor(self.inner_lr) for k in model} if self.learn_rates else {}
        seen = torch.vmap(self._looked)(random.mix(seed, torch.arange(_LOOKS)))
        inputs, changes = seen.inputs.flatten(0, 2), seen.changes.flatten(0, 2)
        scale = {
            "middle": inputs.mean(0),
            "input": inputs.std(0).clamp(min=_FLAT),
            "change": changes.std(0).clamp(min=_FLAT),
        }
        return tree.join(model=model, scale=scale, rate=rates)

    def start(self, params: Params, support: Batch) -> Steps:
        return Steps(torch.zeros_like(key_of(support)), key_of(support))

    def advance(self, params: Params, carry: Steps, support: Batch) -> tuple[Steps, Tensor]:
        """One step more at every moment; there is nothing to step down from before the agent acts."""
        return carry._replace(steps=carry.steps + 1), next(iter(params.values())).new_zeros(())

    def finish(self, params: Params, carry: Steps, support: Batch) -> Steps:
        return carry._replace(key=random.fold(carry.key, _SCORED))

    def predict(self, params: Params, adapted: Steps, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[1, 1] mean return of new trajectories on the task whose constants are `x`."""
        assert isinstance(x, dict)
        task, held, actions = tree.slice(x, 0), stop(params), self.actions

        def act(memory: Memory, seen: Seen) -> tuple[Memory, Tensor]:
            before = memory.inputs[:, : self.env.observations]
            past = memory.past.with_one(memory.inputs, seen.observation - before, memory.age > 0)
            # Those that still run are of one age, which the first trajectory need not be.
            key = random.fold(random.fold(adapted.key, _ACTED), memory.age.max())
            action = self._planned(held, past, seen.observation, key, adapted.steps)
            inputs = self._inputs(seen.observation, action)
            return Memory(past, inputs, memory.age + 1), actions.certain(action, seen.observation.dtype)

        past = self._blank(params)
        age = torch.zeros(self.trajectories, dtype=torch.int64, device=adapted.key.device)
        memory = Memory(past, torch.zeros_like(past.inputs[:, 0]), age)
        run, _ = rollout(self.env, task, actions, act, self.trajectories, adapted.key, memory)
        return run.returns.mean().reshape(1, 1)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """Mean squared error of the adapted models on the transitions that follow their windows."""
        params = params | stop({k: v for k, v in params.items() if k.startswith("scale.")})
        key = random.fold(key_of(episode.query), _TAKEN)
        seen = self._taken(params, constants(episode.support), key)
        span = self.window + self.following
        first = torch.arange(0, self.taken - span + 1, self.following, device=key.device)
        rows = first[:, None] + torch.arange(span, device=key.device)
        inputs, changes = (leaf[:, rows].flatten(0, 1) for leaf in seen[:2])  # [windows, span, ...]
        # As short as at the beginning of an episode, where there is little to adapt to, as often as in full.
        short = (random.uniform(random.fold(key, _LENGTH), (len(inputs),)) * self.window).long()
        real = torch.arange(self.window, device=key.device) >= short[:, None]
        w, still = self.window, self._start(params, len(inputs))
        moved = self._moved(params, Past(inputs[:, :w], changes[:, :w], real))
        after, before = (self._errors(params, v, inputs[:, w:], changes[:, w:]).mean() for v in (moved, still))
        # No score: what random actions earn, or a reward for each step, is no return of it.
        return after, {"unadapted": stop(before)}

    def _planned(self, params: Params, past: Past, seen: Tensor, key: Tensor, count: Tensor | None = None) -> Tensor:
        """[n] or [n, k] first actions of the best plans from what is seen, in models that have adapted to the past."""
        weights = self._moved(params, past, count)
        n, dtype = seen.shape[0], seen.dtype

        def value(plans: Tensor) -> Tensor:
            at = seen[:, None].expand(-1, plans.shape[1], -1)
            worth, goes_on = torch.zeros_like(at[..., 0]), torch.ones_like(at[..., 0])
            for action in plans.unbind(2):
                change = self._foreseen(params, weights, self._inputs(at, action))
                after = at + change * params["scale.change"]
                reward, done = self.env.outlook(at, action, after)  # pyright: ignore[reportAttributeAccessIssue]
                worth, goes_on = worth + goes_on * reward, goes_on * ~done
                at = after
            return worth

        return self.search.plan(value, n, random.fold(key, _PLAN), dtype)[:, 0]

    def _check_outlook(self) -> None:
        """Refuse an environment whose outlook is not one reward and one end for each of the plans.

        Raises:
            InputError: Saying what it gives, and what it has to give.
        """
        key, n, plans = random.mix(0, 0), 2, 3
        task = self.env.draw(key)
        seen = self.env.observe(task, self.env.start(task, n * plans, key))
        action = random_actions(self.env.actions, n * plans, key, seen.dtype)
        seen, action = (leaf.unflatten(0, (n, plans)) for leaf in (seen, action))
        gave: Any = self.env.outlook(seen, action, seen)  # pyright: ignore[reportAttributeAccessIssue]
        parts: tuple[Any, ...] = gave if isinstance(gave, tuple) else (gave,)
        right = len(parts) == 2 and all(isinstance(leaf, Tensor) and leaf.shape == (n, plans) for leaf in parts)
        if not right or parts[1].dtype != torch.bool:
            shown = [f"{tuple(v.shape)} {v.dtype}" if isinstance(v, Tensor) else type(v).__name__ for v in parts]
            raise InputError(
                f"{type(self.env).__name__}.outlook gives {' and '.join(shown)} for observations "
                f"{tuple(seen.shape)}: it has to give a reward and whether the episode ends, ({n}, {plans}) and "
                f"({n}, {plans}) torch.bool, so read numbers of an observation as observation[..., 0]"
            )

    def _start(self, params: Params, n: int) -> Params:
        """[n, ...] weights of as many models, all as they were learned."""
        return tree.map(lambda v: v.expand(n, *v.shape), tree.part(params, "model"))

    def _moved(self, params: Params, past: Past, count: Tensor | None = None) -> Params:
        """[n, ...] weights of a model for each trajectory, after inner steps on its past, or `count` of them."""
        weights = self._start(params, past.real.shape[0])
        rates = tree.part(params, "rate") or {k: v.new_full((), self.inner_lr) for k, v in weights.items()}
        # No trajectory's error depends on the weights of another: the slope of the sum is that of each.
        loss = lambda w: (self._errors(params, w, *past).sum(), {})  # noqa: E731
        for step in range(self.inner_steps):
            taken = rates if count is None else {k: torch.where(count > step, r, 0.0) for k, r in rates.items()}
            weights, _ = descend(weights, loss, taken)
        return weights

    def _errors(
        self, params: Params, weights: Params, inputs: Tensor, changes: Tensor, real: Tensor | None = None
    ) -> Tensor:
        """[n] mean squared errors of n models, each on rows of its own."""
        foreseen, changes = self._foreseen(params, weights, inputs), changes / params["scale.change"]
        real = torch.ones_like(inputs[..., 0], dtype=torch.bool) if real is None else real
        return torch.vmap(regression)(foreseen, changes, real)

    def _foreseen(self, params: Params, weights: Params, inputs: Tensor) -> Tensor:
        """[n, rows, d] scaled changes that n models foresee for [n, rows, i] observations and actions."""
        read = (inputs - params["scale.middle"]) / params["scale.input"]
        return torch.vmap(self.dynamics.apply)(weights, read)

    def _inputs(self, seen: Tensor, action: Tensor) -> Tensor:
        return torch.cat([seen, self.actions.told(action, seen.dtype)], -1)

    def _taken(self, params: Params, task: Task, key: Tensor) -> Transitions:
        """Transitions that are trained on: first trajectories that act by plans, then those at random."""
        held, n = stop(params), self.trajectories
        planned = n - round(self.explore * n)

        def choose(past: Past, seen: Tensor, step: int) -> tuple[Tensor, Tensor]:
            now = random.fold(key, step)
            action = random_actions(self.env.actions, n, random.fold(now, _RANDOM), seen.dtype)
            if planned:
                mine = tree.slice(past, slice(planned))
                action = torch.cat([self._planned(held, mine, seen[:planned], now), action[planned:]])
            return action, self._inputs(seen, action)

        with torch.no_grad():
            return transitions(self.env, task, choose, self._blank(params), self.taken, key)

    def _looked(self, key: Tensor) -> Transitions:
        """Transitions of random actions on a task."""

        def choose(past: Past, seen: Tensor, step: int) -> tuple[Tensor, Tensor]:
            action = random_actions(self.env.actions, self.trajectories, random.fold(key, step), seen.dtype)
            return action, self._inputs(seen, action)

        task = self.env.draw(random.fold(key, 0))
        blank = nothing(self.trajectories, 1, *self._sizes, torch.zeros(()))
        return transitions(self.env, task, choose, blank, _STEPS, random.fold(key, _TAKEN))

    def _blank(self, params: Params) -> Past:
        return nothing(self.trajectories, self.window, *self._sizes, next(iter(params.values())))

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.env.observations + self.actions.numbers, self.env.observations
