"""Tuning the encoder of a task to its examples, where these say that it pays.

The examples are held out in folds. For each fold an encoder is tuned to the others, and both it and the encoder as it
comes are asked about the fold; only if the tuned ones are clearly better is one tuned to all examples, and taken.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import on_one_core, spread
from innerloop.evaluate.calibration import Calibration
from innerloop.evaluate.temperature import expected_calibration_error, fit_temperature
from innerloop.fewshot import bodies, calibrate, class_names, foreign, heads, rows
from innerloop.fewshot.bodies import Body, Clock, Late
from innerloop.fewshot.class_names import Named
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.mapped import OnMap
from innerloop.fewshot.rows import floats, read
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import Support
from innerloop.fewshot.task import Task, adapted
from innerloop.fewshot.tuning import SOURCE, Tuning, checked_seconds, digests

FOLDS = 3
_CLEAR = 1.0
"""Standard errors by which the tuned encoder must be better."""
_SPARE = 0.7
"""Share of the time that is planned for: other work of the machine may slow it down."""
_LEAST = 4
"""Steps below which nothing is learned."""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a head answers to examples that were held out, of all folds."""

    logits: Tensor  # [n, ways] float64
    scores: Tensor  # [n] float64, where "none of these" is decided
    right: Tensor  # [n] float64, 1 where an example was named correctly


def tuned(
    task: Task, examples: Any, seconds: float, progress: Progress = lambda done, total: None, *, always: bool = False
) -> Task:
    """The task with its encoder tuned, if that is clearly better on held-out examples; else as it is, and why.

    Args:
        task: That was taught all its rows at once, with the encoder as it comes.
        examples: As the encoder takes them, in the order of the rows; of a run, whose rows they are, nothing.
        seconds: How long it may take at most.
        progress: Called while it goes on.
        always: Take it whatever they say, which is for measuring what that would be.

    Raises:
        InputError: The source cannot be tuned, or the time is none.
    """
    limit = checked_seconds(seconds)
    if isinstance(task.source.learner, OnMap) or (task.choice is not None and task.choice.head == "own"):
        raise InputError(
            f"the encoder of '{task.source.name}' is tuned to what the run's own learner answers: leave head out, or "
            "tune_encoder"
        )
    begin = time.monotonic()

    def stays(why: str, **about: Any) -> Task:
        tuning = Tuning(taken=False, seconds=limit, why_not=why, **about)
        return replace(task, source=replace(task.source, tuning=tuning))

    if task.wanted.strangers is not None and not foreign.sentences_for(task.source):
        raise InputError(
            f"strangers are not told for a tuned '{task.source.name}', which no foreign rows come with: ask for a "
            "coverage, or leave tune_encoder out"
        )
    y = bodies.classes_of(task)
    several, everything = bool(calibrate.can_be_spared(y).any()), list(range(len(y)))
    folds = calibrate.folds(y, most=FOLDS)
    try:
        body = on_one_core(lambda: bodies.of(task, examples, Clock(begin + limit)))
        if not several:
            return stays("no class has a second example, and what is not held out says nothing of it")
        prepared = time.monotonic() - begin  # about what it takes to see all examples once more
        cost = on_one_core(lambda: bodies.seconds_of_a_step(body, everything, begin + limit))
        most, cores = body.steps(len(y)), max(torch.get_num_threads(), 1)
        work = cost * (most + sum(body.steps(len(y) - len(out)) for out in folds) / min(cores, len(folds)))
        time_left = limit - (time.monotonic() - begin) - 2 * prepared
        steps = int(min(1.0, _SPARE * time_left / work) * most)
        if steps < _LEAST:
            needs = math.ceil(limit - time_left + work / _SPARE)
            return stays(f"{limit:g} s are too few for {len(y)} examples here, and about {needs} s would do")
        results = _both(task, body, y, folds, steps, begin + limit, progress)
        tuning, source = _decided(task, results, torch.cat([y[out] for out in folds]), limit, steps)
        if not tuning.taken and not always:
            return replace(task, source=replace(task.source, tuning=tuning))
        weights = on_one_core(lambda: body.learned(everything, steps, Clock(begin + limit)))
        progress(len(folds) + 1, len(folds) + 1)
    except Late:
        return stays(f"{limit:g} s were over before it was tuned: give it more time")
    source = replace(body.source(weights), calibration=source.calibration)
    table = task.rows if source.head is None else read(examples, source, teaching=True)[0]
    tuning = replace(tuning, taken=True, seen=frozenset(digests(floats(table))))
    return adapted(replace(source, tuning=tuning), table, task.history, task.wanted, weights=task.weights)


def given(X: Any, source: Source, places: Sequence[int]) -> Any:
    """Examples as `tuned` takes them.

    Args:
        X: As somebody gave them, see `rows.Examples`.
        source: What they are for.
        places: Which of them, in the order of the task's rows.

    Raises:
        InputError: They are rows that the encoder made before.
    """
    if source.head is None:  # of a run its rows are what is learned from
        return None
    raw = rows.given(X, source)
    return raw[list(places)] if isinstance(raw, Tensor) else [raw[i] for i in places]


