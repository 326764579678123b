"""Checks of what a learner must be for any number of it to mean something: a pure function of one task's real rows."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from innerloop.audit.check import Check, rowwise
from innerloop.core import random, tree
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.objectives import weights
from innerloop.core.types import Batch, Episode, Params, picked
from innerloop.engine.exactness import double

TOLERANCE = 1e-6
"""Relative to the spread of the outputs or to the size of the loss, in float64."""
_ROWS = 6
"""Queries whose losses are taken apart."""
_UPHILL = 0.1
"""Rise of the support's loss, as a share of it, from which a rate is too large; less comes of a few tasks."""
_DIVERGES = 10
"""Likewise for parameters that are not trained yet."""
_SMALL = 1e-3
"""Share of the inner rate at which descent goes down whatever the rate is."""


@torch.no_grad()
def purity(learner: Learner, params: Params, episodes: Episode) -> Check:
    """Whether `init`, `adapt`, `predict` and `loss` depend on their arguments alone, and leave them as they are."""
    name = "purity"
    first, second = learner.init(0), learner.init(0)
    if first.keys() != second.keys() or not all(torch.equal(v, second[k]) for k, v in first.items()):
        return Check(name, False, None, "init(0) gives other parameters a second time: draw them from the seed")
    params, episodes = double(params), double(episodes)
    one, other = (tree.slice(episodes, i) for i in (0, 1))
    before = [leaf.clone() for leaf in tree.flatten((params, one))]
    with torch.random.fork_rng(devices=[]):
        adapted = learner.adapt(params, one.support)
        kept = learner.predict(params, adapted, one.query.x)
        loss = learner.loss(params, one)[0] if trained_so(learner) else kept.sum()
        after = zip(_names(params, one), before, tree.flatten((params, one)), strict=True)
        changed = [name for name, a, b in after if _moved(a, b)]
        if changed:
            advice = "return new tensors instead of writing into those that were given"
            return Check(name, False, None, f"it changes {changed[0]} in place: {advice}")
        there = _answer(learner, params, other.support, other.query.x)
        fresh = dataclasses.replace(learner)
        parts = {
            "the same task": (_answer(learner, params, one.support, one.query.x), kept),
            "predictions of one adapted state": (learner.predict(params, adapted, one.query.x), kept),
            "a task after another learner's": (_answer(fresh, params, other.support, other.query.x), there),
        }
        worst, where = max((_apart(a, b), what) for what, (a, b) in parts.items())
        again = learner.loss(params, one)[0] if trained_so(learner) else loss
        moved = ((again - loss).abs() / loss.abs().clamp_min(1e-12)).item()
    if moved > worst or moved != moved:
        worst, where = moved, "the loss of the same task"
    if worst > TOLERANCE or worst != worst:
        message = (
            f"{where} gives another answer a second time ({worst:.1e} of the outputs' spread): the learner or its "
            "network keeps state between tasks, or draws from a global generator. Draw by innerloop.core.random from "
            "the support's key"
        )
        return Check(name, False, worst, message)
    return Check(
        name, True, worst, f"init, adapt, predict and loss repeat themselves ({worst:.1e} apart) and change nothing"
    )


@torch.no_grad()
def support_order(learner: Learner, params: Params, episodes: Episode, seed: int) -> Check:
    """Predictions after the support in another order."""
    name = "support order"
    if not rowwise(episodes.support) or episodes.support.y.shape[1] < 2:
        return Check(name, None, None, "the support has no rows to put in another order")
    params, episodes = double(params), double(episodes)
    worst = 0.0
    for index, (support, query) in enumerate(_tasks(episodes)):
        outputs, n = _answer(learner, params, support, query.x), len(support.y)
        shuffled = random.permutation(random.mix(seed, index), n).to(support.y.device)
        for order in (torch.arange(n, device=support.y.device).flip(0), shuffled):
            worst = max(worst, _apart(_answer(learner, params, picked(support, order), query.x), outputs))
    if learner.ordered:
        return Check(name, None, worst, f"declared ordered: another order moves predictions by {worst:.1e}")
    if worst > TOLERANCE:
        message = (
            f"the order of the support's rows moves predictions by {worst:.1e} of their spread: a score then depends "
            "on how the data were sorted. Use sums over rows, or declare ordered = True"
        )
        return Check(name, False, worst, message)
    return Check(name, True, worst, f"the order of the support's rows moves predictions by {worst:.1e}")


