"""A trained run on unseen tasks, beside the honest baselines."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from innerloop.core.config import encode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import fingerprint, read_config
from innerloop.evaluate import Comparison, Protocol, Result, compare, meta_test
from innerloop.evaluate.calibration import read_current as read_calibration
from innerloop.evaluate.meta_test import protocol
from innerloop.evaluate.result import ONE_TRAINING, Point, finite
from innerloop.evaluate.result import file as result_file
from innerloop.evaluate.seal import OPTIONS
from innerloop.problems import kind_of, of_record, tested
from innerloop.problems.base import Problem
from innerloop.problems.classes import CUT, WITHIN
from innerloop.runs.report import kept, refresh
from innerloop.tasks.scored import Scored


@dataclass(frozen=True, kw_only=True)
class MetaTestOptions:
    """Which unseen tasks, and how they are met."""

    data: str | None = None
    """As in training; None: what the run was trained on. omniglot-runs: the 20 episodes of Omniglot's one-shot test."""
    split_scheme: Annotated[str | None, CUT] = None
    """How the classes are split, where a data set has several ways; None: as in training."""
    split: Literal["test", "validation", "train"] = "test"
    """Which classes. A folder that the run was not trained on is taken whole."""
    ways: int | None = None
    """Classes of a task; None: as the run says."""
    shots: int | tuple[int, ...] | None = None
    """Labelled examples of each class; None: as the run says. Several (1 2 5 10): the score of each on the same tasks,
    what every label buys, and what ten more would."""
    queries: int | None = None
    """Scored examples of each class; None: 15."""
    unlabelled: int | None = None
    """Further examples of each class that are given without their label; None: none."""
    distractors: int | None = None
    """Further classes that unlabelled examples are given of; None: none."""
    same_group: Annotated[float | None, WITHIN] = None
    """Share of tasks whose classes are all from one group (alphabet), which is harder; None: 0."""
    episodes: int | None = None
    """How many tasks; the interval shrinks with their root. None: 600, of agents 100."""
    seed: int = 77
    """Seed of the tasks. Results can be compared for one seed only."""
    transductive: bool = False
    """Let a prediction use the other queries' batch statistics: flattering, and said in the result."""
    steps: int | None = None
    """Inner steps; None: as the run says."""
    baselines: bool = True
    """Also test pixels (nearest centroid) and the same learner without training, on the same tasks."""
    curve: bool = True
    """Also score after fewer inner steps; each such point predicts the queries once more."""


TASK = ("split_scheme", "ways", "shots", "queries", "unlabelled", "distractors", "same_group")
"""Options of a test that are the problem's; which of them apply, its kind says."""


class Tested(NamedTuple):
    """The run's result, the baselines', and the files they are in."""

    result: Result
    comparison: Comparison
    """With paired differences to the weakest honest baseline, where baselines were asked for."""
    file: Path
    report: Path | None
    by_step: str = ""
    """What a step of adaptation is called, where what every one of them brought is part of the table."""

    def __str__(self) -> str:
        """The table, what it means and where it is kept."""
        ours = (
            f"{self.result.learner}: {self.result}, {ONE_TRAINING}, {1000 * self.result.seconds_per_task:.0f} ms a task"
        )
        sure = "" if self.result.reliability is None else f"\nprobabilities: {self.result.reliability}"
        sure += "" if self.result.uncertainty is None else f"\n{self.result.uncertainty}"
        if self.by_step and self.result.curve and len(self.result.curve) > 1:
            points = ", ".join(f"{p.step}: {_plain(p)}" for p in self.result.curve)
            sure += f"\nafter {self.by_step}s: {points}"
        return f"{self.comparison}\n{ours}{sure}\n{kept('scores', self.file, self.report)}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of the episodes, which are in the files."""
        ours, rows = _without_scores(self.result), list(self.comparison.rows)
        others = [_without_scores(row.result) for row in rows if row.result is not self.result]
        # The run is the last row, the first one is the baseline that it is paired with.
        difference, against = rows[-1].difference, {}
        if difference is not None:
            against = {
                "against": rows[0].result.learner,
                "difference": {k: finite(v) for k, v in difference._asdict().items()},
            }
        against |= {"interval": f"95%, {ONE_TRAINING}"}
        places = {"file": str(self.file), "report": self.report and str(self.report)}
        return ours | against | {"baselines": others} | places


