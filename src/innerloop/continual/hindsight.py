"""What a learner that came to the end of its stream would have answered otherwise: with hindsight, or among fewer."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.continual.held_out import HeldOut
from innerloop.continual.progress import Progress
from innerloop.continual.run import StreamRun, observer
from innerloop.core import tree
from innerloop.core.aligned import aligned
from innerloop.core.learner import mask_absent
from innerloop.core.scores import measured
from innerloop.tasks.progress import track


@torch.no_grad()
def in_hindsight(run: StreamRun, folder: Path) -> list[float]:
    """Scores of the rounds, each learned again from the end of the stream, alone.

    Args:
        run: As it was built.
        folder: Where it came to its end.
    """
    learner, params, stream, end = run.learner, run.params, run.stream, end_of(run, folder)
    held, scores = HeldOut(stream), []
    for task, (first, last) in enumerate(zip([0, *stream.ends], stream.ends, strict=False)):
        batches, state = stream.batches(first, last - first), end
        for i in range(last - first):
            state = learner.observe(params, state, tree.slice(batches, i))
        scores.append(held.of_one(learner, params, state, task))
    return scores


@torch.no_grad()
def among_their_own(run: StreamRun, folder: Path, first: int) -> float | None:
    """Score of the first tasks at the end, judged among their own classes; None: there are no others, or no classes.

    Args:
        run: As it was built.
        folder: Where it came to its end.
        first: How many tasks.
    """
    held = HeldOut(run.stream)
    own = _own_classes(held, first, run.stream.room)
    return None if own is None else _judged(run, held, end_of(run, folder), first, own)


@torch.no_grad()
def by_end(run: StreamRun, first: int) -> list[tuple[int, float]]:
    """Score of the first tasks among their own classes after every end from theirs on; the stream is followed anew.

    What a score among all classes lacks of it is explained by more classes, and not forgotten.

    Args:
        run: As it was built.
        first: How many tasks.

    Returns:
        How many tasks had ended, and the score then; nothing where tasks are mixed, have no classes, or all of them.
    """
    learner, params, stream, held = run.learner, run.params, run.stream, HeldOut(run.stream)
    own = _own_classes(held, first, stream.room)
    if own is None or len(stream.ends) < stream.tasks:
        return []
    state, observe = learner.begin(params, tree.slice(stream.batches(0, 1), 0)), observer(learner, params)
    curve: list[tuple[int, float]] = []
    tasks = zip([0, *stream.ends], stream.ends, strict=False)
    title = f"{type(learner).__name__} once more, judged among the first classes"
    for ended, (begin, end) in enumerate(track(tasks, title, len(stream.ends)), 1):
        batches = stream.batches(begin, end - begin)
        for i in range(end - begin):
            state = observe(state, aligned(tree.slice(batches, i)))
        if ended >= first:
            curve.append((ended, _judged(run, held, state, first, own)))
        if stream.told:
            state = learner.boundary(params, state)
    return curve


def _own_classes(held: HeldOut, first: int, room: int) -> Tensor | None:
    """[room] bool, classes of the first tasks; None: there are no others, or no classes."""
    own = torch.zeros(room, dtype=torch.bool)
    for batch in held.tasks[:first] if held.score.of_classes else ():
        own[batch.y[batch.y >= 0].long()] = True
    return own if bool(own.any()) and not bool(own.all()) else None


def _judged(run: StreamRun, held: HeldOut, state: Any, first: int, own: Tensor) -> float:
    """Score of the first tasks among some classes."""
    scores: list[Tensor] = []
    for batch in held.tasks[:first]:
        outputs = run.learner.predict(run.params, state, batch.x)
        scores.append(measured(held.score, mask_absent(outputs[:, : len(own)], own), batch).double()[None])
    return sum(held.score.total(one) for one in scores) / len(scores)


def end_of(run: StreamRun, folder: Path) -> Any:
    """What a learner knows at the end of its stream; arguments as of `in_hindsight`."""
    like = tree.slice(run.stream.batches(0, 1), 0)
    return Progress(state=run.learner.begin(run.params, like)).restored(folder).state
