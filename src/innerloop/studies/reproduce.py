"""Numbers of papers, made again: every row and seed is a run of its own, trained and tested once, whoever is killed."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import FailedError, InputError
from innerloop.core.ranges import Checked, Count, Natural, Positive
from innerloop.engine import distributed
from innerloop.engine.checkpoint import read_state
from innerloop.engine.remembered import machine
from innerloop.runs.measure import prepare
from innerloop.runs.paper import Budget, Row
from innerloop.runs.papers import rows
from innerloop.studies.workers import claimed, in_processes, tell, wanted

MARK = "suite.json"
"""In the folder of a suite: what its runs have in common."""
OUTCOME = "reproduced.json"
"""In the folder of a run: what it cost and where its results are, written once it was tested."""
MOST_TASKS = 400
"""Tasks of a test under the budget `cpu-hour` unless somebody says how many."""
_WAIT = 0.5


@dataclass(frozen=True, kw_only=True)
class SuiteOptions(Checked):
    """How much of a suite is made, and how."""

    budget: Budget = "cpu-hour"
    """cpu-hour: small trainings of two processor minutes. paper: the papers' own sizes, which want a GPU, and days."""
    rows: tuple[str, ...] = ()
    """Rows by name, or methods with all of their rows; none: all."""
    seeds: tuple[Natural, ...] = (0, 1, 2)
    """Seeds of the trainings of each row."""
    workers: Count = 1
    """Processes that train, each on its share of the cores."""
    minutes: Positive | None = None
    """Processor minutes of a training; None: as the budget has it."""
    episodes: Count | None = None
    """Tasks of a test at most; None: 400 for cpu-hour, else as many as the paper had."""

    @property
    def most(self) -> int | None:
        """Tasks of a test at most."""
        return MOST_TASKS if self.episodes is None and self.budget == "cpu-hour" else self.episodes

    @property
    def common(self) -> dict[str, Any]:
        """What all runs of a folder share."""
        return {"budget": self.budget, "minutes": self.minutes, "episodes": self.most}


