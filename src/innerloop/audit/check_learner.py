"""Checks of a learner: its meta-gradient, what a prediction depends on, and whether it knows its labels by heart."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from innerloop.audit.check import Check
from innerloop.audit.check_plans import reason
from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.objectives import weights
from innerloop.core.predictive import check_predictive, mean_logits, mean_outputs
from innerloop.core.scores import Score, measured
from innerloop.core.stopped import held
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import meta_gradient
from innerloop.engine.exactness import distance, double
from innerloop.evaluate.result import spell

GRADIENT_TOLERANCE = 1e-4
"""Relative. Central differences in float64 agree to 3e-8 on Conv-4-64 over Omniglot with 1 and 5 inner steps; a
detached inner loop is off by 3e-1, also at inner_lr 0.01. Larger models round more coarsely, hence the room."""
INDEPENDENCE_TOLERANCE = 1e-6
"""Relative to the spread of the outputs, in float64, where the batch size moves them by 1e-12."""
PREDICTIVE_TOLERANCE = 1e-6
"""Error of a probability, or relative to the largest output, in float64."""
T_LIMIT = 6.0
"""Limit of Student's t: chance exceeds it once in a million with 30 tasks."""
_DIRECTIONS = 4
_EPSILONS = (1e-6, 1e-7, 1e-8)


def meta_gradient_check(learner: Learner, params: Params, episodes: Episode, seed: int) -> Check:
    """The engine's meta-gradient, by the loop, against central differences of the loss in float64.

    ReLU and max-pooling have kinks, and an inner gradient through them jumps where a unit switches on, so a difference
    across one is wrong however exact the gradient. They are rare within a small enough step: every direction keeps its
    best of three step sizes, and half of the directions may be lost to kinks. Half of the directions move every entry
    alike, the others every tensor alike, which lets a small one be seen.

    A learner that declares `exact_gradient = False` is proven with what it stops held at its values.

    Args:
        learner: With its real model.
        params: Where the gradient is taken.
        episodes: Differences are taken on the first.
        seed: Of the directions.
    """
    name = "meta-gradient"
    if not params:
        return Check(name, None, None, "there are no meta-parameters to differentiate")
    params, one = double(params), double(tree.slice(episodes, slice(0, 1)))
    try:
        gradient = meta_gradient(learner, params, one, plan="loop")[0]
    except (RuntimeError, InputError) as error:
        return Check(name, False, None, reason(error))
    if not learner.exact_gradient:
        return _inexact(learner, params, one, gradient, seed)
    gap = _gap(lambda p: _loss(learner, p, one), params, gradient, seed)
    if gap == 0 and not any(g.any() for g in gradient.values()):
        return Check(name, False, gap, "the loss does not depend on the meta-parameters: they cannot be learned")
    if gap > GRADIENT_TOLERANCE:
        only = _is_first_order(learner, params, one, gradient)
        message = (
            f"it is {gap:.1e} away from finite differences (at most {GRADIENT_TOLERANCE:.0e})"
            f"{': it is first order only' if only else ''}. Look for detach, no_grad, .data, a once_differentiable "
            "function or a copied parameter in the inner loop and the network, or declare exact_gradient = False"
        )
        return Check(name, False, gap, message, {"order": 1 if only else None})
    through = _through_steps(learner, params, one)
    order = "order 2, verified" if through else "verified"
    message = f"{order} on {sum(v.numel() for v in params.values()):,} parameters, {gap:.1e} from finite differences"
    return Check(name, True, gap, message, {"order": 2 if through else 1})


def _inexact(learner: Learner, params: Params, one: Episode, gradient: Params, seed: int) -> Check:
    """The gradient of a learner that holds a part of its loss constant: the derivative of what is left.

    Where the learner also states that gradient apart from its loss, it is compared with that: a wrong factor inside of
    `loss` has a derivative of its own, which finite differences confirm.
    """
    name, task = "meta-gradient", tree.slice(one, 0)
    acts = "returns" in learner.targets
    # What an agent does changes with its parameters: the loss has no derivative that a difference could come near.
    whole = None if acts else _gap(lambda p: _loss(learner, p, one), params, gradient, seed)
    details = {"order": 1 if _is_first_order(learner, params, one, gradient) else None, "apart": whole}
    try:
        with torch.no_grad():
            frozen = held(lambda p: learner.loss(p, task)[0], params)
            gap = _gap(lambda p: frozen(p).item(), params, gradient, seed)
        reference = learner.reference_gradient(params, task)
    except (RuntimeError, InputError) as error:
        return Check(name, False, None, f"cannot be proven: {reason(error)}", details)
    declared = "what it did in its environment is held, as policy gradients have it"
    if whole is not None:
        declared = f"declared first order or approximate: {whole:.1e} away from the derivative of its loss"
    if gap > GRADIENT_TOLERANCE:
        message = (
            f"{declared}, and {gap:.1e} from that with what it stops held (at most {GRADIENT_TOLERANCE:.0e}). What is "
            "constant on purpose goes through core.stopped.stop; look for detach, no_grad or a factor beside it"
        )
        return Check(name, False, gap, message, details)
    message = f"{declared}, {gap:.1e} from finite differences with what it stops held"
    if reference is None:
        return Check(name, True, gap, message, details)
    apart = distance(gradient, reference)
    details["reference"] = apart
    if apart > GRADIENT_TOLERANCE or apart != apart:
        message = f"it is {apart:.1e} away from the first-order gradient that the learner declares (reference_gradient)"
        return Check(name, False, apart, message, details)
    return Check(name, True, gap, f"{message}, {apart:.1e} from the reference it declares", details)


