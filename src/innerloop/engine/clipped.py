"""An update for agents: several descents on the same rollouts, whose ratios are clipped so that none goes far.

Proximal policy optimization: Schulman et al., 2017, https://arxiv.org/abs/1707.06347, over a stack of tasks and after
adaptation, as ProMP does (Rothfuss et al., ICLR 2019, https://arxiv.org/abs/1810.06784).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core.agent import Replayed
from innerloop.core.learner import Learner
from innerloop.core.ranges import Checked, Count, Positive
from innerloop.core.rollout import mean_live
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.trust_region import agent, collect, divergence, gradient, replayed
from innerloop.engine.updates import Descending, Descent


@dataclass(frozen=True, kw_only=True)
class Clipped(Checked):
    """Adam on the clipped surrogate; the meta-rate is its rate."""

    epochs: Count = 5
    """Descents on the rollouts of a step, each on all of them."""
    ratio: Positive = 0.2
    """How far the ratio of probabilities goes from 1 before there is nothing more to gain."""
    max_kl: Positive | None = None
    """Stop before the next descent where the mean divergence of adapted policies is larger, in nats; None: never."""
    clip: Positive | None = 0.5
    """Largest norm of a gradient; None: not clipped."""

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Descending:
        agent(learner)
        return self._descent.begin(learner, params, episodes)

    def step(
        self, learner: Learner, params: Params, state: Descending, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, Descending, Metrics]:
        collected, metrics = collect(agent(learner), params, episodes, number)
        moments, losses = state.moments, list[Tensor]()

        def measure(at: Params) -> tuple[Tensor, Tensor]:
            seen = replayed(agent(learner), at, episodes, collected)
            return self._loss(seen), divergence(seen).detach()

        for _ in range(self.epochs):
            leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
            with torch.enable_grad():
                loss, spread = measure(leaves)
            losses.append(loss.detach())
            if self.max_kl is not None and spread > self.max_kl:
                break
            params, moments = self._descent.descend(params, moments, gradient(loss, leaves), rate)
        with torch.no_grad():
            loss, spread = measure(params)
        return (
            params,
            Descending(moments, None),
            metrics | {"loss": losses[0], "kl": spread, "gained": losses[0] - loss},
        )

    def _loss(self, seen: Replayed) -> Tensor:
        """[] the surrogate, of which nothing is gained by ratios further from 1."""
        ratio = seen.log_ratio.exp()
        near = ratio.clamp(1 - self.ratio, 1 + self.ratio)
        worse = torch.minimum(ratio * seen.advantages, near * seen.advantages)
        return (torch.vmap(mean_live)(-worse, seen.live) + seen.beside).mean()

    @property
    def _descent(self) -> Descent:
        return Descent(clip=self.clip)
