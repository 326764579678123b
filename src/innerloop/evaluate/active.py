"""Active learning on unseen tasks: labels are bought one by one, by a rule or at random, and the queries are scored.

Candidates, whose labels are bought, are other examples than the queries that accuracy is measured on. Rules are those
of `evaluate.acquisition`, one example at a time. Settles, "Active Learning Literature Survey", 2009, tells the field.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import fits, random, tree
from innerloop.core.aligned import aligned, packed
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.rules import RULES, By
from innerloop.core.scores import Accuracy, measured, of_sampler, tasks_of
from innerloop.core.threads import cores, spread
from innerloop.core.types import Batch, Episode, Params, Sampler, joined
from innerloop.engine.checkpoint import fingerprint
from innerloop.evaluate import acquisition
from innerloop.evaluate.active_curves import RANDOM, ActiveCurves
from innerloop.evaluate.uncertainty import mean_and_members
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.progress import track

_CHUNK = 16
_ORDER = 0xAC71
"""Folded into a task's key for the order of random labels."""
_SAME = 1e-4
"""Share of the largest logit by which `update` may differ from learning all anew."""

Choose = Callable[[Any, list[int], list[int]], int]
"""Which of the candidates is bought next: of what was learned, the rows that have labels, and those that have none."""


class _Bench(NamedTuple):
    """A learner, and how its tasks begin and go on."""

    learner: Learner
    params: Params
    shots: int
    known: int
    """Classes that begin with labels, the first ones."""
    labels: int
    by: tuple[By, ...]
    temperature: float
    grows: bool
    """Whether a label more is an `update`."""


def active(
    learner: Learner,
    params: Params,
    sampler: Sampler,
    episodes: int = 300,
    *,
    labels: int = 20,
    by: Sequence[By] | None = None,
    candidates: int | None = None,
    missing: int = 0,
    first: int = 0,
    temperature: float | None = None,
    threads: int | None = None,
) -> ActiveCurves:
    """Accuracy after 0, 1, ... bought labels, by every rule and at random, on the same tasks.

    Args:
        learner: Of classes; predictions are as it says, inductive unless it is transductive.
        params: Its meta-parameters.
        sampler: Of meta-test classes. Its shots are the labels of a class to begin with, its queries are what accuracy
            is measured on.
        episodes: How many tasks.
        labels: How many are bought in each.
        by: Rules, each from the same beginning; None: all that the learner can follow.
        candidates: Examples of each class whose labels can be bought; None: as many as the classes have, 10 at most.
        missing: How many of the classes begin without a label; their shots are among the candidates.
        first: Index of the first task.
        temperature: What logits are divided by before they are probabilities, as in `suggest`; None: 1.
        threads: Tasks at once; None: one a core on the CPU, else 1. Changes no number.

    Raises:
        InputError: Tasks without such classes, too few candidates, or a rule that the learner cannot follow.
        FailedError: Predictions that are not finite.
    """
    rules: tuple[By, ...] = tuple(acquisition.check_rule(rule, learner) for rule in dict.fromkeys(by or ()))
    if episodes < 1 or labels < 1:
        raise InputError(f"active learning needs at least 1 episode and 1 label, got {episodes} and {labels}")
    sampler, wide, each = _sampler(sampler, labels, candidates, missing)
    fits.check_learner(learner)
    fits.check_params(learner, params)
    own, params = fingerprint(params), packed(params)
    device = next(iter(params.values())).device if params else torch.device("cpu")
    threads = threads or (cores() if device.type == "cpu" else 1)
    assert isinstance(sampler.ways, int) and isinstance(sampler.shots, int)
    known = sampler.ways - missing
    bench = _Bench(learner, params, sampler.shots, known, labels, rules, temperature or 1.0, False)

    def drawn(start: int, count: int) -> list[Episode]:
        stacked = fits.fitting(tree.map(lambda leaf: leaf.to(device), wide.episodes(start, count)), params)
        return [aligned(tree.slice(stacked, i)) for i in range(count)]

    one = drawn(first, 1)[0]
    bench = bench._replace(grows=_grows(bench, one), by=rules or _rules(bench, one))
    done: list[Tensor] = []
    starts = range(first, first + episodes, _CHUNK)
    for start in track(starts, f"{labels} labels in each of {episodes} tasks, {_CHUNK} at once", len(starts)):
        tasks = drawn(start, min(_CHUNK, first + episodes - start))
        done += spread(functools.partial(_task, bench), tasks, threads)
    curves = torch.stack(done, 1)  # [rules, episodes, labels + 1]
    if not bool(curves.isfinite().all()):
        raise FailedError(f"{type(learner).__name__} gave predictions that are not finite: training diverged")
    return ActiveCurves(
        learner=type(learner).__name__,
        sampler=tasks_of(sampler),
        normalisation="transductive" if learner.transductive else "inductive",
        first=first,
        candidates=each,
        missing=missing,
        scores=dict(zip((RANDOM, *bench.by), curves, strict=True)),
        parameters=own,
    )