def query_independence(learner: Learner, params: Params, episodes: Episode) -> Check:
    """A query predicted alone, against the same query predicted in its batch."""
    name = "query independence"
    params, episodes = double(params), double(episodes)
    worst = 0.0
    with torch.no_grad():
        for episode in _tasks(episodes):
            adapted = learner.adapt(params, episode.support)
            together = learner.predict(params, adapted, episode.query.x)  # [n, ways]
            rows = weights(episode.query.y, episode.query.mask).nonzero().flatten()
            if not len(rows):
                continue
            spread = (together[rows].std() if len(rows) > 1 else together[rows].abs().max()).clamp_min(1e-12)
            for i in rows[:: max(1, len(rows) // 4)].tolist():
                alone = learner.predict(params, adapted, tree.slice(episode.query.x, slice(i, i + 1)))[0]
                moved = ((alone - together[i]).abs().max() / spread).item()
                worst = max(worst, moved if moved == moved else float("inf"))
    if learner.transductive:
        return Check(name, None, worst, f"declared transductive: other queries move a prediction by {worst:.1e}")
    if worst > INDEPENDENCE_TOLERANCE:
        message = (
            f"other queries move a prediction by {worst:.1e} of the outputs' spread: batch-norm statistics of the "
            "query, or an operation over its rows. Use the support's statistics, or declare transductive=True"
        )
        return Check(name, False, worst, message)
    return Check(name, True, worst, f"a query alone and in its batch differ by {worst:.1e}")


def predictive_mean(learner: Learner, params: Params, episodes: Episode, score: Score) -> Check:
    """What `predict` says, against the mean of the mixture that `predictive` says."""
    name = "predictive mean"
    params, episodes = double(params), double(episodes)
    worst, members = 0.0, 0
    with torch.no_grad():
        for support, query in _tasks(episodes):
            adapted = learner.adapt(params, support)
            outputs = learner.predict(params, adapted, query.x)  # [n, k]
            predictive = learner.predictive(params, adapted, query.x)
            try:
                check_predictive(predictive, len(query.y), type(learner).__name__)
            except InputError as error:
                return Check(name, False, None, str(error))
            members = len(predictive.outputs)
            if not score.of_classes:
                mean = mean_outputs(predictive.outputs)
                scale = max(1e-12, mean.abs().max().item())
            else:
                mean, outputs, scale = mean_logits(predictive.outputs).softmax(-1), outputs.softmax(-1), 1.0
            if mean.shape != outputs.shape:
                message = f"its members have {list(mean.shape)} outputs, and predict returns {list(outputs.shape)}"
                return Check(name, False, None, message)
            rows = weights(query.y, query.mask)
            apart = (mean - outputs)[rows].abs().max().item() / scale if bool(rows.any()) else 0.0
            worst = max(worst, apart if apart == apart else float("inf"))
    message = f"predict and the mean of {members} members differ by {worst:.1e}"
    if worst > PREDICTIVE_TOLERANCE:
        message += ": return mean_logits (classes) or mean_outputs (targets) of core.predictive from predict"
    return Check(name, worst <= PREDICTIVE_TOLERANCE, worst, message)


def label_permutation(learner: Learner, params: Params, episodes: Episode, score: Score, seed: int) -> Check:
    """Scores of episodes against those of the same episodes with their labels permuted, paired.

    A single episode may move (MAML's head has fixed outputs); the mean must not.
    """
    name = "label permutation"
    if not score.of_classes:
        return Check(name, None, None, f"{score.title} is not of classes")
    before, after = list[Tensor](), list[Tensor]()
    with torch.no_grad():
        for index, episode in enumerate(_tasks(episodes)):
            before.append(_numbers(learner, params, episode, score))
            after.append(_numbers(learner, params, _permuted(episode, seed, index, score.common_classes), score))
    mean, ci95 = score.difference(torch.stack(after), torch.stack(before))
    deviation = ci95 / 1.96
    t = 0.0 if mean == 0 else abs(mean) / deviation if deviation > 0 else float("inf")
    message = f"the {score.title} moves by {spell(mean, ci95, score, sign=True)} over {len(before)} episodes"
    if t > T_LIMIT or mean != mean:
        message += ": the learner has tied classes to labels. The sampler must draw a new order for every episode"
    return Check(name, t <= T_LIMIT and mean == mean, t, message)


def _through_steps(learner: Learner, params: Params, episodes: Episode) -> bool:
    """Whether the loss passes through inner steps: one more of them changes it."""
    if not isinstance(learner, Unrolled) or not any(f.name == "inner_steps" for f in dataclasses.fields(learner)):
        return False
    more = dataclasses.replace(learner, inner_steps=learner.inner_steps + 1)
    return _loss(more, params, episodes) != _loss(learner, params, episodes)


def _is_first_order(learner: Learner, params: Params, episodes: Episode, gradient: Params) -> bool:
    """Whether a gradient is the one that treats the inner gradients as constants, for learners that can."""
    if not any(f.name == "first_order" for f in dataclasses.fields(learner)):
        return False
    constant: Any = dataclasses.replace(learner, **{"first_order": True})
    return distance(gradient, meta_gradient(constant, params, episodes, plan="loop")[0]) < GRADIENT_TOLERANCE


def _gap(loss: Callable[[Params], float], params: Params, gradient: Params, seed: int) -> float:
    """Relative error of `gradient`: for each of two kinds of direction the median, of these the larger."""
    medians = []
    entries = sum(v.numel() for v in params.values())
    for kind, scale in enumerate((lambda p: entries**-0.5, lambda p: p.numel() ** -0.5)):
        scales = {k: scale(v) for k, v in params.items()}  # directions of length about 1 in all, or in every tensor
        # The size of a derivative along such a direction, so that one near zero does not make an error look large.
        typical = sum((scales[k] * g).square().sum().item() for k, g in gradient.items()) ** 0.5
        errors = []
        for number in range(_DIRECTIONS):
            direction = _direction(params, scales, seed, _DIRECTIONS * kind + number)
            claimed = sum((gradient[k] * v).sum().item() for k, v in direction.items())
            errors.append(min(_errors(loss, params, direction, claimed, typical)))
        medians.append(sorted(errors)[_DIRECTIONS // 2 - 1])
    return max(medians)


def _errors(
    loss: Callable[[Params], float], params: Params, direction: Params, claimed: float, typical: float
) -> Iterator[float]:
    for eps in _EPSILONS:
        up, down = (loss(tree.map(lambda p, v, e=e: p + e * v, params, direction)) for e in (eps, -eps))
        measured = (up - down) / (2 * eps)
        size = max(abs(measured), abs(claimed), typical)
        error = abs(measured - claimed) / size if size > 0 else 0.0
        yield error if error == error else float("inf")
        if error <= GRADIENT_TOLERANCE / 100:
            return


def _loss(learner: Learner, params: Params, episodes: Episode) -> float:
    with torch.no_grad():
        losses = [learner.loss(params, episode)[0] for episode in _tasks(episodes)]
    return torch.stack(losses).mean().item()


def _direction(params: Params, scales: dict[str, float], seed: int, number: int) -> Params:
    key = random.mix(seed, number)
    return {
        k: scales[k] * random.normal(random.fold(key, i), v.shape, v.dtype).to(v.device)
        for i, (k, v) in enumerate(params.items())
    }


def _numbers(learner: Learner, params: Params, episode: Episode, score: Score) -> Tensor:
    outputs = learner.predict(params, learner.adapt(params, episode.support), episode.query.x)
    return measured(score, outputs, episode.query).double()


def _permuted(episode: Episode, seed: int, index: int, common: int) -> Episode:
    """The episode with new labels, but for the first `common` ones."""
    classes = episode.support.classes
    ways = int(episode.support.y.max()) + 1 if classes is None else len(classes)
    moved = common + random.permutation(random.mix(seed, index), ways - common)
    order = torch.cat([torch.arange(common), moved]).to(episode.support.y.device)  # old label -> new label
    return Episode(*(_relabel(batch, order) for batch in episode))


def _relabel(batch: Batch, order: Tensor) -> Batch:
    y = torch.where(batch.y >= 0, order[batch.y.clamp_min(0)], batch.y)
    classes = None if batch.classes is None else batch.classes[order.argsort()]
    return batch._replace(y=y, classes=classes)


def _tasks(episodes: Episode) -> Iterator[Episode]:
    for i in range(tree.length(episodes)):
        yield tree.slice(episodes, i)
