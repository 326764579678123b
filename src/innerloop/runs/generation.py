"""A trained run on unseen classes of which it generates examples, beside its usual test."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Generative
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import fingerprint, read_config
from innerloop.evaluate.generated import Generation
from innerloop.evaluate.generation import Judge, generation
from innerloop.fewshot import sources
from innerloop.problems.base import Problem
from innerloop.problems.classes import Classes
from innerloop.runs.measure import Kept, MetaTestOptions, Tested, examine, tasks_of
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.notices import warn

_JUDGE = "kanji-protonet"
_WAYS, _SHOTS, _REAL = 20, 5, 10
_COUNT = 10


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How examples are judged that a run generates; of other runs, nothing is."""

    judge: str | None = None
    """Run that says which class a generated example is of: of protonet, say, meta-trained on other classes. None: the
    shipped kanji-protonet where its pictures have the run's size. none: nothing is judged."""
    judged: int = 20
    """Tasks of 20 classes, five given examples each, in which examples are generated and judged."""
    ink: Literal["crisp", "cut", "soft"] | None = None
    """As of `innerloop generate`."""


class Judged(NamedTuple):
    """A test, and what was found of generated examples."""

    tested: Tested | Kept
    generation: Generation
    file: Path

    def __str__(self) -> str:
        return f"{self.generation}\n{self.tested}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.tested.to_json() | {"generated": self.generation.to_json() | {"file": str(self.file)}}


def examine_and_judge(
    run: str | Path, options: MetaTestOptions, judging: JudgeOptions, context: Context = Context()
) -> Tested | Kept | Judged:
    """`examine`, and for a run that generates pictures what a judge says of them.

    Raises:
        InputError: As of `examine`; the judge takes other pictures, has seen the classes, or tells too few apart.
    """
    # First, so that the report that the test writes has it.
    found = judge_run(run, options, judging, context)
    tested = examine(run, options, context)
    return tested if found is None else Judged(tested, *found)


def judge_run(
    run: str | Path, options: MetaTestOptions, judging: JudgeOptions, context: Context = Context()
) -> tuple[Generation, Path] | None:
    """Judge what a run generates for unseen classes, and keep it in the folder; None: there is nothing to judge.

    Args:
        run: The folder.
        options: Which unseen classes.
        judging: By whom.
        context: Where data sets lie, and what the run and the judge may name.

    Raises:
        InputError: As of `examine_and_judge`.
    """
    config, (learner, params) = read_config(run), load_run(run, context.allow)
    problem = tasks_of(config, options)
    able = isinstance(learner, Generative) and isinstance(problem, Classes)
    if not able or judging.judge == "none":
        if judging.judge not in (None, "none"):
            raise InputError(f"{run} generates nothing that {judging.judge} could judge: leave out --judge")
        return None
    record, name = config.get("record") or {}, judging.judge or _JUDGE
    source = sources.source(name, context.allow)
    if source.shape is None or list(source.shape) != record.get("shape"):
        if judging.judge is None:
            warn(
                f"what {run} generates is not judged: the shipped {_JUDGE} takes examples of shape {source.shape}, and "
                f"these have {record.get('shape')}. Name a run of a classifier by --judge, or say --judge none"
            )
            return None
        raise InputError(f"{name} takes examples of shape {source.shape}, and the run makes {record.get('shape')}")
    sampler = _tasks(problem, record, context, options)
    _refuse_seen(name, problem, context, options)
    judge = Judge(replace(source.learner, transductive=False), source.params, name)
    learner = replace(learner, transductive=False)
    found = generation(learner, params, judge, sampler, judging.judged, _COUNT, options.seed, judging.ink)
    own = {k: v for k in ("data", "split_scheme") if (v := getattr(options, k)) is not None}
    own |= {k: getattr(options, k) for k in ("split", "seed") if getattr(options, k) != getattr(MetaTestOptions(), k)}
    found = replace(found, parameters=fingerprint(params), options=own)
    return found, found.save(run)


def _tasks(problem: Problem, record: dict[str, Any], context: Context, options: MetaTestOptions) -> EpisodeSampler:
    """Tasks of up to 20 classes with five examples to be given and up to ten to compare with."""
    sampler = problem.unseen(record, context, options.split, options.seed)
    assert isinstance(sampler, EpisodeSampler)
    pool, least = sampler.pool, int(sampler.pool.counts.min())
    shots = min(_SHOTS, least - 2)
    if shots < 1:
        raise InputError(f"a class of {pool.dataset} has {least} examples: judging takes one to give and two others")
    sizes = {"ways": min(_WAYS, len(pool)), "shots": shots, "queries": min(_REAL, least - shots)}
    return EpisodeSampler(pool=pool, seed=options.seed, **sizes)


def _refuse_seen(name: str, problem: Problem, context: Context, options: MetaTestOptions) -> None:
    """Refuse a judge that was trained on the very classes.

    Raises:
        InputError: It was.
    """
    folder = sources.SHIPPED / name if (sources.SHIPPED / name).is_dir() else Path(name)
    record = read_config(folder).get("record") or {}
    if options.split == "train" and (record.get("task") or {}).get("data") == problem.data:
        raise InputError(f"{name} was trained on these classes: judge others, with --split validation or test")
    problem.unseen(record, context, options.split, options.seed)