def _sampler(
    sampler: Sampler, labels: int, candidates: int | None, missing: int
) -> tuple[EpisodeSampler, EpisodeSampler, int]:
    """The sampler, one that draws candidates after its shots, and how many of a class."""
    if not isinstance(sampler, EpisodeSampler) or of_sampler(sampler) != Accuracy():
        raise InputError(
            f"labels are bought of classes, and {type(sampler).__name__} draws none of a pool: give an EpisodeSampler"
        )
    ways, shots = sampler.ways, sampler.shots
    if not isinstance(ways, int) or not isinstance(shots, int) or sampler.unlabelled:
        raise InputError(
            "labels are bought in tasks of a fixed number of ways and shots, without unlabelled examples: ask for those"
        )
    if not 0 <= missing <= ways - 2:
        raise InputError(
            f"{missing} of {ways} classes cannot begin without a label: at least 2 must have one, and none less than 0"
        )
    room = int(sampler.pool.counts.min()) - shots - sampler.queries
    each = min(10, room) if candidates is None else candidates
    if each < 1 or each > room:
        raise InputError(
            f"{shots} shots and {sampler.queries} queries leave {max(0, room)} examples of a class to buy labels of"
            f"{'' if candidates is None else f', not {candidates}'}: ask for fewer queries"
        )
    most = ways * each + missing * shots
    if labels > most:
        raise InputError(f"{labels} labels cannot be bought of {most} candidates: ask for fewer, or give more")
    return sampler, replace(sampler, shots=shots + each), each


@torch.no_grad()
def _task(bench: _Bench, task: Episode) -> Tensor:
    """[rules, labels + 1] accuracies, at random first."""
    support, each = task.support, len(task.support.y) // len(_classes(task.support))
    place = torch.arange(each).repeat(len(support.y) // each)
    begins = (place < bench.shots) & (support.y.cpu() < bench.known)
    start, pool = begins.nonzero()[:, 0].tolist(), (~begins).nonzero()[:, 0].tolist()
    adapted = bench.learner.adapt(bench.params, _rows(support, start))
    accuracy = _accuracy(bench, adapted, task.query)
    assert support.key is not None
    order = random.permutation(random.fold(support.key, _ORDER), len(pool)).tolist()
    shuffled = iter([pool[i] for i in order])
    curves = [_bought(bench, task, adapted, accuracy, start, pool, lambda *_: next(shuffled))]
    for rule in bench.by:
        curves.append(_bought(bench, task, adapted, accuracy, start, pool, _by(bench, support, rule)))
    return torch.stack(curves)


def _bought(
    bench: _Bench, task: Episode, adapted: Any, accuracy: Tensor, start: list[int], pool: list[int], choose: Choose
) -> Tensor:
    """[labels + 1] accuracies, from that before the first label on."""
    known, left, curve = list(start), list(pool), [accuracy]
    for _ in range(bench.labels):
        bought = choose(adapted, known, left)
        known.append(bought)
        left.remove(bought)
        if bench.grows:
            adapted = bench.learner.update(bench.params, adapted, _rows(task.support, [bought]))
        else:
            adapted = bench.learner.adapt(bench.params, _rows(task.support, known))
        curve.append(_accuracy(bench, adapted, task.query))
    return torch.stack(curve)


def _by(bench: _Bench, support: Batch, rule: By) -> Choose:
    learner, params = bench.learner, bench.params
    ways = len(_classes(support))

    def choose(adapted: Any, known: list[int], left: list[int]) -> int:
        asked, taught = _rows(support, left).x, _rows(support, known).x
        members = None
        if rule == "mutual_information":
            outputs, predictive = mean_and_members(learner, params, adapted, asked, True)
            members = acquisition.several(predictive.outputs[..., :ways], learner)
        else:
            outputs = learner.predict(params, adapted, asked)
        logits = outputs[:, :ways].double() / bench.temperature
        doubt = acquisition.doubt(rule, torch.softmax(logits, -1), members)
        seen, other = (_features(learner, adapted, x) for x in (asked, taught))
        by_direction = acquisition.by_direction(learner)
        between, apart = (acquisition.distances(seen, x, by_direction) for x in (seen, other))
        return left[acquisition.most_telling(doubt, between, apart, 1)[0]]

    return choose


def _features(learner: Learner, adapted: Any, x: Tensor | dict[str, Tensor]) -> Tensor:
    if isinstance(x, dict):
        raise InputError("labels are bought of examples that are one tensor each: give a pool of those")
    return acquisition.features(learner, adapted, x)


@torch.no_grad()
def _rules(bench: _Bench, task: Episode) -> tuple[By, ...]:
    """Rules that the learner can follow, which its members decide."""
    learner, support = bench.learner, task.support
    members = 1
    if learner.probabilistic:
        members = len(learner.predictive(bench.params, learner.adapt(bench.params, support), task.query.x).outputs)
    return tuple(rule for rule in RULES if members > 1 or rule != "mutual_information")


@torch.no_grad()
def _grows(bench: _Bench, task: Episode) -> bool:
    """Whether `update` gives what `adapt` of all does, which the statistics of a network's norms may prevent."""
    learner, params, support = bench.learner, bench.params, task.support
    if not learner.incremental:
        return False
    half = len(support.y) // 2
    one, more = _rows(support, list(range(half))), _rows(support, list(range(half, len(support.y))))
    updated = learner.predict(params, learner.update(params, learner.adapt(params, one), more), task.query.x)
    anew = learner.predict(params, learner.adapt(params, joined(one, more)), task.query.x)
    return bool((updated - anew).abs().max() <= _SAME * anew.abs().max())


def _accuracy(bench: _Bench, adapted: Any, query: Batch) -> Tensor:
    return measured(Accuracy(), bench.learner.predict(bench.params, adapted, query.x), query)[0].cpu().double()


def _rows(batch: Batch, rows: list[int]) -> Batch:
    """Some rows of a task, which has the same classes and key."""
    place = torch.tensor(rows, device=batch.y.device)
    return Batch(tree.map(lambda leaf: leaf[place], batch.x), batch.y[place], classes=batch.classes, key=batch.key)


def _classes(batch: Batch) -> Tensor:
    assert batch.classes is not None
    return batch.classes
