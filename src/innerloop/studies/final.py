"""What a study comes to: its winner beside the defaults, trained again with other seeds, and meta-tested once."""

import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.scores import Score
from innerloop.evaluate.result import finite, spell
from innerloop.problems.base import Problem
from innerloop.runs.compare import CompareOptions, compare_runs
from innerloop.runs.measure import MetaTestOptions, prepare
from innerloop.runs.seeds import train_seeds
from innerloop.studies.attempt import short
from innerloop.studies.claims import FOLDER, HOST, REASON
from innerloop.studies.space import applied
from innerloop.studies.storage import patient
from innerloop.studies.study import FINAL, Study

WINNER = "winner"
"""Folder, in a study's, of the runs of the winner."""
_FRESH = 1977
"""Seed of the validation tasks that the winner and the defaults are compared on: those of trials have others."""
_EPISODES = 600


class Row(NamedTuple):
    """A trial."""

    number: int
    state: str
    """COMPLETE, PRUNED or FAIL."""
    value: float | None
    """Validation score: of a pruned trial the last one."""
    values: Mapping[str, Any]
    """What was searched."""
    steps: int | None
    cpu_seconds: float | None
    reason: str | None
    run: str
    """Folder of the run."""

    @property
    def complete(self) -> bool:
        """Whether it was neither pruned nor failed."""
        return self.state == "COMPLETE"


class Final(NamedTuple):
    """What a study came to."""

    study: Study
    rows: tuple[Row, ...]
    """Trials, by number."""
    winner: Row
    against: Mapping[str, Any] | None
    """Winner less defaults on fresh validation tasks; None: the defaults won, or their runs are elsewhere."""
    test: Mapping[str, Any] | None
    """The meta-test of the winner, and when it was; None: not yet."""

    @property
    def usual(self) -> Row:
        """The trial of the defaults."""
        return self.rows[0]

    @property
    def better(self) -> bool:
        """Whether the winner is better than the defaults beyond the interval."""
        if self.against is None:
            return False
        gain = self.against["mean"] * (1 if self.study.options.task.score.higher_is_better else -1)
        return self.against["ci95"] is not None and gain > self.against["ci95"]

    @property
    def verdict(self) -> str:
        """Whether tuning paid, in a sentence."""
        score = self.study.options.task.score
        if self.winner.number == self.usual.number:
            return "no trial was better than the defaults: keep them"
        if self.against is None:
            return "the winner was not compared with the defaults on fresh tasks"
        gap = spell(self.against["mean"], self.against["ci95"] or float("nan"), score, True)
        where = f"{gap} on {self.against['episodes']} fresh validation tasks, one training each, paired"
        return f"better than the defaults: {where}" if self.better else f"the defaults are as good: {where}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "trials": [row._asdict() | {"values": dict(row.values)} for row in self.rows],
            "winner": self.winner.number,
            "values": dict(self.winner.values),
            "against_defaults": self.against and dict(self.against),
            "verdict": self.verdict,
            "test": self.test and dict(self.test),
        }

    def __str__(self) -> str:
        counts = {state: sum(row.state == state for row in self.rows) for state in ("COMPLETE", "PRUNED", "FAIL")}
        score, values = self.study.score, ", ".join(f"{k}={short(v)}" for k, v in self.winner.values.items())
        ended = f"{counts['COMPLETE']} complete, {counts['PRUNED']} pruned, {counts['FAIL']} failed"
        ours, usual = (number(row.value, score) for row in (self.winner, self.usual))
        lines = [
            f"{len(self.rows)} trials: {ended}",
            f"winner: trial {self.winner.number}, validation {score.title} {ours} (the best of {len(self.rows)}, so "
            f"flattering); the defaults {usual}",
            f"values: {values or 'as usual'}",
            self.verdict,
        ]
        if self.test is None:
            return "\n".join([*lines, "meta-test: not yet; ask again with --seeds 5"])
        return "\n".join([*lines, f"meta-test, once, {self.test['tested']}: {self.test['words']}"])


def finish(study: Study, context: Context = Context(), progress: Callable[[str], None] = lambda _: None) -> Final:
    """Compare the winner with the defaults, train it again with every seed, and meta-test those runs.

    Args:
        study: Whose trials are over.
        context: As of `build`.
        progress: Called with what is being done.

    Raises:
        InputError: Another process does this, or the tasks cannot be tested.
        FailedError: All seeds failed.
    """
    rows = rows_of(study)
    complete = [
        (study.score.better(row.value), -row.number, row) for row in rows if row.complete and row.value is not None
    ]
    winner = max(complete)[-1]
    against = _against(study, winner, rows[0], context)
    done = final_of(study)
    if done is None and study.settings.seeds:
        done = _tested(study, winner, context, progress)
    return Final(study, rows, winner, against, done)


