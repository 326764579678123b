"""What a learner that came to the end of its stream would have answered otherwise: with hindsight, or among fewer."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.continual.held_out import HeldOut
from innerloop.continual.progress import Progress
from innerloop.continual.run import StreamRun
from innerloop.core import tree
from innerloop.core.learner import mask_absent
from innerloop.core.scores import measured


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
    held, state = HeldOut(run.stream), end_of(run, folder)
    own = torch.zeros(run.stream.room, dtype=torch.bool)
    for batch in held.tasks[:first]:
        own[batch.y[batch.y >= 0].long()] = True
    if not held.score.of_classes or bool(own.all()):
        return None
    scores: list[Tensor] = []
    for batch in held.tasks[:first]:
        outputs = run.learner.predict(run.params, state, batch.x)
        scores.append(measured(held.score, mask_absent(outputs[:, : len(own)], own), batch).double()[None])
    return sum(held.score.total(one) for one in scores) / len(scores)


def end_of(run: StreamRun, folder: Path) -> Any:
    """What a learner knows at the end of its stream; arguments as of `in_hindsight`."""
    like = tree.slice(run.stream.batches(0, 1), 0)
    return Progress(state=run.learner.begin(run.params, like)).restored(folder).state
