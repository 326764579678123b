"""Answer sets: the fewest classes that hold the right one with a probability that was asked for.

Conformal prediction (Vovk, Gammerman and Shafer 2005) by the probability of a class, which has the smallest sets on
average: Sadinle, Lei and Wasserman, JASA 2019, https://arxiv.org/abs/1609.00451. It is cross-conformal (Vovk 2015,
https://arxiv.org/abs/1208.0806): each of the task's own examples is held out with its fold, and a class is compared
with it by what was learned without that fold, so that both were seen by nobody. What has learned from all examples is
surer of itself than those, which made the sets of the ridge too small.

The promise is for examples like those that were taught, in the mixture of classes that they were taught in, and over
draws of those: one task may lie a few points off, further the fewer examples it has.
"""

import torch
from torch import Tensor

from innerloop.core.aligned import aligned
from innerloop.evaluate.rejection import check_enough
from innerloop.fewshot import calibrate, heads
from innerloop.fewshot.history import Label
from innerloop.fewshot.rows import floats
from innerloop.fewshot.task import Task


def check(task: Task, coverage: float) -> None:
    """Refuse what a task cannot promise.

    Args:
        task: What was taught.
        coverage: How often a set is to hold the right class.

    Raises:
        InputError: Too few of its examples can be held out.
    """
    check_enough(task.spared, coverage, f"answer sets that hold the right class in {100 * coverage:g}% of cases")


@torch.no_grad()
def answer(task: Task, rows: Tensor, coverage: float) -> list[list[Label]]:
    """The set of every example, most probable first; never empty.

    Args:
        task: What was taught.
        rows: [n, ...] as the learner takes them, uint8 or float32.
        coverage: As of `check`.

    Raises:
        InputError: As of `check`.
    """
    check(task, coverage)
    if not len(rows):
        return []
    z, y, source = task.logits(rows), task.support.y, task.source
    learner, temperature = heads.quick(source.learner), task.calibration.temperature
    below, count = torch.zeros(z.shape, dtype=torch.long), 0
    for fold in task.held_out:
        right = torch.softmax(fold.logits / temperature, 1).gather(1, y[fold.places][:, None])[:, 0]
        others = calibrate.logits(learner, source.params, fold.adapted, floats(aligned(rows)), len(task.classes))
        below += torch.searchsorted(right.sort().values, torch.softmax(others / temperature, 1), right=True)
        count += len(right)
    # A class stays unless it is among the least fitting ones, of it and the examples held out.
    kept = (below + 1) / (count + 1) > 1 - coverage
    order = z.argsort(dim=1, descending=True, stable=True)
    kept.scatter_(1, order[:, :1], True)
    return [
        [task.classes[i] for i in places if some[i]] for places, some in zip(order.tolist(), kept.tolist(), strict=True)
    ]
