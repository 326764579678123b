"""Looks for the mistakes that make a number in meta-learning wrong while everything seems to work."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from innerloop.audit import check_data, check_learner
from innerloop.audit.check import Check
from innerloop.audit.check_plans import PLANS, plan_checks
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.scores import of_sampler
from innerloop.core.types import Params, Sampler
from innerloop.tasks import Pool, Splits


@dataclass(frozen=True)
class Audit:
    """What was checked, and whether all of it held."""

    learner: str
    checks: tuple[Check, ...]
    seconds: float
    """Wall time of the whole audit."""

    @property
    def passed(self) -> bool:
        """No check failed; those that were only reported do not count."""
        return all(check.passed is not False for check in self.checks)

    def __str__(self) -> str:
        failed = sum(check.passed is False for check in self.checks)
        end = "passed" if self.passed else f"{failed} of {len(self.checks)} checks failed"
        return "\n".join([*map(str, self.checks), f"{self.learner}: {end} in {self.seconds:.1f} s"])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "learner": self.learner,
            "passed": self.passed,
            "seconds": self.seconds,
            "checks": [check._asdict() for check in self.checks],
        }


def audit(
    learner: Learner,
    params: Params | None = None,
    sampler: Sampler | None = None,
    splits: Splits | Mapping[str, Pool] | None = None,
    *,
    episodes: int = 32,
    seed: int = 0,
    plans: Sequence[str] = PLANS,
) -> Audit:
    """Check a learner, the episodes it is fed, and the splits they come from.

    Exactness and independence are checked in float64 on the model as it is; the input is left as it was.

    Args:
        learner: The algorithm, with its real model.
        params: Meta-parameters; None: `learner.init(seed)`. What was learned by heart shows after training.
        sampler: Where episodes come from; None leaves out the checks that need any.
        splits: Pools by name; None leaves out the checks of splits.
        episodes: For the checks that count; the gradient needs only the first two.
        seed: Of random directions and permutations.
        plans: Ways of running to compare with the loop, from `engine.plan.NAMES`.

    Raises:
        InputError: Neither a sampler nor splits were given, fewer than two episodes, or episodes without a support.
    """
    if sampler is None and splits is None:
        raise InputError("an audit needs a sampler, or splits, or both: there is nothing to look at")
    if episodes < 2:
        raise InputError(f"an audit needs at least 2 episodes, to tell chance from a mistake; got {episodes}")
    start = time.perf_counter()
    params = learner.init(seed) if params is None else params
    checks: list[Callable[[], Iterable[Check]]] = []
    if sampler is not None:
        score = of_sampler(sampler)
        device = next(iter(params.values())).device if params else "cpu"
        drawn = tree.map(lambda leaf: leaf.to(device), sampler.episodes(0, episodes))
        if drawn.support.y.shape[1] == 0:
            raise InputError("these episodes have no support: audit with those that the learner adapts to")
        two, few = (tree.slice(drawn, slice(0, n)) for n in (2, 4))
        checks += [
            lambda: [check_learner.meta_gradient_check(learner, params, two, seed)],
            lambda: plan_checks(learner, params, two, few, plans),
            lambda: [_run("query independence", lambda: check_learner.query_independence(learner, params, few))],
            lambda: (
                [_run("predictive mean", lambda: check_learner.predictive_mean(learner, params, few, score))]
                if learner.probabilistic
                else []
            ),
            lambda: [
                _run(
                    "label permutation",
                    lambda: check_learner.label_permutation(learner, params, drawn, score, seed),
                )
            ],
            lambda: [check_data.label_order(sampler)],
            lambda: [check_data.disjoint_episodes(drawn)],
        ]
    if splits is not None:
        pools = _pools(splits)
        checks += [lambda: [check_data.class_overlap(pools), check_data.duplicate_images(pools)]]
    rows = tuple(row for check in checks for row in check())
    return Audit(type(learner).__name__, rows, time.perf_counter() - start)


def _run(name: str, check: Callable[[], Check]) -> Check:
    """A check, failed where the learner or its network is refused: that is a finding, not an error of the audit."""
    try:
        return check()
    except InputError as error:
        return Check(name, False, None, str(error))


def _pools(splits: Splits | Mapping[str, Pool]) -> Mapping[str, Pool]:
    pools = splits.pools() if isinstance(splits, Splits) else splits
    if len(pools) < 2:
        raise InputError(f"splits need at least two pools to compare, got {', '.join(pools) or 'none'}")
    return pools