def _both(
    task: Task, body: Body, y: Tensor, folds: list[Tensor], steps: int, deadline: float, progress: Progress
) -> dict[str, tuple[_Asked, _Asked]]:
    """What every head answers to the folds behind the encoder as it comes, and behind those tuned without them."""
    done = 0

    def one(out: Tensor) -> dict[str, tuple[_Asked, _Asked]]:
        nonlocal done
        rest = torch.ones(len(y), dtype=torch.bool)
        rest[out] = False
        places = rest.nonzero()[:, 0].tolist()
        share = steps / body.steps(len(y))  # 1 unless time is short
        weights = body.learned(places, max(1, round(share * body.steps(len(places)))), Clock(deadline))
        seen, named = body.seen(weights)
        frozen = _answers(task, task.source, floats(task.rows), task.named, y, rest)
        tuned = _answers(task, body.source(weights), seen, named, y, rest)
        done += 1
        progress(done, len(folds) + 1)
        return {head: (frozen[head], tuned[head]) for head in tuned}

    each = spread(one, folds)
    return {head: (_joined([e[head][0] for e in each]), _joined([e[head][1] for e in each])) for head in each[0]}


def _answers(task: Task, source: Source, x: Tensor, named: Named | None, y: Tensor, rest: Tensor) -> dict[str, _Asked]:
    """What every head of a source that learned from some rows answers to the others."""
    taught = Support(x[rest], y[rest], weight=None if task.weights is None else task.weights[rest])
    if named is not None and task.use is not None:
        taught, _ = class_names.joined(task.use, taught, task.classes, named)
    ways, out, answers = len(task.classes), ~rest, {}
    with torch.no_grad():
        for head, learner in _heads(task, source, taught, ways).items():
            learned = learner.adapt(source.params, taught.batch(ways))
            logits = calibrate.logits(learner, source.params, learned, x[out], ways)
            scores, gate = logits.amax(1), None
            if source is not task.source:  # of the encoder as it comes nobody keeps them
                gate = foreign.gate(source, learner, source.params, learned, taught.x, taught.y)
            if gate is not None and gate.weight is not None:
                scores = scores + foreign.added(gate.weight, x[out].double())
            answers[head] = _Asked(logits=logits, scores=scores, right=(logits.argmax(1) == y[out]).double())
    return answers


def _heads(task: Task, source: Source, taught: Support, ways: int) -> Mapping[str, Learner]:
    """Heads that are compared: behind the encoder as it comes with the hyper-parameters that it would have.

    A tuned one has seen all that it could be asked for others, so it takes the usual ones.
    """
    if source.head is None:
        return {"": source.learner}
    tried = heads.fitting(taught.x) if source.head == "auto" else (source.head,)
    if source is not task.source:
        return {head: heads.quick(heads.plain(head)) for head in tried}
    chosen = {head: heads.choose(head, taught, ways)[0] for head in tried}
    return {head: heads.quick(learner) for head, learner in chosen.items()}


def clearly_better(gained: int, lost: int) -> bool:
    """Whether more is gained than lost, beyond what chance does to those that change."""
    return gained - lost > _CLEAR * (gained + lost) ** 0.5


def _joined(parts: list[_Asked]) -> _Asked:
    logits, scores, right = (torch.cat([getattr(p, name) for p in parts]) for name in ("logits", "scores", "right"))
    return _Asked(logits=logits, scores=scores, right=right)


def _decided(
    task: Task, results: dict[str, tuple[_Asked, _Asked]], y: Tensor, seconds: float, steps: int
) -> tuple[Tuning, Source]:
    """Whether the tuned encoder is taken, and the source with what was measured of it."""
    shares = {head: float(tuned.right.mean()) for head, (_, tuned) in results.items()}
    head = max(shares, key=lambda name: shares[name])  # the first, so the simplest, of those that are as good
    tuned = results[head][1]
    frozen = max((one for one, _ in results.values()), key=lambda asked: float(asked.right.mean()))
    gained = int(((tuned.right - frozen.right) > 0).sum())
    lost = int(((frozen.right - tuned.right) > 0).sum())
    choice = None
    if task.source.head is not None:
        known = heads.checked(head, task.source.name, task.source.head)
        assert known is not None
        compared = task.source.head == "auto"
        choice = Choice(
            asked=task.source.head, head=known, accuracy=shares if compared else {}, examples=len(y) if compared else 0
        )
    tuning = Tuning(
        taken=clearly_better(gained, lost),
        seconds=seconds,
        steps=steps,
        examples=len(y),
        accuracy=(float(frozen.right.mean()), float(tuned.right.mean())),
        gained=gained,
        lost=lost,
        choice=choice,
        use=task.use,
        scores=tuple(round(score, 6) for score in tuned.scores.tolist()),
    )
    temperature = fit_temperature(tuned.logits, y)
    best = torch.softmax(tuned.logits / temperature, 1).max(1)
    ece = expected_calibration_error(best.values, best.indices == y)
    return tuning, replace(task.source, calibration=Calibration(temperature=temperature, ece=ece, source=SOURCE))