def final_of(study: Study) -> dict[str, Any] | None:
    """The meta-test of a study that had one."""
    kept = patient(lambda: study.study.user_attrs.get(FINAL), study.url, "ask again when it is back")
    return kept if kept and "tested" in kept else None


def rows_of(study: Study) -> tuple[Row, ...]:
    """The trials that are over, by number; with the values and costs that the storage keeps."""
    return tuple(_row(slot, one) for slot, one in study.board.chosen().items() if one.state.is_finished())


def _row(slot: int, one: Any) -> Row:
    kept = one.user_attrs
    return Row(
        number=slot,
        state=one.state.name,
        value=one.value if one.value is not None else None,
        values=kept.get("values") or dict(one.params),
        steps=kept.get("steps"),
        cpu_seconds=kept.get("cpu_seconds"),
        reason=kept.get(REASON),
        run=kept.get(FOLDER, ""),
    )


def _against(study: Study, winner: Row, usual: Row, context: Context) -> dict[str, Any] | None:
    """Winner less defaults, on validation tasks that no trial was chosen by."""
    own = type(study.options.task).measure is not Problem.measure
    here = all(files.is_folder(Path(row.run)) for row in (winner, usual))
    if winner.number == usual.number or own or not here or not usual.complete:
        return None
    options = MetaTestOptions(
        split="validation",
        episodes=_EPISODES,
        seed=_FRESH,
        baselines=False,
        curve=False,
        transductive=study.options.train.validate_transductive,
    )
    results = []
    for row in (winner, usual):
        test = prepare(row.run, options, context)[0]
        results.append(test.stored() or test.result())
    gap = study.options.task.score.difference(results[0].scores, results[1].scores)
    means = {"winner": finite(results[0].mean), "defaults": finite(results[1].mean)}
    return {"mean": gap.mean, "ci95": finite(gap.ci95), "episodes": _EPISODES} | means


def _tested(study: Study, winner: Row, context: Context, progress: Callable[[str], None]) -> dict[str, Any]:
    """Train the winner again and test it, in one process of one machine."""
    out = study.out / WINNER
    lock = study.out / f"{WINNER}.lock"
    lock.touch()
    with files.locked(lock, 0):
        done = final_of(study)
        if done is not None:
            return done
        other = study.study.user_attrs.get(FINAL)
        if other and other[HOST] != socket.gethostname():
            raise InputError(f"the winner is trained and tested on {other[HOST]} since {other['begun']}: ask there")
        begun = other["begun"] if other else _now()
        _keep(study, {"begun": begun, HOST: socket.gethostname()})
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in winner.values.items()}
        options, seeds = applied(study.options, values), range(study.settings.seeds)
        trained = train_seeds(options, seeds, out, context, lambda what: progress(f"the winner again: {what}"))
        runs = [one.run for one in trained if one.error is None]
        test = {"trial": winner.number, "trials": study.board.trials, "runs": [str(run) for run in runs]}
        test |= _measured(runs, context, progress)
        test |= {"tested": _now(), "begun": begun, HOST: socket.gethostname()}
        test |= {"failed": {one.seed: str(one.error) for one in trained if one.error is not None}}
        _keep(study, test)
        return test


def _keep(study: Study, about: Mapping[str, Any]) -> None:
    """Keep with the study what is known of its meta-test."""
    lost = f"the runs and results of the winner are in {study.out / WINNER}; the same command keeps them with the study"
    patient(lambda: study.study.set_user_attr(FINAL, dict(about)), study.url, lost)


def _measured(runs: list[Path], context: Context, progress: Callable[[str], None]) -> dict[str, Any]:
    comparison = compare_runs(runs, CompareOptions(), context, progress)
    if len(runs) == 1:
        result = comparison.rows[0].result
        return {"mean": finite(result.mean), "ci95": finite(result.ci95), "words": f"{result}, one training"}
    group = comparison.groups[0]
    _, count, mean, between, _ = group.cells
    words = f"{mean} over {count} seeds, between seeds {between}; {comparison.rows[0].result.conditions}"
    return {k: v for k, v in group.to_json().items() if k in ("mean", "ci95", "spread", "lowest", "highest")} | {
        "words": words
    }


def number(value: float | None, score: Score) -> str:
    """A validation score as tables print it."""
    return "–" if value is None else f"{score.factor * value:.4g}{'%' * score.percent}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