class Kept(NamedTuple):
    """What a kind of problem measured in its own way, and the files it is in."""

    measured: Any
    file: Path
    report: Path | None

    def __str__(self) -> str:
        return f"{self.measured}\n{kept('curves', self.file, self.report)}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without what is in the file alone."""
        return self.measured.to_json() | {"file": str(self.file), "report": self.report and str(self.report)}


def measure(
    run: str | Path,
    options: MetaTestOptions,
    context: Context = Context(),
) -> Tested:
    """Meta-test a run folder, keep the scores in it, and refresh its report.

    Args:
        run: The folder.
        options: Which tasks.
        context: Where data sets lie, and what the run may name.

    Raises:
        InputError: Not a run; tasks that its learner cannot take; classes that it was trained on.
    """
    test, *others = prepare(run, options, context)
    result, *baselines = [one.result() for one in (test, *others)]
    page = refresh(run, sampler=test.sampler, learner=test.learner, params=test.params, context=context)
    comparison, problem = compare(*baselines, result), tasks_of(read_config(run), options)
    if problem.beside:
        rows = zip(comparison.rows, (*others, test), strict=True)
        with_others = (row._replace(beside=tuple(one.under(n) for n in problem.beside)) for row, one in rows)
        comparison = replace(comparison, rows=tuple(with_others))
    by_step = test.learner.step_name if problem.by_step and isinstance(test.learner, Unrolled) else ""
    return Tested(result, comparison, test.file, page, by_step)


def examine(
    run: str | Path,
    options: MetaTestOptions,
    context: Context = Context(),
) -> Tested | Kept:
    """`measure`, unless the kind of problem measures in its own way: learned optimizers race against tuned ones."""
    config = read_config(run)
    problem, (learner, params) = tasks_of(config, options), load_run(run, context.allow)
    learner = _changed(learner, options)
    episodes = problem.test_episodes if options.episodes is None else options.episodes
    own = problem.measure(learner, params, options.split, episodes, options.seed, _seed(config))
    if own is None:
        return measure(run, options, context)
    return Kept(own, own.save(run), refresh(run, context=context))


class Measurement(NamedTuple):
    """A learner with tasks that it can take, and where its result is kept."""

    learner: Learner
    params: Params
    sampler: Sampler
    protocol: Protocol
    run: Path
    label: str = ""
    """Label of a baseline's file."""
    name: str | None = None
    """Name of a baseline in tables."""
    curve: bool = False
    """Also score after fewer inner steps."""
    temperature: float | None = None
    """Temperature of its calibration, where it has one."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Options that are not as usual, with which it is measured again."""

    @property
    def file(self) -> Path:
        """File of the result."""
        return result_file(self.run, self.protocol, self.label)

    def result(self) -> Result:
        """Test, and keep the scores."""
        result = meta_test(
            self.learner,
            self.params,
            self.sampler,
            self.protocol.episodes,
            name=self.name,
            curve=self.curve,
            temperature=self.temperature,
        )
        if self.temperature is not None and result.reliability is not None:
            # Temperatures are fitted on the data of training, which need not be those of this test.
            trained_on = (read_config(self.run).get("record") or {}).get("dataset")
            result = replace(result, reliability=result.reliability._replace(data=trained_on))
        # With the learner: its inner steps are not in the name of the file, and `stored` must tell them apart.
        own = fingerprint(self.params, self.learner)
        result = replace(result, fingerprint=own, options=self.options).of_run(self.run, self.label)
        result.save(self.run, self.label)
        return result

    def under(self, score: str) -> Result:
        """The same test under another score, which is not kept."""
        sampler = Scored(self.sampler, score)
        return meta_test(
            self.learner, self.params, sampler, self.protocol.episodes, name=self.name, curve=False, quiet=True
        )

    def stored(self) -> Result | None:
        """What the run folder holds of this very test: the same learner, parameters and protocol."""
        try:
            result = Result.load(self.file)
        except InputError:
            return None
        # One without a digest may have been edited: it is measured again.
        same = result.sealed and result.fingerprint == fingerprint(self.params, self.learner)
        return result if same else None


