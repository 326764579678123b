"""Looks for the mistakes that make a number in meta-learning wrong while everything seems to work."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from innerloop.audit import (
    check_behaviour,
    check_data,
    check_episodes,
    check_learner,
    check_near,
    check_network,
    check_ratings,
)
from innerloop.audit.check import Check
from innerloop.audit.check_plans import PLANS, check_names, plan_checks, reason
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.scores import of_sampler
from innerloop.core.types import Episode, Params, Sampler
from innerloop.tasks import Pool, Splits
from innerloop.tasks.ratings.sampler import RatingSampler

_OF_ROWS = {
    *("support used", "support order", "padding", "loss of queries", "query independence", "label permutation"),
    *("label order", "score", "support and query disjoint", "support and query apart", "inner steps"),
}
"""Checks that have no meaning where a task is an environment: its x holds constants, support and query are both of it,
and the losses of two inner steps are of unlike experience."""


@dataclass(frozen=True)
class Audit:
    """What was checked, and whether all of it held."""

    learner: str
    checks: tuple[Check, ...]
    seconds: float
    """Wall time of the whole audit."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Digest of the examples that the tasks were drawn from, and of every split: what the audit is of."""

    @property
    def passed(self) -> bool:
        """No check failed; those that were only reported do not count."""
        return all(check.passed is not False for check in self.checks)

    def __str__(self) -> str:
        failed = sum(check.passed is False for check in self.checks)
        end = "passed" if self.passed else f"{failed} of {len(self.checks)} checks failed"
        digests = ", ".join(f"{name} {digest}" for name, digest in self.data.items())
        data = [f"data: {digests}"] if digests else []
        return "\n".join([*map(str, self.checks), *data, f"{self.learner}: {end} in {self.seconds:.1f} s"])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "learner": self.learner,
            "passed": self.passed,
            "seconds": self.seconds,
            "data": dict(self.data),
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
        InputError: Neither a sampler nor splits were given, fewer than two episodes, episodes without a support, or
            a plan that there is not.
    """
    if sampler is None and splits is None:
        raise InputError("an audit needs a sampler, or splits, or both: there is nothing to look at")
    if episodes < 2:
        raise InputError(f"an audit needs at least 2 episodes, to tell chance from a mistake; got {episodes}")
    check_names(plans)
    start = time.perf_counter()
    trained = params
    params = learner.init(seed) if params is None else params
    checks: list[tuple[str, Callable[[], Check | Iterable[Check]]]] = []
    data: dict[str, str] = {}
    if sampler is not None:
        score = of_sampler(sampler)
        device = next(iter(params.values())).device if params else "cpu"
        drawn = tree.map(lambda leaf: leaf.to(device), sampler.episodes(0, episodes))
        if drawn.support.y.shape[1] == 0:
            raise InputError("these episodes have no support: audit with those that the learner adapts to")
        digest = sampler.describe().get("data")
        data |= {"tasks": str(digest)} if digest else {}
        two, few = (tree.slice(drawn, slice(0, n)) for n in (2, 4))
        args = learner, params
        checks += [
            ("network", lambda: check_network.wrapped_networks(learner, two)),
            ("meta-gradient", lambda: _of_loss(*args, two, few, seed, plans)),
            ("purity", lambda: check_behaviour.purity(*args, two)),
            ("support used", lambda: check_behaviour.support_used(*args, few)),
            ("support order", lambda: check_behaviour.support_order(*args, two, seed)),
            ("padding", lambda: check_behaviour.padding(*args, two)),
            ("inner steps", lambda: check_behaviour.inner_steps(learner, trained, few, seed)),
            ("loss of queries", lambda: check_behaviour.loss_of_queries(*args, two)),
            ("query independence", lambda: check_learner.query_independence(*args, few)),
        ]
        if learner.incremental:
            checks.append(("updates", lambda: check_behaviour.updates(*args, two)))
        if learner.probabilistic:
            checks.append(("predictive mean", lambda: check_learner.predictive_mean(*args, few, score)))
        checks += [
            ("label permutation", lambda: check_learner.label_permutation(*args, drawn, score, seed)),
            ("label order", lambda: check_data.label_order(sampler)),
            ("tasks repeat", lambda: check_episodes.repeatable(sampler, drawn)),
            ("score", lambda: check_episodes.score_of_rows(score, drawn)),
        ]
        if isinstance(sampler, RatingSampler):
            checks.append(("ratings apart", lambda: check_ratings.known_apart(sampler)))
        if score.of_classes:
            checks += [
                ("query classes", lambda: check_episodes.answerable(drawn)),
                ("query order", lambda: check_episodes.query_order(drawn)),
                ("labels in inputs", lambda: check_episodes.told_labels(drawn, score.common_classes)),
                ("class tags", lambda: check_episodes.tags(drawn)),
            ]
        checks += [
            ("support and query disjoint", lambda: check_data.disjoint_episodes(drawn)),
            ("support and query apart", lambda: check_near.near_support(sampler, drawn)),
        ]
    if "returns" in learner.targets:
        checks = [check for check in checks if check[0] not in _OF_ROWS]
    if splits is not None:
        pools = _pools(splits)
        data |= {split: pool.digest for split, pool in pools.items()}
        checks += [
            ("split overlap", lambda: check_data.class_overlap(pools)),
            ("duplicate images", lambda: check_data.duplicate_images(pools)),
            ("near-duplicates", lambda: check_near.near_duplicates(pools)),
        ]
    rows = tuple(row for name, check in checks for row in _run(name, check))
    return Audit(type(learner).__name__, rows, time.perf_counter() - start, data)


def _of_loss(
    learner: Learner, params: Params, two: Episode, few: Episode, seed: int, plans: Sequence[str]
) -> Iterator[Check]:
    """Checks of the gradient of the loss, by every plan."""
    if not check_behaviour.trained_so(learner):
        try:
            learner.loss(params, tree.slice(two, 0))
        except RuntimeError:  # batches of all classes, of which a task has other numbers
            yield Check(
                "meta-gradient", None, None, "it is trained on something else than tasks, which has no loss here"
            )
            return
    yield from _run("meta-gradient", lambda: check_learner.meta_gradient_check(learner, params, two, seed))
    yield from _run("plan", lambda: plan_checks(learner, params, two, few, plans))


def _run(name: str, check: Callable[[], Check | Iterable[Check]]) -> list[Check]:
    """A check, failed where the learner or its network is refused: that is a finding, not an error of the audit."""
    try:
        result = check()
        return [result] if isinstance(result, Check) else list(result)
    except (InputError, RuntimeError) as error:
        return [Check(name, False, None, reason(error))]


def _pools(splits: Splits | Mapping[str, Pool]) -> Mapping[str, Pool]:
    pools = splits.pools() if isinstance(splits, Splits) else splits
    if len(pools) < 2:
        raise InputError(f"splits need at least two pools to compare, got {', '.join(pools) or 'none'}")
    return pools
