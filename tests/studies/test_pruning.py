"""Which trials are stopped, and that a pruned one is kept as such."""

import math
from typing import Any

import pytest

from innerloop.core.errors import InputError
from innerloop.engine import Stop, TrainConfig
from innerloop.studies.pruning import Reporter, pruner_of
from innerloop.studies.storage import library, quiet

optuna = pytest.importorskip("optuna")
CONFIG = TrainConfig(steps=10, validate_every=1)


def study(pruner: str, direction: str = "minimize", config: TrainConfig = CONFIG) -> Any:
    library()
    return optuna.create_study(direction=direction, pruner=pruner_of(pruner, config))  # pyright: ignore


def trained(one: Any, curve: list[list[float]], config: TrainConfig = CONFIG) -> int | None:
    """The step that a trial with these scores of tasks was stopped at; None: it came to its end."""
    trial = one.ask()
    reporter = Reporter(trial, config)
    reporter.started(None, config, {})
    for step, totals in enumerate(curve, 1):
        reporter.scored(step, totals)
        try:
            reporter.validated(step, {"mean": sum(totals) / len(totals), "cpu_seconds": 0.0})
        except Stop:
            one.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return step
    one.tell(trial, sum(curve[-1]) / len(curve[-1]))
    return None


def tasks(level: float) -> list[float]:
    return [level + 0.1 * math.sin(i) for i in range(20)]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_wilcoxon_stops_what_is_worse_at_the_same_point_and_nothing_else(direction):
    one, sign = study("wilcoxon", direction), 1 if direction == "minimize" else -1
    best = [tasks(sign * level) for level in (3, 2, 1)]
    assert trained(one, best) is None
    # Worse than the best one's end all along, and not worse than it was at the same point.
    assert trained(one, [tasks(sign * level) for level in (3, 2, 0.9)]) is None
    assert trained(one, [tasks(sign * level) for level in (3, 2.2, 0.5)]) == 2
    assert [t.state.name for t in one.get_trials()] == ["COMPLETE", "COMPLETE", "PRUNED"]


def test_wilcoxon_pairs_tasks():
    one = study("wilcoxon")
    hard = [1000.0 * i for i in range(20)]
    trained(one, [hard])
    assert trained(one, [[value + 0.5 for value in hard]]) == 1, "each a little worse, on tasks that differ by far more"
    assert trained(one, [[value + 0.5 * (-1) ** i for i, value in enumerate(hard)]]) is None


def test_median_and_hyperband_stop_what_lags():
    one = study("median")
    for _ in range(4):
        assert trained(one, [tasks(1), tasks(1)]) is None
    assert trained(one, [tasks(2), tasks(2)]) == 1
    one = study("hyperband")
    stopped = [trained(one, [tasks(k) for _ in range(10)]) for k in range(1, 13)]
    assert stopped[0] is None and any(stopped)
    assert trained(study("none"), [tasks(9)] * 3) is None
    with pytest.raises(InputError, match="there is no pruner 'halving'"):
        pruner_of("halving", CONFIG)  # pyright: ignore[reportArgumentType]


def test_the_defaults_are_never_stopped():
    one = study("wilcoxon")
    trained(one, [tasks(1)])
    reporter = Reporter(one.ask(), CONFIG, prune=False)
    reporter.started(None, CONFIG, {})
    reporter.scored(1, tasks(9))
    reporter.validated(1, {"mean": 9.0, "cpu_seconds": 0.0})
    assert not reporter.pruned and reporter.latest == 9.0


def test_of_a_budget_in_processor_time_tenths_are_compared():
    config = TrainConfig(steps=1000, cpu_minutes=1.0, validate_every=1)
    one = study("none", config=config)
    trial = one.ask()
    reporter = Reporter(trial, config)
    reporter._reported = set()
    for step, seconds in ((1, 7.0), (2, 8.0), (3, 31.0)):
        reporter.scored(step, [float(step)])
        reporter.validated(step, {"mean": float(step), "cpu_seconds": seconds})
    assert reporter.cpu_seconds == 31.0
    with quiet():
        assert one.get_trials()[0].intermediate_values == {1: 1.0, 5: 3.0}, "the first of each tenth"


def test_a_score_that_is_not_a_number_ends_a_trial():
    trial = study("none").ask()
    with pytest.raises(Stop, match="not a number"):
        Reporter(trial, CONFIG).validated(1, {"mean": math.nan, "cpu_seconds": 0.0})


def test_a_storage_that_is_away_does_not_stop_a_training(capsys, monkeypatch):
    reporter = Reporter(study("none").ask(), CONFIG)

    def gone(*_: Any) -> None:
        raise optuna.exceptions.StorageInternalError("connection refused")

    monkeypatch.setattr(reporter.trial, "report", gone)
    for step in (1, 2):
        reporter.scored(step, [1.0])
        reporter.validated(step, {"mean": 1.0, "cpu_seconds": 0.0})
    assert capsys.readouterr().err.count("does not hear") == 1
