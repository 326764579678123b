"""Whether learner, parameters and tasks go together; asked once, before the work."""

from typing import Any

import torch
from torch import Tensor

from innerloop.core import objectives, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.nearest import nearest
from innerloop.core.objectives import classification
from innerloop.core.types import Batch, Episode, Params, Sampler


def check_learner(learner: Any) -> None:
    """Refuse what is no learner.

    Raises:
        InputError: With what to write instead.
    """
    if not isinstance(learner, Learner):
        kind = learner.__name__ if isinstance(learner, type) else type(learner).__name__
        raise InputError(f"{kind} is no learner: give one such as MAML(model=...)")


def check_start(start: Params, initial: Params) -> None:
    """Refuse parameters to start from that are another learner's.

    Raises:
        InputError: A name that the learner has not, or a shape.
    """
    for name, value in start.items():
        if name not in initial:
            raise InputError(f"start has '{name}', which the learner has not{nearest(name, initial)}")
        _check_shape(name, value, initial[name])


def check_params(learner: Learner, params: Params) -> None:
    """Refuse parameters that lack some of the learner's, or have them in other shapes.

    Rows for each inner step may be as many as the steps of the training, which need not be those of the learner.

    Raises:
        InputError: Naming the first.
    """
    initial = learner.init(0)
    missing = [name for name in initial if name not in params]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"'{missing[0]}'{more} of {type(learner).__name__} is missing among the parameters: give those of `init`, "
            "or of a run of the same learner"
        )
    by_step = learner.by_step if isinstance(learner, Unrolled) else ()
    for name, value in initial.items():
        kept = params[name]
        if by_step and name.startswith(by_step) and kept.ndim and len(kept):
            value = value[:1].expand(len(kept), *value.shape[1:])
        if not completed(learner, kept, value):
            _check_shape(name, kept, value)


def completed(learner: Learner, value: Tensor, initial: Tensor) -> bool:
    """Whether `complete` may have made an initial number into this vector, as it does with the centre of SimpleShot."""
    return not initial.ndim and bool(value.ndim) and type(learner).complete is not Learner.complete


def check_outputs(outputs: Tensor, query: Batch, name: str) -> None:
    """Refuse a network with fewer outputs than the task has classes, or with others than it has targets.

    The labels past them could never be right; outputs and targets of unlike shapes are broadcast without a word.

    Raises:
        InputError: It has fewer, or others.
    """
    targets = list(query.y.shape[1:])
    if query.y.is_floating_point() and targets and list(outputs.shape[1:]) != targets:
        raise InputError(
            f"{name} has outputs [n, {', '.join(map(str, outputs.shape[1:]))}], and y of these tasks is "
            f"[n, {', '.join(map(str, targets))}]: give its network as many outputs as there are targets"
        )
    if query.classes is not None and outputs.ndim == 2 and outputs.shape[-1] < query.classes.shape[-1]:
        ways = query.classes.shape[-1]
        raise InputError(
            f"{name} has {outputs.shape[-1]} outputs, and these tasks have {ways} classes: give its network {ways} "
            "outputs, or ask for tasks with fewer"
        )


def check_targets(sampler: Sampler, index: int) -> None:
    """Refuse an episode whose targets are not finite: no answer could be scored against them.

    Raises:
        InputError: A row that counts has NaN or an infinite value in its y.
    """
    support, query = tree.slice(sampler.episodes(index, 1), 0)
    for part, batch in (("support", support), ("query", query)):
        if batch.y.is_floating_point():
            broken = ~batch.y.isfinite().flatten(1).all(1) & objectives.weights(batch.y, batch.mask)
            if bool(broken.any()):
                raise InputError(
                    f"{int(broken.sum())} of the {len(broken)} targets of the {part} of episode {index} are not "
                    "finite: leave those rows out, or pad them (y of 0, mask of False)"
                )


def fitting(episodes: Episode, params: Params) -> Episode:
    """The episodes in the floating-point type of the parameters, and out of inference mode; the same where they are."""
    dtype = next((v.dtype for v in params.values() if v.is_floating_point()), None)

    def leaf(value: Tensor) -> Tensor:
        if dtype is not None and value.is_floating_point() and value.dtype != dtype:
            return value.to(dtype)
        return value.clone() if value.is_inference() else value

    moved = tree.map(leaf, episodes)
    same = all(a is b for a, b in zip(tree.flatten(moved), tree.flatten(episodes), strict=True))
    return episodes if same else moved


@torch.no_grad()
def check_task(learner: Learner, params: Params, episodes: Episode) -> None:
    """Refuse tasks that the learner does not answer, or not in their shape; tries the first.

    Raises:
        InputError: With more classes, with other targets, with numbers where it tells classes apart, or with inputs
            that its network does not take.
    """
    support, query = tree.slice(episodes, 0)
    # A function to be minimised is no table of rows: its x holds the function's constants.
    if not len(support.y) or not len(query.y) or not isinstance(query.x, Tensor):
        return
    name = type(learner).__name__
    if query.y.is_floating_point() and getattr(learner, "objective", None) is classification:
        raise InputError(
            f"{name} tells classes apart, and y of these tasks holds numbers: give it objective=regression, from "
            "innerloop.core.objectives"
        )
    rows = query._replace(x=query.x[:2], y=query.y[:2], mask=None)
    try:
        outputs = learner.predict(params, learner.adapt(params, support), rows.x)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{name} cannot answer these tasks, whose x is {list(query.x.shape)} and whose y is {list(query.y.shape)}: "
            f"{reason}. Give it a network for such inputs"
        ) from error
    check_outputs(outputs, rows, name)


def _check_shape(name: str, value: Tensor, initial: Tensor) -> None:
    if value.shape != initial.shape:
        raise InputError(
            f"'{name}' has shape {list(value.shape)}, and the learner's {list(initial.shape)}: give that of the same "
            "network, or leave it out"
        )
