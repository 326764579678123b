"""Meta-testing: adapt to every unseen task, score its queries, report the mean with its interval.

Tasks run one after another on each of a few threads. On two cores (Conv-4 on 28x28, 5 ways, 1 shot, 15 queries)
`torch.vmap` over 4 to 16 tasks takes 0.8 to 2.0 times as long as a plain loop, and its memory grows with the tasks; two
threads of one task each take 0.5 times as long.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import fits, objectives, tree
from innerloop.core.aligned import aligned, packed
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.predictive import Predictive
from innerloop.core.scores import Score, measured, of_sampler, tasks_of
from innerloop.core.threads import cores, spread
from innerloop.core.types import Batch, Episode, Params, Sampler
from innerloop.engine.checkpoint import fingerprint
from innerloop.evaluate.protocol import SELECTION, Protocol
from innerloop.evaluate.result import Point, Reliability, Result
from innerloop.evaluate.uncertainty import Asked, Uncertainty, asked, at, mean_and_members, summed_up

_ALL_STEPS_UP_TO = 10
_CHUNK = 16


class _Task(NamedTuple):
    """What one episode gave."""

    numbers: Tensor
    """[k] of the score."""
    seconds: float
    curve: list[Tensor]
    """The numbers after each of the steps asked for, the last being `numbers`."""
    members: int
    sure: Asked | None
    """How sure the answers were, where they are of classes, or the learner is probabilistic."""
    calibrated: Asked | None
    """The same at the temperature."""


def meta_test(
    learner: Learner,
    params: Params,
    sampler: Sampler,
    episodes: int = 600,
    *,
    first: int = 0,
    name: str | None = None,
    selection: str = SELECTION,
    curve: bool = True,
    chunk: int = _CHUNK,
    threads: int | None = None,
    quiet: bool = False,
    temperature: float | None = None,
) -> Result:
    """Score a learner on episodes of unseen classes; the same episodes for every learner.

    Predictions are inductive unless the learner says otherwise: `dataclasses.replace(learner, transductive=True)`.

    Args:
        learner: The algorithm, with the inner steps to test with.
        params: Its meta-parameters; episodes are moved to their device.
        sampler: Of the meta-test classes.
        episodes: How many.
        first: Index of the first.
        name: How tables call the learner; None: its class name.
        selection: How hyper-parameters and the checkpoint were chosen; part of the protocol.
        curve: Also score after 0, 1, ... inner steps, where the learner has any: about twice the time for
            a few steps, and up to 17 predictions for 100.
        chunk: Episodes drawn at once; bounds the memory, changes no output.
        threads: Tasks at once, each on one core; None: one a core on the CPU, else 1. Changes no output.
        quiet: No progress bar.
        temperature: What logits are divided by before they are probabilities, for the calibration error; changes no
            score. None: only that of the logits as they are is told.

    Raises:
        InputError: No episodes asked for, or one without labelled queries.
        InputError: Targets that are not finite.
        FailedError: Predictions that are not finite: leaving those tasks out would flatter the learner.
    """
    if episodes < 1:
        raise InputError(f"a meta-test needs at least 1 episode, got {episodes}")
    fits.check_learner(learner)
    fits.check_params(learner, params)
    device = next(iter(params.values())).device if params else torch.device("cpu")
    parameters, params = fingerprint(params), packed(params)
    threads = threads or (cores() if device.type == "cpu" else 1)
    steps = _steps(learner) if curve else []
    score, done = of_sampler(sampler), list[_Task]()
    with _bar(learner, episodes, quiet) as advance:

        def run(task: Episode) -> _Task:
            result = _task(learner, params, task, score, steps, temperature)
            advance()
            return result

        for start in range(first, first + episodes, chunk):
            count = min(chunk, first + episodes - start)
            stacked = fits.fitting(tree.map(lambda leaf: leaf.to(device), sampler.episodes(start, count)), params)
            tasks = [aligned(tree.slice(stacked, i)) for i in range(count)]  # the same wherever they lie in a chunk
            done += spread(run, tasks, threads)
    scores = torch.stack([task.numbers for task in done])
    _refuse_broken(learner, sampler, scores, first)
    sure = _uncertainty(done)
    by_step = zip(steps, zip(*(task.curve for task in done), strict=True), strict=True) if steps else ()
    return Result(
        learner=name or type(learner).__name__,
        protocol=protocol(learner, sampler, episodes, first=first, selection=selection),
        scores=scores,
        seconds_per_task=sum(task.seconds for task in done) / episodes,
        step_name=learner.step_name if isinstance(learner, Unrolled) else Unrolled.step_name,
        curve=tuple(Point(step, *score.interval(torch.stack(values))) for step, values in by_step) or None,
        reliability=_reliability(sure, temperature),
        uncertainty=sure,
        parameters=parameters,
    )


def protocol(
    learner: Learner,
    sampler: Sampler,
    episodes: int,
    *,
    first: int = 0,
    selection: str = SELECTION,
) -> Protocol:
    """The protocol of a `meta_test`, before it is made; arguments as there."""
    return Protocol(
        sampler=tasks_of(sampler),
        episodes=episodes,
        first=first,
        normalisation="transductive" if learner.transductive else "inductive",
        selection=selection,
        metric=of_sampler(sampler).name,
        adaptation_steps=learner.steps_at_test if isinstance(learner, Unrolled) else None,
    )


@torch.no_grad()
def _task(
    learner: Learner,
    params: Params,
    episode: Episode,
    score: Score,
    steps: list[int],
    temperature: float | None = None,
) -> _Task:
    support, query = episode
    start = time.perf_counter()
    adapted = learner.adapt(params, support)
    outputs, predictive = _answered(learner, params, adapted, query, score)
    fits.check_outputs(outputs, query, type(learner).__name__)
    numbers = measured(score, outputs, query).cpu().double()  # waits for the device
    seconds = time.perf_counter() - start
    if not objectives.weights(query.y, query.mask).any():
        raise InputError("an episode has no labelled query: there is nothing to score")
    members, sure, calibrated = _sure(learner, outputs, predictive, query, score, temperature)
    if not (steps and isinstance(learner, Unrolled)):
        return _Task(numbers, seconds, [], members, sure, calibrated)
    carry, values = learner.start(params, support), []
    for step in range(learner.steps_at_test):
        if step in steps:
            outputs = learner.predict(params, learner.finish(params, carry, support), query.x)
            values.append(measured(score, outputs, query).cpu().double())
        carry, _ = learner.advance(params, carry, support)
    return _Task(numbers, seconds, [*values, numbers], members, sure, calibrated)


def _answered(
    learner: Learner, params: Params, adapted: Any, query: Batch, score: Score
) -> tuple[Tensor, Predictive | None]:
    """What `predict` says, and what it is the mean of: members are asked once, for both."""
    if learner.probabilistic and (score.of_classes or query.y.is_floating_point()):
        return mean_and_members(learner, params, adapted, query.x, score.of_classes)
    return learner.predict(params, adapted, query.x), None


def _sure(
    learner: Learner,
    outputs: Tensor,
    predictive: Predictive | None,
    query: Batch,
    score: Score,
    temperature: float | None,
) -> tuple[int, Asked | None, Asked | None]:
    """Members, and how sure answers are, as they are and at the temperature of logits."""
    if predictive is None:
        if not (score.of_classes and learner.gives_probabilities):
            return 1, None, None  # a single value says nothing of how sure it is
        predictive = Predictive(outputs[None])
    cooler = at(outputs, temperature) if score.of_classes else None
    calibrated = None if cooler is None else asked(cooler, query, score.of_classes)
    return len(predictive.outputs), asked(predictive, query, score.of_classes), calibrated


def _uncertainty(tasks: list[_Task]) -> Uncertainty | None:
    sure = [task.sure for task in tasks if task.sure is not None]
    calibrated = [task.calibrated for task in tasks if task.calibrated is not None]
    return summed_up(tasks[0].members, sure, calibrated) if sure else None


def _reliability(sure: Uncertainty | None, temperature: float | None) -> Reliability | None:
    if sure is None or "ece" not in sure.scores:
        return None
    before = sure.scores["ece"].mean
    if temperature is None:
        return Reliability(before)
    return Reliability(before, temperature, sure.calibrated["ece"].mean)


def _steps(learner: Learner) -> list[int]:
    """All steps up to 10, then ever fewer up to the last."""
    if not isinstance(learner, Unrolled):
        return []
    last = learner.steps_at_test
    chosen = set(range(min(last, _ALL_STEPS_UP_TO) + 1)) | {last}
    step = _ALL_STEPS_UP_TO
    while (step := round(step * 1.5)) < last:
        chosen.add(step)
    return sorted(chosen)


def _refuse_broken(learner: Learner, sampler: Sampler, scores: Tensor, first: int) -> None:
    broken = (~scores.isfinite()).any(1).nonzero().flatten().tolist()
    if broken:
        fits.check_targets(sampler, first + broken[0])
        raise FailedError(
            f"{type(learner).__name__} gave predictions that are not finite in {len(broken)} of {len(scores)} episodes "
            f"(the first is episode {first + broken[0]}): training diverged, or inner_lr is too large "
            "for so many inner steps"
        )


@contextmanager
def _bar(learner: Learner, episodes: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields what to call after every episode."""
    from rich.console import Console  # here: who only adapts and predicts need not wait for it
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(f"meta-test {type(learner).__name__}", total=episodes)
        yield lambda: progress.advance(task)