def prepare(run: str | Path, options: MetaTestOptions, context: Context = Context()) -> list[Measurement]:
    """The test of a run, then those of the baselines that were asked for; arguments and errors as of `measure`."""
    run = Path(run)
    config = read_config(run)
    learner, params = load_run(run, context.allow)
    # Before options change the learner: a calibration is of the run as it was trained.
    calibration = read_calibration(run, fingerprint(params, learner))
    calibrated, learner = replace(learner, transductive=False), _changed(learner, options)
    problem, record = tasks_of(config, options), config.get("record") or {}
    sampler = problem.unseen(record, context, options.split, options.seed)
    # Some tests are of so many tasks and no more, such as the 20 one-shot runs of Omniglot.
    episodes = problem.test_episodes if options.episodes is None else options.episodes
    episodes = min(episodes, len(sampler)) if isinstance(sampler, Sized) else episodes
    # Before any task is met: a long test must not fail at its first one.
    problem.refuse_unfit(learner, params, record, sampler)
    about = protocol(learner, sampler, episodes)
    # With other steps, or statistics of the queries, logits have another scale than those it was fitted to.
    same = encode(learner) == encode(calibrated)
    temperature = calibration.temperature if calibration is not None and same else None
    usual, typed = MetaTestOptions(), {k: getattr(options, k) for k in OPTIONS}
    typed = {k: v for k, v in typed.items() if v != getattr(usual, k)}
    tests = [Measurement(learner, params, sampler, about, run, "", None, options.curve, temperature, typed)]
    if options.baselines:
        for label, baseline, start, name in problem.baselines(learner, _seed(config), sampler):
            # Of the baseline, whose inner steps are not those of the learner.
            about = protocol(baseline, sampler, episodes)
            tests.append(Measurement(baseline, start, sampler, about, run, label, name, options=typed))
    return tests


def unseen(config: dict[str, Any], options: MetaTestOptions, context: Context = Context()) -> Sampler:
    """The tasks that a run is tested on.

    Args:
        config: The run's `config.json`.
        options: Which tasks.
        context: Where data sets lie.
    """
    return tasks_of(config, options).unseen(config.get("record") or {}, context, options.split, options.seed)


def tasks_of(config: dict[str, Any], options: MetaTestOptions) -> Problem:
    """The problem that a run is tested on; for a run that does not say what it was trained on, that of the data named.

    Raises:
        InputError: No data are known, or an option does not apply to them.
    """
    record = config.get("record") or {}
    # What is None stays as in training: only what was asked for changes the problem.
    chosen = {k: v for k in TASK if (v := getattr(options, k)) is not None}
    if isinstance(options.shots, tuple):
        several = ", ".join(map(str, options.shots))
        raise InputError(f"several numbers of shots ({several}) are of the usual `innerloop test` alone: give one")
    if record.get("task"):
        return tested(of_record(record["task"]), options.data, chosen)
    if options.data is None:
        raise InputError("this run does not say what it was trained on: give --data")
    fresh = kind_of(options.data)(data=options.data)
    return tested(fresh, None, chosen)


def _seed(config: dict[str, Any]) -> int:
    """Seed of a run's training, which its untrained baseline begins with as well."""
    seed = (config.get("train") or {}).get("seed", TrainConfig.seed)
    if type(seed) is not int:
        raise InputError(f"the run's config.json is damaged: its seed is {seed!r}. Restore it, or train again")
    return seed


def _changed(learner: Learner, options: MetaTestOptions) -> Learner:
    # Always set: what a learner did in training does not decide how its test is to be met.
    changes: dict[str, Any] = {"transductive": options.transductive}
    if options.steps is not None:
        own = {f.name for f in fields(learner)}
        if "inner_steps" not in own:
            raise InputError(f"{type(learner).__name__} has no inner steps: leave out --steps {options.steps}")
        if options.steps < 0:
            raise InputError(f"steps must not be negative, got {options.steps}")
        # A learner with both trains with `inner_steps`, and its tests read `test_steps`.
        changes["test_steps" if "test_steps" in own else "inner_steps"] = options.steps
    return replace(learner, **changes)


def report(run: str | Path, context: Context = Context()) -> Path | None:
    """Write the report of a run that was just trained, after its kind's own measurement on validation tasks."""
    config = read_config(run)
    # A training that asked for no scores on validation tasks gets none at its end.
    task = (config.get("record") or {}).get("task")  # a run that Python made may not say it
    tasks = of_record(task).closing if task and (config["train"] or {}).get("validate_every") else 0
    if not tasks:
        return refresh(run, context=context)
    ending = MetaTestOptions(split="validation", episodes=tasks, seed=_seed(config))
    return examine(run, ending, context).report


def _plain(point: Point) -> str:
    return f"{point.mean:.4g} ± {point.ci95:.2g}"


def _without_scores(result: Result) -> dict[str, Any]:
    return {k: v for k, v in result.to_json().items() if k != "scores"}
