"""What agents share: the rollouts an update is made from, and policies that adapt by gradients of their own returns."""

import abc
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.environment import Environment, Task
from innerloop.core.gaussian import key_of
from innerloop.core.gradient import value_and_grad
from innerloop.core.inner import at_step, per_step
from innerloop.core.learner import Unrolled
from innerloop.core.ranges import Count, NotNegative, Positive, Share
from innerloop.core.rollout import (
    Rollout,
    Seen,
    advantages,
    discounted,
    linear_baseline,
    mean_live,
    normalised,
    rollout,
)
from innerloop.core.searched import between
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params

_INNER, _OUTER, _SCORED = 11, 13, 17
"""Folded into a task's key: rollouts that are adapted on, that the update is made from, and that are scored."""
_FLAT = 1e-8
"""Added to the squared norm of a gradient, which may be 0."""


class Replayed(NamedTuple):
    """Rollouts that were taken once, seen again by a policy whose parameters have moved since."""

    log_ratio: Tensor  # [n, T] of the probability of what was done then, now to then
    advantages: Tensor  # [n, T]
    divergence: Tensor  # [n, T] KL(then || now), in nats
    live: Tensor  # [n, T] bool
    beside: Tensor  # [] what is added to the loss, such as a value's error


@runtime_checkable
class Agent(Protocol):
    """A learner that updates on rollouts can train: `engine.trust_region` and `engine.clipped`."""

    def collect(self, params: Params, episode: Episode) -> Any:
        """Rollouts before and after adaptation and what they are worth: a tree of tensors without a graph."""
        ...

    def replay(self, params: Params, episode: Episode, collected: Any, every: int = 1) -> Replayed:
        """The last of these rollouts under the policy that `params` adapt to, on the same experience.

        Args:
            params: Meta-parameters, which need not be those that the rollouts were taken with.
            episode: The task.
            collected: Of `collect`.
            every: Take every so many steps alone, for a cheaper estimate of the divergence's second derivative: it is
                0 at `params` then, which have to be those that the rollouts were taken with.
        """
        ...

    def rewards(self, collected: Any) -> dict[str, Rollout]:
        """Rollouts by what to log their returns as: those after adaptation as `score`."""
        ...


class Experience(NamedTuple):
    """A rollout with what it is worth."""

    run: Rollout
    advantages: Tensor  # [n, T]


class Collected(NamedTuple):
    """Experience before every inner step, and after the last."""

    inner: tuple[Experience, ...]
    outer: Experience


class Inner(NamedTuple):
    """A policy between two inner steps."""

    weights: Params
    step: Tensor  # [] int64
    key: Tensor  # [] int64


class Actor(NamedTuple):
    """An adapted policy."""

    weights: Params
    key: Tensor  # [] int64 of what is drawn where it is scored


