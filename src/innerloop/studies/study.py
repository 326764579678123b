"""A study: trials of one learner, by one process or several, until there are as many as were asked for."""

import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from innerloop.core import files, random, threads
from innerloop.core.context import Context
from innerloop.core.errors import FailedError, InputError
from innerloop.engine import distributed
from innerloop.runs.options import Options
from innerloop.studies.attempt import attempt
from innerloop.studies.claims import REASON, Board
from innerloop.studies.pruning import ROUNDS, pruner_of
from innerloop.studies.settings import StudyOptions
from innerloop.studies.space import Function, Space, identity, space_of
from innerloop.studies.storage import library, open_storage, open_study, patient, quiet, shown, url_of

MARK = "study.json"
"""In the folder of a study: what it is of, and where its trials are kept."""
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
    """Of Optuna."""

    @property
    def better(self) -> str:
        """Minimize or maximize."""
        return _direction(self.options)


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
    study = open_(options, settings, out, context, space)
    if settings.workers > 1:
        _several(study, context, space)
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
    files.writable(out)
    url, name = url_of(settings.storage, out), settings.name or out.resolve().name
    about = identity(options, searched)
    mark = out / MARK
    if not files.is_file(mark):
        files.write(mark, json.dumps({"name": name, "storage": shown(url)} | about, indent=2, default=list) + "\n")
    # Tables are made once: two processes that begin together would both make them.
    with files.locked(mark):
        storage = open_storage(url)
        study = open_study(storage, url, name, _direction(options), about)
    study.pruner = pruner_of(settings.pruner, options.train)
    board = Board(study, storage, settings.trials, out, searched.fixed())
    return Study(options=options, settings=settings, space=searched, out=out, url=url, board=board, study=study)


def validated(options: Options) -> Options:
    """The options with validation, ten times in a trial unless they say how often."""
    if options.train.validate_every:
        return options
    return replace(options, train=replace(options.train, validate_every=max(1, options.train.steps // ROUNDS)))


def work(study: Study, context: Context, progress: Callable[[str], None] = lambda _: None) -> None:
    """Train trials in this process until all are over; errors as of `tune`."""
    parent = multiprocessing.parent_process()
    saved = "trials that are over are kept, and the same command goes on"
    while parent is None or parent.is_alive():
        claim = patient(study.board.take, study.url, saved)
        if claim is None:
            return
        # Draws differ between trials, whoever makes them.
        seed = _seed(study.options.train.seed, claim.trial.number)
        with quiet():
            sampler = library().samplers.TPESampler(n_startup_trials=_STARTUP, constant_liar=True, seed=seed)
        study.study.sampler = sampler
        with study.board.held(claim):
            outcome = attempt(study.board, claim, study.options, study.space, context, study.url)
        progress(line(outcome, study))


def line(outcome: dict[str, Any], study: Study) -> str:
    """What became of a trial."""
    score = study.options.task.score
    value, values = outcome.get("value"), ", ".join(f"{k} {_short(v)}" for k, v in outcome["values"].items())
    words = {"COMPLETE": "", "PRUNED": f", pruned after {outcome.get('steps')} steps", "FAIL": ", failed"}
    number = "" if value is None else f" {score.factor * value:.4g}{'%' * score.percent}"
    reason = f": {outcome[REASON]}" if outcome.get(REASON) else ""
    usual = " (the defaults)" if outcome["number"] == 0 else ""
    return f"trial {outcome['number']}{usual}{number}{words[outcome['state']]}; {values or 'as usual'}{reason}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _seed(seed: int, number: int) -> int:
    return int(random.mix(seed, number)) % 2**31


def _direction(options: Options) -> str:
    asked = options.train.score
    better = options.task.score.higher_is_better if asked is None else asked == "accuracy"
    return "maximize" if better else "minimize"


def _several(study: Study, context: Context, space: Function | None) -> None:
    """Trials in processes of their own, which end when this one does."""
    workers, spawn = study.settings.workers, multiprocessing.get_context("spawn")
    arguments = (study.options, study.settings, study.out, context, space, max(1, threads.cores() // workers))
    processes = [spawn.Process(target=_worker, args=arguments, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            with suppress(OSError, ValueError):
                process.terminate()  # by a signal that has trials saved and given back
        for process in processes:
            process.join()
    # Whoever was killed left trials to this process; one that says no stops all.
    codes = [process.exitcode for process in processes]
    if any(code == InputError.code for code in codes):
        raise InputError("a worker could not go on: its message is above")
    if any(code == 130 for code in codes):
        raise KeyboardInterrupt


def _worker(
    options: Options, settings: StudyOptions, out: Path, context: Context, space: Function | None, cores: int
) -> None:
    if cores == 1:
        threads.stay_on_one_core()
    else:
        torch.set_num_threads(cores)
    try:
        work(
            open_(options, settings, out, context, space),
            context,
            lambda text: print(f"innerloop: {text}", file=sys.stderr),
        )
    except (InputError, FailedError) as error:
        print(f"innerloop: {error}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse_failed(study: Study) -> None:
    trials = study.board.finished()
    if not any(one.state == study.board.states.COMPLETE for one in trials):
        reasons: Sequence[str] = [one.user_attrs.get(REASON, "") for one in trials]
        reason = next(filter(None, reasons), "all of them were pruned")
        raise FailedError(f"none of {len(trials)} trials came to its end, the first because: {reason}")
