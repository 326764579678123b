"""Trials that fall behind are stopped early: what each pruner is, and the watcher that asks it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from innerloop.core.complaints import complain
from innerloop.core.errors import InputError
from innerloop.engine import Stop, TrainConfig, Watcher
from innerloop.studies.storage import failures, library, quiet

Pruner = Literal["wilcoxon", "median", "hyperband", "none"]
ROUNDS = 10
"""Validations that a trial has unless somebody says how often; and parts of a budget in processor time."""
_SCORES = "scores"
_WORSE = 0.1
"""Probability of a difference as large by chance below which a trial is worse than the best."""
_STARTUP = 4
"""Trials before the median of others counts."""


def pruner_of(name: Pruner, config: TrainConfig) -> Any:
    """A pruner of Optuna.

    Args:
        name: wilcoxon: worse than the best trial on the same validation tasks at the same point of its training, by a
            signed-rank test. median: worse than half of the trials at that point. hyperband: not among the best third
            where a third (a ninth, ...) of the budget is spent. none: every trial runs to its end.
        config: Of the trials.

    Raises:
        InputError: There is no such pruner.
    """
    optuna = library()
    if name not in get_args(Pruner):
        raise InputError(f"there is no pruner '{name}': use {', '.join(get_args(Pruner))}")
    with quiet():
        if name == "wilcoxon":
            return _against_the_best()
        if name == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=0)
        if name == "hyperband":
            most = ROUNDS if config.cpu_minutes is not None else max(1, config.steps)
            return optuna.pruners.HyperbandPruner(min_resource=max(1, most // 9), max_resource=most, reduction_factor=3)
        return optuna.pruners.NopPruner()


def _against_the_best() -> Any:
    """Optuna's `WilcoxonPruner`, given the scores of tasks at one point of training, of this trial and the best one."""
    optuna = library()

    class AgainstTheBest(optuna.pruners.WilcoxonPruner):
        def prune(self, study: Any, trial: Any) -> bool:
            try:
                best = study.best_trial
            except ValueError:  # none is complete
                return False
            key = f"{_SCORES} {trial.last_step}"
            ours, theirs = trial.user_attrs.get(key), best.user_attrs.get(key)
            if not ours or not theirs or len(ours) != len(theirs):
                return False
            # A study of this one moment: the pruner pairs values by their step, which is the number of the task here.
            moment = optuna.create_study(direction=study.direction)
            create = optuna.trial.create_trial
            moment.add_trial(create(value=sum(theirs) / len(theirs), intermediate_values=dict(enumerate(theirs))))
            state = optuna.trial.TrialState.RUNNING
            with quiet():
                return super().prune(moment, create(state=state, intermediate_values=dict(enumerate(ours))))

    return AgainstTheBest(p_threshold=_WORSE)


class Reporter(Watcher):
    """Tells the study of every validation, and stops what its pruner would not go on with.

    Args:
        trial: Of Optuna.
        config: Of the training.
        prune: Whether it may be stopped; the defaults are not, with which winners are compared.
    """

    def __init__(self, trial: Any, config: TrainConfig, prune: bool = True):
        self.trial, self.config, self.prune = trial, config, prune
        self.cpu_seconds = 0.0
        """Processor time of the training up to its last validation, with that of earlier attempts at it."""
        self.pruned = False
        self.latest: float | None = None
        """The last validation score."""
        self._totals: Sequence[float] = ()
        self._away = False
        self._reported: set[int] = set()

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        with quiet():
            self._reported = set(self.trial.storage.get_trial(self.trial._trial_id).intermediate_values)

    def scored(self, number: int, totals: list[float]) -> None:
        self._totals = totals

    def validated(self, number: int, scores: dict[str, Any]) -> None:
        self.latest, self.cpu_seconds = scores["mean"], scores["cpu_seconds"]
        at = self._at(number)
        if scores["mean"] != scores["mean"]:  # NaN, which the end of the trial says
            raise Stop("the validation score is not a number")
        try:
            with quiet():
                if at not in self._reported:  # of two in one part of the budget the first counts
                    self._reported.add(at)
                    self.trial.set_user_attr(f"{_SCORES} {at}", [float(f"{one:.5g}") for one in self._totals])
                    self.trial.report(scores["mean"], at)
                self.pruned = self.prune and self.trial.should_prune()
        except failures() as error:
            # It trains on without being pruned: what became of it is stored once the storage is back.
            if not self._away:
                complain(f"the study does not hear of this trial for now ({error})")
            self._away = True
            return
        if self.pruned:
            raise Stop(f"pruned after {number} steps")

    def _at(self, number: int) -> int:
        """The point of training that trials are compared at: steps, or tenths of a budget in processor time."""
        if self.config.cpu_minutes is None:
            return number
        return int(ROUNDS * self.config.done(number, self.cpu_seconds))
