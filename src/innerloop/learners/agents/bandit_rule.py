"""Rules for Bernoulli arms whose chances are uniform, to be read beside agents that had to learn to learn.

Thompson's (1933, https://doi.org/10.1093/biomet/25.3-4.285) draws chances from the posterior and pulls the best;
Gittins's (1979, https://doi.org/10.1111/j.2517-6161.1979.tb01068.x) prices every arm by itself, here for the pulls that
are left, by dynamic programming, as in the comparison of RL^2 (Duan et al. 2016, https://arxiv.org/abs/1611.02779).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.environment import Discrete, Environment
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.learner import Learner
from innerloop.core.ranges import Count
from innerloop.core.rollout import Seen, rollout
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

_DRAWN = 23
"""Folded into a task's key, of which its chances are drawn too: draws of the posterior must know nothing of them."""
_SMALLEST = 2.0**-25
"""Half of the step of `random.uniform`: the logarithm of 0 is not finite."""
_PRICES = 513
"""Prices that an arm is weighed against, from 0 to 1."""


class Counts(NamedTuple):
    """What each trajectory knows of its arms."""

    paid: Tensor  # [n, arms] int64, rewards of 1
    failed: Tensor  # [n, arms] int64
    pulls: Tensor  # [n] int64


@dataclass(frozen=True, kw_only=True)
class BanditRule(Learner[Tensor]):
    """Parameters: none. What is adapted is the key of the draws; the learning is inside of an episode."""

    trains_on = ("environments",)
    usual_data = "bandits"
    targets = ("returns",)
    stochastic = True
    sensible = by_kind(agents=Sensible(task={"update": "descent"}, train={"steps": 0}))

    env: Environment[Any]
    """Arms that pay 1 or 0."""
    rule: Literal["thompson", "gittins"] = "thompson"
    """thompson: chances drawn from the posterior. gittins: the index of each arm for the pulls that are left."""
    trajectories: Count = 20
    """Episodes whose mean return counts."""

    def __post_init__(self) -> None:
        if not self.plays(self.env):
            raise InputError(f"{type(self.env).__name__} is no bandit: take scripted, or --env bandits")

    @staticmethod
    def plays(environment: Environment[Any]) -> bool:
        """Whether a task is chances of arms and nothing else."""
        arms = isinstance(environment.actions, Discrete)
        return arms and environment.draw(random.mix(0, 0)).keys() == {"chances"}

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> Tensor:
        return key_of(support)

    def predict(self, params: Params, adapted: Tensor, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[1, 1] mean return of trajectories on the arms whose chances are `x`."""
        assert isinstance(x, dict)
        task, actions, horizon = tree.slice(x, 0), Actions(self.env.actions), self.env.horizon
        index = indices(horizon).to(adapted.device) if self.rule == "gittins" else None

        def act(counts: Counts, seen: Seen) -> tuple[Counts, Tensor]:
            # What is told at first is of no pull.
            pulled = (actions.told(seen.action, torch.int64) * (counts.pulls > 0)[:, None]).long()
            pays = seen.reward[:, None] > 0.5
            paid, failed = counts.paid + pulled * pays, counts.failed + pulled * ~pays
            if index is None:
                worth = beta(random.fold(random.fold(adapted, _DRAWN), counts.pulls.max()), paid, failed, horizon)
            else:
                worth = index[horizon - counts.pulls[:, None], paid, failed]
            return Counts(paid, failed, counts.pulls + 1), actions.certain(worth.argmax(-1), seen.observation.dtype)

        nothing = torch.zeros(self.trajectories, actions.outputs, dtype=torch.int64, device=adapted.device)
        known = Counts(nothing, nothing, nothing[:, 0])
        run, _ = rollout(self.env, task, actions, act, self.trajectories, adapted, known)
        return run.returns.mean().reshape(1, 1)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """Minus the return, which depends on no parameter."""
        earned = self.predict(params, self.adapt(params, episode.support), episode.query.x).mean()
        return -earned, {"score": earned}


def beta(key: Tensor, paid: Tensor, failed: Tensor, most: int) -> Tensor:
    """[n, arms] chances drawn from the posterior of uniform ones, exact for whole counts.

    Args:
        key: [] int64.
        paid: [n, arms] int64 rewards of 1.
        failed: [n, arms] int64 rewards of 0.
        most: No count is larger.
    """
    uniform = random.uniform(key, (2, *paid.shape, most + 1), torch.float64).clamp(min=_SMALLEST)
    # A gamma variable of a whole shape is a sum of so many exponential ones.
    shapes = torch.stack([paid, failed])[..., None]
    gammas = torch.where(torch.arange(most + 1, device=paid.device) <= shapes, -uniform.log(), 0.0).sum(-1)
    return gammas[0] / gammas.sum(0)


@cache
def indices(horizon: int) -> Tensor:
    """[left, paid, failed] Gittins indices of an arm with `left` pulls to go: float64, [horizon + 1] each way.

    An index is the price of a pull at which going on, and stopping for good when it is best, is worth nothing: pulls
    that are left may pay for what they find out. It is where the worth, which falls with the price, crosses 0, by
    interpolation between prices that are a 512th apart. Places that cannot be reached are 0.

    Args:
        horizon: Pulls of an episode.
    """
    price = torch.linspace(0, 1, _PRICES, dtype=torch.float64)
    paid, failed = torch.meshgrid(*2 * (torch.arange(horizon + 1, dtype=torch.float64),), indexing="ij")
    mean = (paid + 1) / (paid + failed + 2)
    worth = torch.zeros(horizon + 1, horizon + 1, _PRICES, dtype=torch.float64)  # with no pull left
    table = [torch.zeros_like(mean)]
    for left in range(1, horizon + 1):
        size = horizon - left + 1  # counts from 0 on that may be there with so many left
        chance = mean[:size, :size, None]
        goes_on = chance - price + chance * worth[1 : size + 1, :size] + (1 - chance) * worth[:size, 1 : size + 1]
        worth = goes_on.clamp(min=0)
        above = (goes_on > 0).sum(-1, keepdim=True).clamp(1, _PRICES - 1)
        high, low = goes_on.gather(-1, above - 1), goes_on.gather(-1, above)
        crossing = (above - 1 + high / (high - low))[..., 0] / (_PRICES - 1)
        table.append(torch.zeros_like(mean).index_put((torch.arange(size)[:, None], torch.arange(size)), crossing))
    return torch.stack(table)
