"""A trained run on unseen tasks, beside the honest baselines."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from innerloop.core.dry_run import outputs
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import fingerprint, read_config
from innerloop.evaluate import Comparison, Protocol, Result, compare, meta_test
from innerloop.evaluate.calibration import read as read_calibration
from innerloop.evaluate.meta_test import protocol
from innerloop.evaluate.result import file as result_file
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.runs.optimizer_curves import VALIDATED, OptimizerComparison, compare_optimizers, functions, optimises
from innerloop.runs.options import CUT, RUNS, WITHIN
from innerloop.runs.record import trained_on
from innerloop.runs.regressions import REGRESSIONS
from innerloop.runs.report import kept, refresh
from innerloop.tasks import EpisodeSampler, Pool, image_folder
from innerloop.tasks.datasets import load, names
from innerloop.tasks.datasets.omniglot import OneShotRuns
from innerloop.tasks.pool import base_name


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
    shots: int | None = None
    """Labelled examples of each class; None: as the run says."""
    queries: int = 15
    """Scored examples of each class."""
    unlabelled: int = 0
    """Further examples of each class that are given without their label."""
    distractors: int = 0
    """Further classes that unlabelled examples are given of."""
    same_group: Annotated[float, WITHIN] = 0.0
    """Share of tasks whose classes are all from one group (alphabet), which is harder."""
    episodes: int = 600
    """How many tasks; the interval shrinks with their root."""
    seed: int = 77
    """Of the tasks. Results can be compared for one seed only."""
    transductive: bool = False
    """Let a prediction use the other queries' batch statistics: flattering, and said in the result."""
    steps: int | None = None
    """Inner steps; None: as in training."""
    baselines: bool = True
    """Also test pixels (nearest centroid) and the same learner without training, on the same tasks."""
    curve: bool = True
    """Also score after fewer inner steps; each such point predicts the queries once more."""


class Tested(NamedTuple):
    """The run's result, the baselines', and the files they are in."""

    result: Result
    comparison: Comparison
    """With paired differences to the weakest honest baseline, where baselines were asked for."""
    file: Path
    report: Path | None

    def __str__(self) -> str:
        """The table, what it means and where it is kept."""
        ours = f"{self.result.learner}: {self.result}, {1000 * self.result.seconds_per_task:.0f} ms a task"
        sure = "" if self.result.reliability is None else f"\nprobabilities: {self.result.reliability}"
        return f"{self.comparison}\n{ours}{sure}\n{kept('scores', self.file, self.report)}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of the episodes, which are in the files."""
        ours, rows = _without_scores(self.result), list(self.comparison.rows)
        others = [_without_scores(row.result) for row in rows if row.result is not self.result]
        difference, against = rows[-1].difference, {}
        if difference is not None:
            against = {"against": rows[0].result.learner, "difference": difference._asdict()}
        places = {"file": str(self.file), "report": self.report and str(self.report)}
        return ours | against | {"baselines": others} | places


def measure(
    run: str | Path,
    options: MetaTestOptions,
    data_root: str | Path | None = None,
    allow: tuple[str, ...] = (),
) -> Tested:
    """Meta-test a run folder, keep the scores in it, and refresh its report.

    Args:
        run: The folder.
        options: Which tasks.
        data_root: Where data sets lie.
        allow: Module prefixes besides `innerloop.` that the run may name.

    Raises:
        InputError: Not a run; tasks that its learner cannot take; classes that it was trained on.
    """
    test, *others = prepare(run, options, data_root, allow)
    result, *baselines = [one.result() for one in (test, *others)]
    page = refresh(run, sampler=test.sampler, learner=test.learner, params=test.params, allow=allow)
    return Tested(result, compare(*baselines, result), test.file, page)


def examine(
    run: str | Path,
    options: MetaTestOptions,
    data_root: str | Path | None = None,
    allow: tuple[str, ...] = (),
) -> Tested | OptimizerComparison:
    """`measure`, but a learned optimizer is run on functions, step by step beside tuned hand-made ones."""
    config = read_config(run)
    if optimises(config, options.data):
        return compare_optimizers(run, config, options.split, options.episodes, options.seed, options.steps, allow)
    return measure(run, options, data_root, allow)


