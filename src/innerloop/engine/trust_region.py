"""An update for agents: the step of steepest descent in the policy, as far as it stays near the one that acted.

Trust region policy optimization: Schulman et al., ICML 2015, https://arxiv.org/abs/1502.05477, over a stack of tasks
and after adaptation (Finn et al. 2017): surrogate and divergence are those of the adapted policies, on rollouts that
are taken once, and both are differentiated through adaptation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import linalg, tree
from innerloop.core.agent import Agent, Replayed
from innerloop.core.environment import refuse_not_finite
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.ranges import Checked, Count, Decay, NotNegative, Positive
from innerloop.core.rollout import mean_live
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.gradients import vmapped


class Steps(NamedTuple):
    """What became of the steps so far."""

    refused: Tensor  # [] int64, how many found nothing better within the limit


@dataclass(frozen=True, kw_only=True)
class TrustRegion(Checked):
    """Natural gradient by conjugate gradients, as long as the limit allows, then shorter until it holds."""

    max_kl: Positive = 0.01
    """Largest mean divergence of the adapted policies from those that acted, in nats a step."""
    iterations: Count = 10
    """Iterations of conjugate gradients: so many products with the divergence's second derivative."""
    damping: NotNegative = 1e-5
    """Added to its diagonal."""
    shrink: Decay = 0.8
    """Factor of the step from one try to the next."""
    tries: Count = 15
    """Lengths of the step that are tried; where none will do, the parameters stay."""
    every: Count = 1
    """Take every so many steps of the rollouts for the second derivative, which is most of the cost. Lengths are tried
    on all."""

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Steps:
        agent(learner)
        return Steps(torch.zeros((), dtype=torch.int64))

    def step(
        self, learner: Learner, params: Params, state: Steps, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, Steps, Metrics]:
        """One step; `rate` is not read, since the limit decides how long it is."""
        collected, metrics = collect(agent(learner), params, episodes, number)

        def measure(at: Params, every: int = 1) -> tuple[Tensor, Tensor]:
            seen = replayed(agent(learner), at, episodes, collected, every)
            return surrogate(seen), divergence(seen)

        leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
        with torch.enable_grad():
            loss, spread = measure(leaves)
            slope = gradient(loss, leaves, kept=self.every == 1)
            if self.every > 1:
                spread = measure(leaves, self.every)[1]
            flat = gradient(spread, leaves, again=True)

        def product(vector: Params) -> Params:
            along = linalg.dot(flat, vector)
            curved = gradient(along, leaves, kept=True)
            return tree.map(lambda c, v: c + self.damping * v, curved, vector)

        direction = linalg.conjugate_gradient(product, tree.map(torch.neg, slope), self.iterations)
        curvature = linalg.dot(direction, product(direction))
        # 1/2 s'Fs is the divergence of a small step s.
        longest = torch.where(curvature > 0, torch.sqrt(2 * self.max_kl / curvature.clamp(min=1e-30)), 0.0)
        after, found = self._search(measure, params, tree.map(lambda d: longest * d, direction), loss.detach())
        refused = state.refused + (not found)
        return after, Steps(refused), metrics | {"loss": loss.detach(), "refused": refused.double()} | found

    def _search(
        self, measure: Callable[[Params], tuple[Tensor, Tensor]], params: Params, longest: Params, loss: Tensor
    ) -> tuple[Params, Metrics]:
        """The longest of the tried steps that lowers the surrogate within the limit; without one, no metrics."""
        with torch.no_grad():
            for number in range(self.tries):
                share = self.shrink**number
                there = {k: v + share * longest[k] for k, v in params.items()}
                lower, spread = measure(there)
                if lower < loss and spread <= self.max_kl:
                    return there, {"kl": spread, "gained": loss - lower}
        return params, {}


def agent(learner: Any) -> Any:
    """The learner, where it is an agent.

    Raises:
        InputError: It has no rollouts to update on.
    """
    if not isinstance(learner, Agent):
        raise InputError(
            f"{type(learner).__name__} is no agent: an update on rollouts takes one with collect and replay, such as "
            "MAMLRL"
        )
    return learner


def collect(learner: Agent, params: Params, episodes: Episode, number: int) -> tuple[Any, Metrics]:
    """Rollouts of a stack of tasks, and their mean returns by name.

    Raises:
        FailedError: A reward is not finite; it names the task and the step.
    """
    with torch.no_grad():
        one = torch.vmap(lambda episode: learner.collect(params, episode), in_dims=(tree.axes(episodes),))
        collected = vmapped(lambda: one(episodes))
    runs = learner.rewards(collected)
    for run in runs.values():
        refuse_not_finite(run.rewards, run.live, number * tree.length(episodes))
    return collected, {name: run.returns.mean() for name, run in runs.items()}


def replayed(learner: Agent, params: Params, episodes: Episode, collected: Any, every: int = 1) -> Replayed:
    """The rollouts of a stack of tasks under other parameters: every leaf has a leading axis of tasks."""
    axes = (tree.axes(episodes), tree.axes(collected))
    one = torch.vmap(lambda episode, seen: learner.replay(params, episode, seen, every), in_dims=axes)
    return vmapped(lambda: one(episodes, collected))


def surrogate(seen: Replayed) -> Tensor:
    """[] minus the mean advantage, each step weighed by its ratio; every task counts alike.

    Its slope where nothing has moved is the policy gradient.
    """
    return (torch.vmap(mean_live)(-seen.log_ratio.exp() * seen.advantages, seen.live) + seen.beside).mean()


def divergence(seen: Replayed) -> Tensor:
    """[] mean divergence over steps and tasks, in nats."""
    return torch.vmap(mean_live)(seen.divergence, seen.live).mean()


def gradient(value: Tensor, leaves: Params, again: bool = False, kept: bool = False) -> Params:
    """Slopes of a scalar, 0 where it does not depend on a leaf.

    Args:
        value: The scalar.
        leaves: Where.
        again: Whether the slopes may be differentiated.
        kept: Whether the graph of the scalar is needed after this.
    """
    slopes = torch.autograd.grad(
        value,
        list(leaves.values()),
        retain_graph=again or kept,
        create_graph=again,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(leaves, slopes, strict=True))