class Job(NamedTuple):
    """A training."""

    row: Row
    seed: int
    folder: Path

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What became of it; None: it is not over."""
        try:
            outcome = json.loads((self.folder / OUTCOME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return outcome if isinstance(outcome, dict) and isinstance(outcome.get("tests"), dict) else None


def jobs(suite: str, options: SuiteOptions, out: str | Path) -> list[Job]:
    """All trainings, the first seed of every row first.

    Raises:
        InputError: There is no such suite or row, or a seed is asked for twice.
    """
    seeds = options.seeds
    twice = [seed for i, seed in enumerate(seeds) if seed in seeds[:i]]
    if twice or not seeds:
        wrong = f"seed {twice[0]} is given twice" if twice else "no seed is given"
        raise InputError(f"{wrong}: every training needs a seed of its own, such as --seeds 0 1 2")
    chosen = rows(suite, options.rows)
    return [Job(row, seed, Path(out) / row.name / f"seed-{seed}") for seed in seeds for row in chosen]


def reproduce(
    suite: str,
    options: SuiteOptions,
    out: str | Path,
    context: Context = Context(),
    progress: Callable[[str], None] = lambda _: None,
) -> list[Job]:
    """Train and test what a suite lacks; asked again, it goes on.

    Args:
        suite: A data set, one of `runs.papers.suites()`.
        options: Which rows, and how large.
        out: Folder of the runs.
        context: As of `build`.
        progress: Called with what became of each training of this process.

    Returns:
        All trainings that were asked for.

    Raises:
        InputError: Something impossible was asked for, the data are not there, or the folder holds another suite.
        FailedError: A run cannot be built or tested.
        Interrupted: Somebody asked to stop; trainings were saved.
    """
    if distributed.join().size > 1:
        raise InputError("a suite has workers of its own: start without torchrun, with --workers")
    if options.workers > 1 and os.name == "nt":
        raise InputError("workers keep out of each other's way by locks that Windows lacks: leave out --workers")
    every = jobs(suite, options, out)
    there = known(suite, options, Path(out))
    if any(job.outcome is None for job in every):
        # Data that are not there are told before processes begin, and before anything is written.
        every[0].row.run(options.budget, options.seeds[0], options.minutes, context)
        if not there:
            files.writable(Path(out))
            files.write(Path(out) / MARK, json.dumps({"suite": suite} | options.common, indent=2) + "\n")
        if options.workers > 1:
            in_processes(options.workers, _worker, suite, options, Path(out), context)
        work(every, options, context, progress)
    return every


def work(every: Sequence[Job], options: SuiteOptions, context: Context, progress: Callable[[str], None]) -> None:
    """Take trainings that nobody has, until all are over; errors as of `reproduce`."""

    def take(job: Job) -> bool:
        with claimed(job.folder) as mine:
            if not mine or job.outcome is not None or not wanted():
                return False
            outcome = attempt(job, options, context)
        done = sum(other.outcome is not None for other in every)
        progress(f"{done} of {len(every)}: {job.row.name}, seed {job.seed}: {_line(outcome)}")
        return True

    while wanted():
        left = [job for job in every if job.outcome is None]
        if not left:
            return
        if not sum(take(job) for job in left):
            time.sleep(_WAIT)  # others have them, who may die


def _worker(suite: str, options: SuiteOptions, out: Path, context: Context) -> None:
    """Trainings in a process of its own; those of one that was killed are taken by others."""
    work(jobs(suite, options, out), options, context, tell)


def attempt(job: Job, options: SuiteOptions, context: Context) -> dict[str, Any]:
    """Train and test, or go on with it; what became of it is written into its folder."""
    tests: dict[str, str] = {}
    said: dict[str, str] = {}
    reason, begun, trained = None, time.process_time(), None
    try:
        job.row.run(options.budget, job.seed, options.minutes, context).meta_train(job.folder)
        trained = time.process_time()
        for name, test in job.row.tests(options.most).items():
            (measurement,) = prepare(job.folder, test, context)
            result = measurement.stored() or measurement.result()
            tests[name], said[name] = measurement.file.name, result.number
    except FailedError as error:  # one that diverges is a number that was not reproduced, and no end of the suite
        reason = str(error)
    state, over = read_state(job.folder) or {}, time.process_time()
    seconds = state.get("cpu_seconds", 0.0)
    if trained is None:  # what failed since the last checkpoint was spent, too, and no test was
        seconds, trained = max(seconds, over - begun), over
    outcome = {
        "row": job.row.name,
        "seed": job.seed,
        "date": str(date.today()),
        "steps": state.get("step", 0),
        "cpu_seconds": round(seconds, 1),
        "test_cpu_seconds": round(over - trained, 1),
        "tests": tests,
        "said": said,
        "reason": reason,
        "machine": machine(),
    }
    files.write(job.folder / OUTCOME, json.dumps(outcome, indent=2) + "\n")
    return outcome


def _line(outcome: Mapping[str, Any]) -> str:
    if outcome["reason"]:
        return f"failed: {outcome['reason']}"
    said, minutes = outcome["said"], (outcome["cpu_seconds"] + outcome["test_cpu_seconds"]) / 60
    same = outcome["tests"]["fair"] == outcome["tests"]["paper"]
    ours = said["fair"] if same else f"{said['fair']}, as the paper measures {said['paper']}"
    return f"{ours} after {outcome['steps']} steps, {minutes:.1f} processor minutes"


def known(suite: str, options: SuiteOptions, out: Path) -> bool:
    """Whether a folder holds this suite; no: it holds none.

    Raises:
        InputError: It holds a run, or another suite or budget.
    """
    if files.is_file(out / "config.json"):
        raise InputError(f"{out} is a run by itself: choose another folder for the runs of a suite")
    before = read_mark(out)
    if before is None:
        return False
    about = {"suite": suite} | options.common
    other = [f"{k} {before.get(k)}, not {v}" for k, v in about.items() if before.get(k) != v]
    if other:
        raise InputError(
            f"{out} holds runs of another kind: their {'; their '.join(other)}. Ask for the same, or choose another "
            "folder with --out"
        )
    return True


def read_mark(out: str | Path) -> dict[str, Any] | None:
    """What the runs of a folder have in common; None: it holds no suite.

    Raises:
        InputError: It is damaged.
    """
    path = Path(out) / MARK
    if not files.is_file(path):
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{path} is damaged: remove it, and the same command writes it again")
    return about