@torch.no_grad()
def padding(learner: Learner, params: Params, episodes: Episode) -> Check:
    """Predictions and loss of a task whose batches are padded with rows that the mask leaves out."""
    name = "padding"
    if not (rowwise(episodes.support) and rowwise(episodes.query)):
        return Check(name, None, None, "tasks have no rows to pad")
    params, episodes = double(params), double(episodes)
    worst, where = 0.0, ""
    for support, query in _tasks(episodes):
        padded, more = _padded(support), _padded(query)
        outputs = _answer(learner, params, support, query.x)
        apart = {"padding of the support moves predictions": _apart(_answer(learner, params, padded, query.x), outputs)}
        if trained_so(learner):
            loss = learner.loss(params, Episode(support, query))[0]
            tasks = {"support": Episode(padded, query), "query": Episode(support, more)}
            if learner.transductive:
                del tasks["query"]  # its batch's statistics are used, and predict is given no mask
            for part, task in tasks.items():
                apart[f"padding of the {part} moves the loss"] = _relative(learner.loss(params, task)[0], loss)
        if max(apart.values()) > worst:
            worst, where = max((value, what) for what, value in apart.items())
    if worst > TOLERANCE:
        message = (
            f"{where} by {worst:.1e}: tasks of uneven size would be wrong. Weigh rows by "
            "core.objectives.weights(y, mask)"
        )
        return Check(name, False, worst, message)
    return Check(name, True, worst, f"rows that the mask leaves out move predictions and loss by {worst:.1e}")


@torch.no_grad()
def updates(learner: Learner, params: Params, episodes: Episode) -> Check:
    """Whether `update` with more examples is the same in parts as at once, and remembers what `adapt` had seen."""
    name = "updates"
    if not rowwise(episodes.support) or episodes.support.y.shape[1] < 3:
        return Check(name, None, None, "the support has no three rows to be given one part after another")
    params, episodes = double(params), double(episodes)
    worst, gap = 0.0, 0.0
    for support, query in _tasks(episodes):
        parts = torch.arange(len(support.y), device=support.y.device).tensor_split(3)
        first, more, last = (picked(support, rows) for rows in parts)
        begun = learner.adapt(params, first)
        once = learner.predict(params, learner.update(params, begun, picked(support, torch.cat(parts[1:]))), query.x)
        twice = learner.predict(params, learner.update(params, learner.update(params, begun, more), last), query.x)
        worst = max(worst, _apart(twice, once))
        gap = max(gap, _apart(once, _answer(learner, params, support, query.x)))
    if worst > TOLERANCE:
        message = (
            f"`update` twice is {worst:.1e} of the outputs' spread from once with both: it forgets, or counts twice"
        )
        return Check(name, False, worst, message)
    # Batch norms keep the statistics of the first examples, so that not every gap is a mistake.
    far = gap > TOLERANCE
    message = f"`update` in parts is the same as at once, {gap:.1e} from `adapt` to all of the support"
    why = ", which only batch norms of the first examples explain" if far else ""
    return Check(name, None if far else True, gap, message + why)


@torch.no_grad()
def loss_of_queries(learner: Learner, params: Params, episodes: Episode) -> Check:
    """Whether the loss is the mean of what every query gives alone.

    It is not where the loss adapts on the query, sees statistics of its batch, or grows with its size.
    """
    name = "loss of queries"
    if not trained_so(learner):
        return Check(name, None, None, "it is trained on something else than tasks")
    if not rowwise(episodes.query):
        return Check(name, None, None, "the query has no rows to take apart")
    params, episodes = double(params), double(episodes)
    worst = factor = 0.0
    for support, query in _tasks(episodes):
        rows = weights(query.y, query.mask).nonzero().flatten()
        rows = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
        if len(rows) < 2:
            continue
        together = learner.loss(params, Episode(support, picked(query, rows)))[0]
        alone = torch.stack([learner.loss(params, Episode(support, picked(query, i[None])))[0] for i in rows]).mean()
        apart = _relative(together, alone)
        if apart > worst:
            worst, factor = apart, (together / alone).item()
    comparing = getattr(getattr(learner, "objective", None), "compares_rows", False)
    if not learner.queries_apart or learner.transductive or comparing:
        own = "an objective that compares rows" if comparing else "queries_apart = False"
        reason = "transductive" if learner.transductive else own
        return Check(name, None, worst, f"declared {reason}: the loss is {worst:.1e} from the mean over its queries")
    if worst > TOLERANCE:
        message = (
            f"the loss of some queries is {worst:.1e} from the mean of each alone ({factor:.3g} times it): it adapts "
            "on the query, sees its batch's statistics, or grows with its size. What is adapted may depend on the "
            "support only; or declare queries_apart = False"
        )
        return Check(name, False, worst, message)
    return Check(name, True, worst, f"the loss is the mean over its queries ({worst:.1e} apart)")


@torch.no_grad()
def support_used(learner: Learner, params: Params, episodes: Episode) -> Check:
    """Whether predictions depend on what the support says of its rows."""
    name = "support used"
    y = episodes.support.y
    if not rowwise(episodes.support) or y.numel() == 0:
        return Check(name, None, None, "the support says nothing of its rows")
    params, episodes = double(params), double(episodes)
    most, seen = 0.0, list[Tensor]()
    for support, query in _tasks(episodes):
        outputs = _answer(learner, params, support, query.x)
        seen.append(outputs)
        most = max(most, (_answer(learner, params, _relabelled(support), query.x) - outputs).abs().max().item())
    if most == 0 and all(torch.equal(row, seen[0][0]) for outputs in seen for row in outputs):
        return Check(name, None, most, "it gives every query of every task the same outputs: look at a trained one")
    if most == 0:
        message = "other labels of the support change no prediction: nothing is adapted"
        return Check(name, False, most, message)
    return Check(name, True, most, f"other labels of the support move outputs by up to {most:.1e}")


