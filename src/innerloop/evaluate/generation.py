"""Generated examples judged without eyes, by a classifier that was meta-trained on other classes.

Four things are said of them, since each alone is easily had. *recognised*: how often the judge, who knows the same few
real examples of each class, names the right class; pasting the support is recognised best of all. *diversity*: how far
examples of a class are from one another, relative to real ones; one example pasted again and again has none.
*novelty*: how far they are from the nearest example of the support, relative to real ones; whoever copies has none.
*bits per pixel*: where the learner bounds the likelihood of real examples it was not given.

Judges see ink as real pictures have it: grey, soft strokes throw them off, and means of many pictures are such. So ink
is made crisp by one stated rule before anything is judged, real pictures too, and the rule is part of the number.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import SHARES, interval
from innerloop.core.learner import Generative, Learner
from innerloop.core.types import Batch, Episode, Params, Sampler
from innerloop.evaluate.acquisition import features
from innerloop.evaluate.generated import Generation
from innerloop.evaluate.ink import Rule, checked, inked, usual
from innerloop.learners import catalogue
from innerloop.tasks.progress import track


class Judge(NamedTuple):
    """A classifier that tells the classes apart, and compares examples by the features that it does this with."""

    learner: Learner
    params: Params
    name: str = "judge"


class Looks(NamedTuple):
    """What a judge says of the examples of one task, each a number or one for each class."""

    recognised: Tensor  # [] share that is named right
    spread: Tensor  # [ways] mean distance between two examples of the class
    nearest: Tensor  # [ways] mean distance to the nearest example of the support that is of the class
    copied: Tensor  # [ways, count] the row of the support that this is


def check_generative(learner: Learner) -> Generative:
    """The learner, if it can make examples.

    Raises:
        InputError: It cannot; the message says which learners can.
    """
    if not isinstance(learner, Generative):
        able = [name for name, cls in catalogue().items() if issubclass(cls, Generative)]
        raise InputError(
            f"{type(learner).__name__} tells classes apart and cannot generate examples: take a run of "
            f"{' or '.join(able) or 'a learner with `generate`'}"
        )
    return learner


def distances(x: Tensor) -> Tensor:
    """[ways] mean distance between two of the [ways, count, d] features of a class."""
    count = x.shape[1]
    if count < 2:
        return x.new_zeros(len(x))
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2)) / (count * (count - 1))


def looks(judge: Judge, support: Batch, x: Tensor) -> Looks:
    """What a judge says of the examples of every class, given a support of real ones.

    Args:
        judge: Who says it.
        support: [n, ...] of one task, each of whose classes has an example.
        x: [ways, count, ...].
    """
    ways, count = x.shape[:2]
    known = judge.learner.adapt(judge.params, support)
    rows = x.flatten(0, 1)
    logits = judge.learner.predict(judge.params, known, rows)
    right = logits.argmax(-1).reshape(ways, count) == torch.arange(ways, device=x.device)[:, None]
    made, given = (features(judge.learner, known, part).double() for part in (rows, _one(support)))
    made = made.reshape(ways, count, -1)
    apart = torch.cdist(made, given[None].expand(ways, -1, -1), compute_mode="donot_use_mm_for_euclid_dist")
    own = support.y == torch.arange(ways, device=x.device)[:, None]  # [ways, n]
    nearest, copied = apart.masked_fill(~own[:, None], math.inf).min(-1)
    return Looks(right.double().mean(), distances(made), nearest.mean(-1), copied)


def by_class(batch: Batch, ways: int) -> Tensor:
    """[ways, each, ...] the rows of a batch that has as many of every class.

    Raises:
        InputError: It has more of one than of another.
    """
    order = batch.y.argsort(stable=True)
    counts = torch.bincount(batch.y, minlength=ways)
    if bool((counts != counts[0]).any()) or not int(counts[0]):
        raise InputError(
            "generated examples are judged on tasks that have equally many examples of every class: give one number "
            "of shots"
        )
    x = _one(batch)
    return x[order].reshape(ways, int(counts[0]), *x.shape[1:])


@torch.no_grad()
def generation(
    learner: Learner,
    params: Params,
    judge: Judge,
    sampler: Sampler,
    tasks: int = 20,
    count: int = 10,
    seed: int = 0,
    ink: Rule | None = None,
) -> Generation:
    """Judge what a learner generates for unseen classes.

    Args:
        learner: One with `generate`.
        params: Its meta-parameters.
        judge: A classifier meta-trained on classes that are none of these.
        sampler: Of their tasks, with as many examples of every class; the query set is the real examples that the
            generated ones are compared with.
        tasks: How many.
        count: Examples to generate of each class, two or more.
        seed: Of what is generated.
        ink: The rule; None: `ink.usual`. It goes for all that the judge sees, the support too, while the learner is
            given the support as it is.

    Raises:
        InputError: The learner cannot generate, or the tasks are uneven.
        FailedError: What it generates is not finite.
    """
    maker, ways, shots, rule = check_generative(learner), 0, 0, usual(())
    if count < 2 or tasks < 1:
        raise InputError(f"judging takes 2 or more examples of a class and a task, got {count} and {tasks}")
    rows: list[list[Tensor]] = []
    device = next(iter(params.values())).device
    for i in track(range(tasks), "generating and judging, by task", tasks):
        episode: Episode = tree.map(lambda leaf: leaf.to(device), tree.slice(sampler.episodes(i, 1), 0))
        support, query = episode
        ways = int(support.y.max()) + 1
        given, real = by_class(support, ways), by_class(query, ways)
        shots, rule = given.shape[1], checked(ink, tuple(given.shape[2:]))
        adapted = learner.adapt(params, support)
        made = maker.generate(params, adapted, random.mix(seed, i), count)
        if not bool(made.isfinite().all()):
            raise FailedError(f"{type(learner).__name__} generated what is not finite: training diverged")
        pasted = given[:, :1].expand(-1, count, *given.shape[2:])
        seen = support._replace(x=inked(_one(support), rule))
        ours, ceiling, copy = (looks(judge, seen, inked(x, rule)) for x in (made, real, pasted))
        numbers = [ours.recognised, ceiling.recognised, copy.recognised]
        numbers += [_over(ours.spread, ceiling.spread), _over(ours.nearest, ceiling.nearest)]
        rows.append(numbers + bits(learner, params, support, real))
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    shares = [interval(column, SHARES) for column in columns[:3]]
    return Generation(
        recognised=shares[0],
        real=shares[1],
        pasted=shares[2],
        diversity=interval(columns[3]),
        novelty=interval(columns[4]),
        bits=interval(columns[5]) if len(columns) > 5 else None,
        ink=rule,
        ways=ways,
        shots=shots,
        count=count,
        tasks=tasks,
        judge=judge.name,
        learner=type(learner).__name__,
        sampler=dict(sampler.describe()),
    )


def bits(learner: Any, params: Params, support: Batch, real: Tensor) -> list[Tensor]:
    """The bound on bits per number of [ways, each, ...] real examples; nothing where the learner has no `evidence`.

    Each class is met alone: how well other classes would explain its examples is of no interest, and costs most.
    """
    if not callable(getattr(learner, "evidence", None)):
        return []
    alone, nats = torch.ones(1, dtype=torch.bool, device=real.device), []
    for i, rows in enumerate(real):
        own = support.y == i
        adapted = learner.adapt(params, Batch(_one(support)[own], support.y[own] * 0, classes=alone, key=support.key))
        nats.append(learner.evidence(params, adapted, rows).double().mean())
    return [-torch.stack(nats).mean() / (math.log(2) * real[0, 0].numel())]


def _one(batch: Batch) -> Tensor:
    if isinstance(batch.x, dict):
        raise InputError(f"generated examples are one tensor, and these have parts: {', '.join(batch.x)}")
    return batch.x


def _over(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean over the classes, relative to that of real examples."""
    return ours.mean() / theirs.mean().clamp_min(torch.finfo(theirs.dtype).tiny)
