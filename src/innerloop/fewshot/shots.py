"""A taught task by the number of examples that it learns from: what labels bought, and what the next ten would."""

import random
from collections.abc import Sequence

import torch

from innerloop.core.errors import InputError
from innerloop.core.scores import Accuracy
from innerloop.evaluate.by_shots import ByShots, check_shots
from innerloop.fewshot.calibrate import NOTHING
from innerloop.fewshot.classifier import Examples, FewShotClassifier, Labels, Rows
from innerloop.fewshot.evaluation import FOLDS, Progress, truths

DRAWS = 5
"""How often it is drawn anew which examples of a class are learned from."""


def by_shots(
    classifier: FewShotClassifier,
    shots: Sequence[int],
    X: Examples | None = None,
    y: Labels = (),
    *,
    data: str = "",
    progress: Progress = lambda done, total: None,
) -> ByShots:
    """Teach a task with fewer of its examples, and ask it: the mean over five draws of which, nested in each.

    It has to answer: "none of these" is left out. The interval is over what is asked.

    Args:
        classifier: After `fit` or `load`; it is not changed.
        shots: How many examples of each class.
        X: [n, ...] examples that it has not learned from; None: its own, each of them while a fifth is held out.
        y: [n] their classes; those that it does not know are left out.
        data: What the examples are called.
        progress: Called while it goes on.

    Raises:
        InputError: A class has too few examples, or the encoder was tuned on more of them than it would be taught.
    """
    shots, task, own = check_shots(shots), classifier.task, X is None
    if task.source.tuning is not None and task.source.tuning.seen:
        raise InputError("the encoder was tuned on this task's examples, so that it is no encoder of fewer: adapt anew")
    members, base = task.history.members(), task.rejecting(NOTHING)
    for label in task.classes:
        count = len(members.get(label, ()))
        left = count - -(-count // FOLDS) if own else count
        if left < shots[-1]:
            spare = f", of which {left} are left where a fifth is held out to be asked" if own else ""
            raise InputError(f"{shots[-1]} shots take as many examples of each class, and '{label}' has {count}{spare}")
    if X is None:
        truth = {row: i for i, label in enumerate(task.classes) for row in members[label]}
        rows = sorted(truth)
        x, answers = task.rows[torch.tensor(rows)], torch.tensor([truth[row] for row in rows])
    else:
        x, index = classifier.rows(X), {str(label): i for i, label in enumerate(task.classes)}
        known = {i: index[name] for i, name in enumerate(truths(y, len(x), task, data)) if name in index}
        rows, x, answers = [-1] * len(known), x[torch.tensor(list(known))], torch.tensor(list(known.values()))
    right, done, folds = torch.zeros(len(shots), len(rows), 1, dtype=torch.float64), 0, 1
    if own:
        folds = min(FOLDS, max(map(len, members.values())))
    for draw in range(DRAWS):
        orders = {label: random.Random(draw).sample(places, len(places)) for label, places in members.items()}
        for fold in range(folds):
            held = {row for order in orders.values() for row in order[fold::folds]} if own else set()
            asked = torch.tensor([i for i, row in enumerate(rows) if row in held or not own])
            for j, count in enumerate(shots):
                taught = {row for o in orders.values() for row in [row for row in o if row not in held][:count]}
                gone = [row for order in orders.values() for row in order if row not in taught]
                less = classifier.holding(base.at(task.history.without(gone)))
                classes = torch.as_tensor(less.answers(Rows(x[asked])).probabilities).argmax(-1)
                right[j, asked, 0] += (classes == answers[asked]).double() / DRAWS
                done += 1
                progress(done, DRAWS * folds * len(shots))
    return ByShots(shots=shots, scores=right, score=Accuracy(), of="examples")
