"""A study: trials of one learner, by one process or several, until there are as many as were asked for."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from innerloop.core import files, random
from innerloop.core.complaints import complain
from innerloop.core.context import Context
from innerloop.core.errors import FailedError, InputError
from innerloop.core.scores import SCORES, Score
from innerloop.engine import distributed
from innerloop.runs.build import build
from innerloop.runs.options import Options
from innerloop.studies.attempt import attempt, short
from innerloop.studies.claims import REASON, Board
from innerloop.studies.pruning import ROUNDS, pruner_of
from innerloop.studies.settings import StudyOptions
from innerloop.studies.space import Function, Space, identity, space_of
from innerloop.studies.storage import late, library, open_storage, open_study, patient, quiet, shown, url_of
from innerloop.studies.workers import in_processes, tell, wanted

MARK = "study.json"
"""In the folder of a study: what it is of, and where its trials are kept."""
FINAL = "final"
"""Attribute of a study: when its winner was meta-tested, and what that gave."""
_TRIALS = "trials"
"""Attribute of a study: how many trials there are to be."""
_STARTUP = 6
"""Trials that are drawn at random, the defaults among them, before what was learned of them is used."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that is open in this process."""

    options: Options
    settings: StudyOptions
    space: Space
    out: Path
    url: str
    board: Board
    study: Any
    """A study of Optuna."""

    @property
    def score(self) -> Score:
        """What trials are chosen by."""
        return score_of(self.options)


def tune(
    options: Options,
    settings: StudyOptions,
    out: str | Path,
    context: Context = Context(),
    space: Function | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Study:
    """Train trials until the study has as many as were asked for; asked again, it goes on.

    Args:
        options: Of the run that is tuned; its steps, or its processor minutes, are the budget of every trial.
        settings: Of the study.
        out: Its folder.
        context: As of `build`.
        space: A function in place of `settings.space`; with several workers one at the top of a module.
        progress: Called with what became of each trial of this process.

    Raises:
        InputError: Something impossible was asked for, or the storage holds another study.
        FailedError: All trials failed, or the storage went away.
    """
    if distributed.join().size > 1:
        raise InputError("a study has workers of its own: start without torchrun, with --workers")
    if not files.is_file(Path(out) / MARK):  # what its first trial would refuse, before there is a folder of it
        build(validated(options), context, sealed=True)
    study = open_(options, settings, out, context, space)
    if study.space.warning is not None:
        complain(study.space.warning)
    if settings.workers > 1:
        in_processes(settings.workers, _worker, study.options, settings, study.out, context, space)
    work(study, context, progress)
    _refuse_failed(study)
    return study


def open_(
    options: Options,
    settings: StudyOptions,
    out: str | Path,
    context: Context = Context(),
    space: Function | None = None,
) -> Study:
    """Open a study, or make it; arguments and errors as of `tune`."""
    out, options = Path(out), validated(options)
    library()
    searched = space_of(options, space or settings.space, context.allow)
    if files.is_file(out / "config.json"):
        raise InputError(f"{out} is a run by itself: choose another folder for the study")
    url, name = url_of(settings.storage, out), settings.name or out.resolve().name
    files.writable(out)
    about, direction = identity(options, searched), "maximize" if score_of(options).higher_is_better else "minimize"
    lock = out / "study.lock"
    lock.touch()
    # Tables are made once: two processes that begin together would both make them.
    with files.locked(lock):
        storage = open_storage(url)
        study = open_study(storage, url, name, direction, about)
        trials = _as_many(study, settings.trials, out)
        if not files.is_file(out / MARK):
            content = {"name": name, "storage": shown(url)} | about
            files.write(out / MARK, json.dumps(content, indent=2, default=list) + "\n")
    study.pruner = pruner_of(settings.pruner, options.train)
    board = Board(study, storage, trials, out, searched.fixed())
    return Study(options=options, settings=settings, space=searched, out=out, url=url, board=board, study=study)


def _as_many(study: Any, trials: int, out: Path) -> int:
    """How many trials there are to be: the most that anybody asked for."""
    before, final = study.user_attrs.get(_TRIALS, 0), study.user_attrs.get(FINAL)
    if trials <= before:
        return before
    if final is not None:
        raise InputError(
            f"the winner of {before} trials in {out} was meta-tested ({final.get('tested', final['begun'])}): to "
            f"choose again among {trials} would test twice. Ask for another study in another folder"
        )
    with quiet():
        study.set_user_attr(_TRIALS, trials)
    return trials


def validated(options: Options) -> Options:
    """The options with validation, ten times in a trial unless they say how often."""
    if options.train.validate_every:
        return options
    return replace(options, train=replace(options.train, validate_every=max(1, options.train.steps // ROUNDS)))


def work(study: Study, context: Context, progress: Callable[[str], None] = lambda _: None) -> None:
    """Train trials in this process until all are over; errors as of `tune`."""
    saved = "trials that are over are kept, and the same command goes on"
    while wanted():
        claim = patient(study.board.take, study.url, saved)
        if claim is None:
            return
        # Draws differ between trials, whoever makes them.
        seed = _seed(study.options.train.seed, claim.trial.number)
        with quiet():
            sampler = library().samplers.TPESampler(n_startup_trials=_STARTUP, constant_liar=True, seed=seed)
        study.study.sampler = sampler
        # Of somebody who stood still, such as a machine that slept, the trial is another one's now.
        with suppress(*late()), study.board.held(claim):
            outcome = attempt(study.board, claim, study.options, study.space, context, study.url)
            progress(line(outcome, study))


def line(outcome: dict[str, Any], study: Study) -> str:
    """What became of a trial."""
    score = study.score
    value, values = outcome.get("value"), ", ".join(f"{k} {short(v)}" for k, v in outcome["values"].items())
    words = {"COMPLETE": "", "PRUNED": f", pruned after {outcome.get('steps')} steps", "FAIL": ", failed"}
    number = "" if value is None else f" {score.factor * value:.4g}{'%' * score.percent}"
    reason = f": {outcome[REASON]}" if outcome.get(REASON) else ""
    usual = " (the defaults)" if outcome["number"] == 0 else ""
    return f"trial {outcome['number']}{usual}{number}{words[outcome['state']]}; {values or 'as usual'}{reason}"


def _seed(seed: int, number: int) -> int:
    return int(random.mix(seed, number)) % 2**31


def score_of(options: Options) -> Score:
    """What trials are chosen by: what is asked for, or what the tasks are scored by."""
    asked, usual = options.train.score, options.task.score
    if asked is None:
        return usual
    return SCORES["predictive_nll" if asked == "nll" and not usual.of_classes else asked]


def _worker(options: Options, settings: StudyOptions, out: Path, context: Context, space: Function | None) -> None:
    """Trials in a process of its own; those of one that was killed are given back."""
    work(open_(options, settings, out, context, space), context, tell)


def _refuse_failed(study: Study) -> None:
    trials = study.board.finished()
    if not any(one.state == study.board.states.COMPLETE for one in trials):
        reasons: Sequence[str] = [one.user_attrs.get(REASON, "") for one in trials]
        reason = next(filter(None, reasons), "all of them were pruned")
        raise FailedError(f"none of {len(trials)} trials came to its end, the first because: {reason}")