@torch.no_grad()
def inner_steps(learner: Learner, params: Params | None, episodes: Episode, seed: int) -> Check:
    """Whether inner steps go down on the support's loss, and are as many as declared.

    Args:
        learner: With its real model.
        params: As trained; None: initial ones of the seed, also at a rate where every descent goes down.
        episodes: A few tasks.
        seed: Of initial parameters.
    """
    name = "inner steps"
    if not isinstance(learner, Unrolled) or learner.steps_at_test < 1:
        return Check(name, None, None, "it has no inner steps")
    episodes = double(episodes)
    start = double(learner.init(seed) if params is None else params)
    before, after, apart = list[Tensor](), list[Tensor](), 0.0
    for support, query in _tasks(episodes):
        losses, carry = _losses(learner, start, support)
        before.append(losses[0])
        after.append(losses[-1])
        outputs = _answer(learner, start, support, query.x)
        apart = max(apart, _apart(learner.predict(start, learner.finish(start, carry, support), query.x), outputs))
    if apart > TOLERANCE:
        message = (
            f"adapt is {apart:.1e} from {learner.steps_at_test} times advance from start: it takes other steps than it "
            "declares"
        )
        return Check(name, False, apart, message)
    first, last = (torch.stack(losses).mean().item() for losses in (before, after))
    figures = f"they take the support's loss from {first:.3g} to {last:.3g}"
    rate = getattr(learner, "inner_lr", None)
    if last <= first:
        return Check(name, True, last - first, figures)
    if rate is None:
        return Check(name, None, last - first, f"{figures}; what they follow is learned")
    small: Any = dataclasses.replace(learner, **{"inner_lr": _SMALL * rate, "inner_steps": 1})
    initial = double(small.init(seed))
    ways = [_losses(small, initial, support)[0] for support, _ in _tasks(episodes)]
    if sum((losses[-1] - losses[0]).item() for losses in ways) > 0:
        return Check(name, False, last - first, f"{figures}, and up at any rate: a sign is wrong")
    # Meta-training may make a rate good that initial parameters cannot take, unless they diverge.
    worse = last - first > (_DIVERGES if params is None else _UPHILL) * abs(first)
    return Check(name, False if worse else None, last - first, f"{figures}: inner_lr {rate} is too large")


def trained_so(learner: Learner) -> bool:
    """Whether meta-training gives the learner tasks, so that its loss is of such."""
    return "episodes" in getattr(learner, "trains_on", ("episodes",))


def _losses(learner: Any, params: Params, support: Batch) -> tuple[list[Tensor], Any]:
    """The support's loss before every step and after the last, and the state after the last."""
    carry, losses = learner.start(params, support), []
    for _ in range(learner.steps_at_test):
        carry, loss = learner.advance(params, carry, support)
        losses.append(loss)
    return [*losses, learner.advance(params, carry, support)[1]], carry


def _answer(learner: Learner, params: Params, support: Batch, x: Any) -> Tensor:
    return learner.predict(params, learner.adapt(params, support), x)


def _tasks(episodes: Episode) -> Iterator[Episode]:
    for i in range(tree.length(episodes)):
        yield tree.slice(episodes, i)


def _relabelled(batch: Batch) -> Batch:
    """The rows with the labels of others, which are those of other classes where there are several; or other values."""
    y = batch.y
    if y.is_floating_point():
        return batch._replace(y=-y - 1)
    return batch._replace(y=torch.where(y >= 0, y.max() - y, y))


def _padded(batch: Batch) -> Batch:
    """One task with a copy of its last row before it and one of its first after it, neither of which is real."""
    n = len(batch.y)
    rows = torch.tensor([n - 1, *range(n), 0], device=batch.y.device)
    real = torch.ones(n, dtype=torch.bool, device=batch.y.device) if batch.mask is None else batch.mask
    outside = torch.zeros(1, dtype=torch.bool, device=real.device)
    return picked(batch, rows)._replace(mask=torch.cat([outside, real, outside]))


def _apart(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    if torch.equal(a, b):
        return 0.0
    spread = (b.std() if b.numel() > 1 else b.abs().max()).clamp_min(1e-12)
    gap = ((a - b).abs().max() / spread).item()
    return gap if gap == gap else float("inf")


def _relative(a: Tensor, b: Tensor) -> float:
    gap = ((a - b).abs() / b.abs().clamp_min(1e-12)).item()
    return gap if gap == gap else float("inf")


def _moved(a: Tensor, b: Tensor) -> bool:
    return not torch.equal(a, b) and not bool(torch.isnan(a).any())


def _names(params: Params, episode: Episode) -> list[str]:
    names = [f"parameter '{k}'" for k, _ in tree.items(params)]
    return names + [f"the episode's {k}" for k, _ in tree.items(episode)]
