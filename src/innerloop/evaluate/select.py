"""One hyper-parameter, chosen where choosing is allowed: on meta-validation tasks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.learner import Learner
from innerloop.core.scores import Score, refuse_tests
from innerloop.core.types import Params, Sampler
from innerloop.evaluate.meta_test import meta_test
from innerloop.evaluate.result import spell


class Selection(NamedTuple):
    """What was chosen, and from what."""

    field: str
    value: Any
    scores: tuple[tuple[Any, Interval], ...]
    """Every value with its mean score and interval over the same tasks."""
    score: Score
    episodes: int
    normalisation: str

    def __str__(self) -> str:
        others = ", ".join(f"{value}: {spell(*total, self.score)}" for value, total in self.scores)
        tasks = f"{self.episodes} meta-validation tasks, {self.normalisation}"
        return f"{self.field} = {self.value}, chosen on {tasks} ({others})"


def select(
    learner: Learner, params: Params, sampler: Sampler, field: str, values: Sequence[Any], episodes: int = 200
) -> Selection:
    """The value of a learner's field with the best mean score, every value on the same tasks; of equals the first.

    Args:
        learner: Whose field is varied.
        params: Its meta-parameters, the same for all values.
        sampler: Of meta-validation tasks.
        field: Such as `inner_steps`.
        values: To choose from.
        episodes: How many tasks.

    Raises:
        InputError: No values, or tasks of the test classes.
    """
    if not values:
        raise InputError(f"there is nothing to choose {field} from: give values")
    refuse_tests(sampler, f"{field} must not be chosen")
    tried = [
        meta_test(replace(learner, **{field: v}), params, sampler, episodes, curve=False, quiet=True) for v in values
    ]
    score = tried[0].protocol.score
    best = max(range(len(values)), key=lambda i: (score.better(tried[i].mean), -i))
    scores = tuple((v, Interval(result.mean, result.ci95)) for v, result in zip(values, tried, strict=True))
    return Selection(field, values[best], scores, score, episodes, tried[best].protocol.normalisation)