@dataclass(frozen=True, kw_only=True)
class PolicyGradient(Unrolled[Actor, Inner]):
    """A policy that adapts by the gradient of its own returns, on rollouts that it takes itself before every step."""

    targets = ("returns",)
    by_step = ("rate.",)
    stochastic = True
    exact_gradient = False  # rollouts are held

    env: Environment[Any]
    """What it acts in."""
    trajectories: Count = 20
    """Episodes before every inner step, and as many after the last."""
    inner_lr: float = field(default=0.3, metadata=between(0.03, 1.0, log=True))
    """Step size on the loss of the policy gradient, whose advantages are normalised."""
    inner_steps: int = field(default=1, metadata=between(1, 3))
    bound: Positive | None = 1.0
    """Largest norm of an inner gradient: it grows as the deviation of actions falls. None: not bounded."""
    floor: NotNegative = 0.3
    """Least deviation of actions of a box, in the environment's units."""
    squash: bool = False
    """Bring actions between their bounds by a tanh; otherwise the environment clips them."""
    discount: Share = 0.99
    """What a reward weighs less with every step until it."""
    trace: Share = 1.0
    """Lambda of the generalised advantage estimator, beside a linear baseline."""
    learn_rates: bool = False
    """Also meta-learn a rate for every weight tensor and inner step, from `inner_lr`; steps past those of training take
    the last ones."""
    inner_loss: Literal["likelihood", "ratio"] = "likelihood"
    """What an inner step descends on. likelihood: the logarithm of the probabilities of actions, weighed by advantages
    (Finn et al. 2017). ratio: their ratio to those at the time, whose second derivative also holds how exploring for
    the step pays (ProMP of Rothfuss et al., ICLR 2019, https://arxiv.org/abs/1810.06784)."""
    first_order: bool = False
    """Treat the inner gradients as constants."""

    adapts: ClassVar[str] = ""
    """Prefix of the weights that inner steps move."""

    def __post_init__(self) -> None:
        Actions(self.env.actions, self.squash, self.floor)

    @abc.abstractmethod
    def weights(self, seed: int) -> Params:
        """The policy's, at the beginning."""

    @abc.abstractmethod
    def outputs(self, weights: Params, observations: Tensor) -> Tensor:
        """[rows, o] of the policy, from [rows, d]."""

    @property
    def actions(self) -> Actions:
        """How they are drawn."""
        return Actions(self.env.actions, self.squash, self.floor)

    def init(self, seed: int) -> Params:
        weights = self.weights(seed)
        if not self.learn_rates:
            return weights
        return weights | tree.join(rate=per_step(self._moving(weights), max(1, self.inner_steps), self.inner_lr))

    def start(self, params: Params, support: Batch) -> Inner:
        weights = {k: v for k, v in params.items() if not k.startswith("rate.")}
        return Inner(weights, torch.zeros_like(key_of(support)), key_of(support))

    def advance(self, params: Params, carry: Inner, support: Batch) -> tuple[Inner, Tensor]:
        seen = self.experience(carry.weights, support, self._key(carry))
        return self._step(params, carry, seen)

    def finish(self, params: Params, carry: Inner, support: Batch) -> Actor:
        return Actor(carry.weights, random.fold(carry.key, _SCORED))

    def predict(self, params: Params, adapted: Actor, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[1, 1] mean return of new trajectories on the task whose constants are `x`."""
        assert isinstance(x, dict)
        return self._run(adapted.weights, tree.slice(x, 0), adapted.key).returns.mean().reshape(1, 1)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """The surrogate of the return after adaptation, whose gradient is the policy gradient through it."""
        support, query = episode
        actor = self.unroll(params, support)
        seen = self.experience(actor.weights, query, random.fold(key_of(query), _OUTER))
        log_prob = self._log_prob(actor.weights, seen.run)
        ratio = torch.exp(log_prob - stop(log_prob))
        return -mean_live(ratio * seen.advantages, seen.run.live), {"score": seen.run.returns.mean()}

    def collect(self, params: Params, episode: Episode) -> Collected:
        support, query = episode
        carry, inner = self.start(params, support), []
        for _ in range(self.inner_steps):
            inner.append(self.experience(carry.weights, support, self._key(carry)))
            carry, _ = self._step(params, carry, inner[-1])
        outer = self.experience(carry.weights, query, random.fold(key_of(query), _OUTER))
        return Collected(tuple(inner), outer)

    def replay(self, params: Params, episode: Episode, collected: Collected, every: int = 1) -> Replayed:
        carry = self.start(params, episode.support)
        for seen in collected.inner:
            carry, _ = self._step(params, carry, _thinned(seen, every))
        run, worth = _thinned(collected.outer, every)
        outputs = self._outputs(carry.weights, run)
        log_ratio = self.actions.log_prob(outputs, run.actions) - self.actions.log_prob(run.outputs, run.actions)
        # Fewer steps also lead inner steps elsewhere: there is nothing to diverge from but where they lead now.
        divergence = self.actions.divergence(run.outputs if every == 1 else stop(outputs), outputs)
        return Replayed(log_ratio, worth, divergence, run.live, torch.zeros_like(worth[0, 0]))

    def rewards(self, collected: Collected) -> dict[str, Rollout]:
        before = {"before": collected.inner[0].run} if collected.inner else {}
        return before | {"score": collected.outer.run}

    def experience(self, weights: Params, batch: Batch, key: Tensor) -> Experience:
        """New trajectories on the task of a batch, with their advantages over a linear baseline."""
        assert isinstance(batch.x, dict)
        with torch.no_grad():
            run = self._run(weights, tree.slice(batch.x, 0), key)
            returns = discounted(run.rewards, run.live, run.ends, self.discount)
            values = linear_baseline(run.observations, returns, run.live)
            worth = normalised(advantages(run, values, self.discount, self.trace), run.live)
        return Experience(run, stop(worth))

    def _run(self, weights: Params, task: Task, key: Tensor) -> Rollout:
        held = stop(weights)

        def act(memory: None, seen: Seen) -> tuple[None, Tensor]:
            return None, self.outputs(held, seen.observation)

        return rollout(self.env, task, self.actions, act, self.trajectories, key)[0]

    def _step(self, params: Params, carry: Inner, seen: Experience) -> tuple[Inner, Tensor]:
        """One inner step on some experience, and the loss before it."""
        run, worth = seen
        weights, moving = carry.weights, self._moving(carry.weights)

        def loss(moving: Params) -> tuple[Tensor, Metrics]:
            log_prob = self._log_prob(weights | moving, run)
            if self.inner_loss == "ratio":
                log_prob = torch.exp(log_prob - self.actions.log_prob(run.outputs, run.actions))
            return -mean_live(log_prob * worth, run.live), {}

        slope, value, _ = value_and_grad(loss, moving, create_graph=not self.first_order)
        if self.bound is not None:
            square = torch.stack([g.square().sum() for g in slope.values()]).sum()
            shrink = (self.bound * torch.rsqrt(square + _FLAT)).clamp(max=1.0)
            slope = tree.map(lambda g: shrink * g, slope)
        rates = tree.part(params, "rate")
        rate = at_step(rates, carry.step) if rates else dict.fromkeys(moving, self.inner_lr)
        moved = {k: w - rate[k] * slope[k] for k, w in moving.items()}
        return carry._replace(weights=weights | moved, step=carry.step + 1), value

    def _log_prob(self, weights: Params, run: Rollout) -> Tensor:
        return self.actions.log_prob(self._outputs(weights, run), run.actions)

    def _outputs(self, weights: Params, run: Rollout) -> Tensor:
        outputs = self.outputs(weights, run.observations.flatten(0, 1))
        return outputs.unflatten(0, run.observations.shape[:2])

    def _moving(self, weights: Params) -> Params:
        return {k: v for k, v in weights.items() if k.startswith(self.adapts)}

    def _key(self, carry: Inner) -> Tensor:
        return random.fold(random.fold(carry.key, _INNER), carry.step)


def _thinned(seen: Experience, every: int) -> Experience:
    """Every so many steps alone."""
    return tree.map(lambda leaf: leaf[:, ::every], seen) if every > 1 else seen
