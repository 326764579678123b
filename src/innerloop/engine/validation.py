"""Meta-validation: a learner's score on tasks that it is not trained on, measured as its meta-test will be."""

from dataclasses import replace
from typing import Any, Literal, NamedTuple

from innerloop.core import fits, scores
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.learner import Learner
from innerloop.core.scores import Score
from innerloop.core.types import Params, Sampler
from innerloop.engine.config import TrainConfig
from innerloop.engine.distributed import World
from innerloop.engine.step import validation_scores

Normalisation = Literal["inductive", "transductive"]


class Validation(NamedTuple):
    """Score of some parameters on meta-validation tasks."""

    score: Score
    interval: Interval
    episodes: int
    normalisation: Normalisation
    totals: tuple[float, ...] = ()
    """The score of every task, in their order."""
    cpu_seconds: float | None = None
    """Processor time of the training until then; None: of none."""

    @property
    def better(self) -> float:
        """The total with the sign that makes more better."""
        return self.score.better(self.interval.mean)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as `metrics.jsonl` and watchers have them."""
        about = {"episodes": self.episodes, "score": self.score.name, "normalisation": self.normalisation}
        time = {} if self.cpu_seconds is None else {"cpu_seconds": self.cpu_seconds}
        return self.interval._asdict() | about | time


def normalisation(transductive: bool) -> Normalisation:
    """The word of protocols for a mode."""
    return "transductive" if transductive else "inductive"


def score_of(learner: Learner, sampler: Sampler, config: TrainConfig) -> Score:
    """What validation is scored by: what the config asks for, or what the tasks name.

    Raises:
        InputError: The tasks name none, or are not scored so, or the learner has no density of values.
    """
    usual = scores.of_sampler(sampler)
    if config.score is None:
        return usual
    own = [
        score
        for score in scores.SCORES.values()
        if score.of_classes == usual.of_classes and score.common_classes <= usual.common_classes
    ]
    kinds = {score.name.removeprefix("predictive_"): score for score in own if score != scores.Value()}
    score = kinds.get(config.score)
    if score is None or usual == scores.Value():
        known = usual.name if usual == scores.Value() else ", ".join(kinds)
        raise InputError(f"score='{config.score}' is not of these tasks, which are scored by {known}: take one")
    if score.of_members and not learner.probabilistic:
        raise InputError(
            f"{type(learner).__name__} answers values without a deviation, so that they have no likelihood: leave out "
            "score='nll', or take a learner that is probabilistic"
        )
    return score


def validate(learner: Learner, params: Params, sampler: Sampler, config: TrainConfig, world: World) -> Validation:
    """Score meta-validation tasks in the mode that is reported, whatever mode the learner trains in.

    Gradient learners on pictures train with the query batch's statistics, as their papers do, and are tested with the
    support's: a checkpoint chosen by the former would be chosen by a number that nobody reports.

    Args:
        learner: As it trains.
        params: Complete, see `Learner.complete`.
        sampler: Of meta-validation tasks.
        config: How many tasks, and the mode.
        world: The processes that share them.
    """
    count, score = config.validation_episodes, score_of(learner, sampler, config)
    mine = world.share(count)
    tasks = mine or range(1)  # a process without tasks runs one that does not count: all must meet in `gather`
    episodes = fits.fitting(sampler.episodes(tasks.start, len(tasks)), params)
    reported = replace(learner, transductive=config.validate_transductive)
    values = validation_scores(reported, params, episodes, score)
    values = world.gather(values[: len(mine)], mine, count).cpu().double()
    totals = tuple(score.total(one[None]) for one in values)
    return Validation(score, score.interval(values), count, normalisation(config.validate_transductive), totals)