class Measurement(NamedTuple):
    """A learner with tasks that it can take, and where its result is kept."""

    learner: Learner
    params: Params
    sampler: Sampler
    protocol: Protocol
    run: Path
    label: str = ""
    """Of a baseline's file."""
    name: str | None = None
    """Of a baseline in tables."""
    curve: bool = False
    """Also score after fewer inner steps."""

    @property
    def file(self) -> Path:
        """Of the result."""
        return result_file(self.run, self.protocol, self.label)

    def result(self) -> Result:
        """Test, and keep the scores."""
        calibration = None if self.label else read_calibration(self.run)
        found = meta_test(
            self.learner,
            self.params,
            self.sampler,
            self.protocol.episodes,
            name=self.name,
            curve=self.curve,
            temperature=None if calibration is None else calibration.temperature,
        )
        found = replace(found, fingerprint=fingerprint(self.params, self.learner))
        found.save(self.run, self.label)
        return found

    def stored(self) -> Result | None:
        """What the run folder holds of this very test: the same learner, parameters and protocol."""
        try:
            found = Result.load(self.file)
        except InputError:
            return None
        return found if found.fingerprint == fingerprint(self.params, self.learner) else None


def prepare(
    run: str | Path, options: MetaTestOptions, data_root: str | Path | None = None, allow: tuple[str, ...] = ()
) -> list[Measurement]:
    """The test of a run, then those of the baselines that were asked for; arguments and errors as of `measure`."""
    run = Path(run)
    config = read_config(run)
    learner, params = load_run(run, allow)
    learner = _changed(learner, options)
    sampler = unseen(config, options, data_root)
    episodes = len(sampler) if isinstance(sampler, OneShotRuns) else options.episodes
    check_fit(learner, params, config, sampler)
    about = protocol(learner, sampler, episodes)
    tests = [Measurement(learner, params, sampler, about, run, curve=options.curve)]
    if options.baselines:
        for label, baseline, start, name in _baselines(learner, config["train"]["seed"], sampler):
            about = protocol(baseline, sampler, episodes)
            tests.append(Measurement(baseline, start, sampler, about, run, label, name))
    return tests


def unseen(config: dict[str, Any], options: MetaTestOptions, data_root: str | Path | None = None) -> Sampler:
    """The tasks that a run is tested on.

    Args:
        config: The run's `config.json`.
        options: Which tasks.
        data_root: Where data sets lie.
    """
    made = config.get("record") or {}
    task = made.get("task") or {}
    data = options.data or task.get("data")
    if data is None:
        raise InputError("this run does not say what it was trained on: give --data")
    if data == RUNS:
        return _one_shot_runs(made, options, data_root)
    shots = options.shots or task.get("shots", 1)
    if optimises(config, options.data):
        return functions(config, options.split, options.seed)
    if data in REGRESSIONS:
        return REGRESSIONS[data].tasks(2, options.seed, shots=shots, queries=options.queries)
    pool = _pool(data, options, made, data_root)
    return EpisodeSampler(
        pool=pool,
        ways=options.ways or task.get("ways", 5),
        shots=shots,
        queries=options.queries,
        seed=options.seed,
        unlabelled=options.unlabelled,
        distractors=options.distractors,
        same_group=options.same_group,
    )


def _one_shot_runs(made: dict[str, Any], options: MetaTestOptions, data_root: str | Path | None) -> OneShotRuns:
    """Omniglot's one-shot test, unless the run has seen its characters, which are of the evaluation set."""
    if any(seen["data"] == "omniglot" and seen["split_scheme"] != "lake" for seen in trained_on(made)):
        raise InputError(
            "the characters of the one-shot test are of Omniglot's evaluation set, and the run was trained on some of "
            "them: train it with --split-scheme lake"
        )
    fixed = {"ways": 20, "shots": 1}
    wrong = [k for k, v in fixed.items() if getattr(options, k) not in (None, v)]
    wrong += [k for k in ("unlabelled", "distractors", "same_group") if getattr(options, k)]
    if wrong:
        raise InputError(f"the one-shot test is of 20 ways and 1 shot, as it is: leave out --{wrong[0]}")
    return OneShotRuns(data_root)


