"""What a task answers to examples, alone as among others."""

import numpy as np
import torch

from innerloop.core.threads import spread
from innerloop.fewshot.answers import Answers
from innerloop.fewshot.calibrate import NONE
from innerloop.fewshot.rows import Examples, alone, read
from innerloop.fewshot.task import Task


def answered(task: Task, X: Examples) -> Answers:
    """All that is said of every example, see `FewShotClassifier.answers`.

    Args:
        task: What was taught.
        X: [n, ...] examples.
    """
    rows, _ = read(X, task.source)
    z, calibration = task.logits(rows), task.calibration
    scores = task.scores(rows, z)
    near = task.undecided(z, scores) if len(z) > 1 and not task.one_by_one else []
    if near:
        single = [alone(X, i, rows, task.source) for i in near]
        z[near] = torch.cat(spread(task.logits, single))
        scores[near] = torch.cat([task.scores(row, z[i : i + 1]) for i, row in zip(near, single, strict=True)])
    p = torch.softmax(z / calibration.temperature, -1).numpy()
    accepted = np.ones(len(z), dtype=bool)
    if calibration.threshold is not None:
        accepted = (scores >= calibration.threshold).numpy()
    best = task.labels[p.argmax(-1)]
    if not accepted.all():
        best = np.where(accepted, best if best.dtype.kind == "U" else best.astype(object), NONE)
    return Answers(best, p, accepted)
