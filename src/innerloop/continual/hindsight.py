"""What a learner would have made of every round, had it known then what it knows at the end."""

from pathlib import Path

import torch

from innerloop.continual.held_out import HeldOut
from innerloop.continual.progress import Progress
from innerloop.continual.run import StreamRun
from innerloop.core import tree


@torch.no_grad()
def in_hindsight(run: StreamRun, folder: Path) -> list[float]:
    """Scores of the rounds, each learned again from the end of the stream, alone.

    Args:
        run: As it was built.
        folder: Where it came to its end.
    """
    learner, params, stream = run.learner, run.params, run.stream
    like = tree.slice(stream.batches(0, 1), 0)
    end = Progress(state=learner.begin(params, like)).restored(folder).state
    held, scores = HeldOut(stream), []
    for task, (first, last) in enumerate(zip([0, *stream.ends], stream.ends, strict=False)):
        batches, state = stream.batches(first, last - first), end
        for i in range(last - first):
            state = learner.observe(params, state, tree.slice(batches, i))
        scores.append(held.of_one(learner, params, state, task))
    return scores