def _pool(data: str, options: MetaTestOptions, made: dict[str, Any], data_root: str | Path | None) -> Pool:
    history = trained_on(made)
    own = [seen for seen in history if seen["data"] == data]
    scheme = options.split_scheme or (own[0]["split_scheme"] if own else None)
    if not own and data not in names() and Path(data).expanduser().is_dir():
        return image_folder(data, **(made.get("preprocessing") or {}))
    pool = load(data, data_root, scheme).pools()[options.split]
    for seen in history:
        split_otherwise = (seen["data"], seen["split_scheme"]) != (data, scheme)
        if options.split != "train" and split_otherwise and pool.dataset == seen["dataset"]:
            _refuse_seen(pool, load(seen["data"], data_root, seen["split_scheme"]).train)
    return pool


def _refuse_seen(pool: Pool, trained: Pool) -> None:
    """Two ways of cutting one data set put classes of one's training into the other's test."""
    seen = set(map(base_name, trained.names))
    shared = sorted({base for base in map(base_name, pool.names) if base in seen})
    if shared:
        raise InputError(
            f"{len(shared)} of the {len(pool)} classes of {pool.dataset} ({pool.split}) were trained on, such as "
            f"'{shared[0]}': the number would not be about new classes. Test with the split scheme of its training"
        )


def _changed(learner: Learner, options: MetaTestOptions) -> Learner:
    changes: dict[str, Any] = {"transductive": options.transductive}
    if options.steps is not None:
        if "inner_steps" not in {f.name for f in fields(learner)}:
            raise InputError(f"{type(learner).__name__} has no inner steps: leave out --steps {options.steps}")
        if options.steps < 0:
            raise InputError(f"steps must not be negative, got {options.steps}")
        changes["inner_steps"] = options.steps
    return replace(learner, **changes)


def check_fit(learner: Learner, params: Params, config: dict[str, Any], sampler: Sampler) -> None:
    """Shapes and ways that the run's network cannot take, said before any work."""
    if not isinstance(sampler, EpisodeSampler | OneShotRuns):
        return
    about: dict[str, Any] = sampler.describe()
    shape, trained = about["shape"], (config.get("record") or {}).get("shape")
    if trained is not None and shape != trained:
        raise InputError(
            f"the run was trained on examples of shape {trained}; those of {about['dataset']} have {shape}: "
            "choose data of the same shape, or train on these"
        )
    ways = about["ways"] if isinstance(about["ways"], int) else about["ways"][1]
    found = outputs(learner, params, tuple(shape), ways)
    if found != ways:
        raise InputError(
            f"{type(learner).__name__} was meta-trained to tell {found} classes apart, not {ways}: test with --ways "
            f"{found}, or train it with --ways {ways}"
        )


def _baselines(learner: Learner, seed: int, sampler: Sampler) -> Iterator[tuple[str, Learner, Params, str]]:
    """Label of the file, learner, parameters, name in tables."""
    shape: Any = sampler.describe().get("shape")
    if shape:
        raw = "pixels" if len(shape) == 3 else "raw inputs"
        pixels = NearestCentroid(transductive=learner.transductive)
        yield "pixels", pixels, {}, f"{raw}, nearest centroid"
    start = learner.init(seed)
    if start:
        yield "untrained", learner, start, f"{type(learner).__name__}, untrained"


def report(run: str | Path) -> Path | None:
    """Write the report of a run that was just trained; optimizers are compared first, on validation functions."""
    config = read_config(run)
    if optimises(config) and (config["train"] or {}).get("validate_every"):
        return compare_optimizers(run, config, "validation", VALIDATED, config["train"]["seed"]).report
    return refresh(run)


def _without_scores(result: Result) -> dict[str, Any]:
    return {k: v for k, v in result.to_json().items() if k != "scores"}
