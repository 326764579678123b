"""Rows of a support whose class is not known (label -1), which only those learners see that declare that they use them.

They would move the batch norms of every other learner, whose answers would then depend on what it says it looks at not.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import transformed
from innerloop.core.types import Batch, Episode

ENTRANCES = ("adapt", "start", "advance", "finish", "ended", "update", "loss", "reference_gradient", "complete")
"""Methods of a learner that take a support."""


class _Inside(threading.local):
    """Learners that a guarded method of theirs is running of, by id, in this thread."""

    def __init__(self) -> None:
        self.learners: set[int] = set()


_INSIDE = _Inside()


def labelled(support: Batch, stacked: bool = False) -> Batch:
    """The support without rows that are real and have label -1; the same object where there are none.

    They are taken out, so that what is computed of the others is the same to the bit. Of stacked tasks those places are
    taken out that are unlabelled in all of them; at other places the rows become padding.

    Args:
        support: Classes, or values, which are never unlabelled.
        stacked: Whether its leaves have a leading task axis.
    """
    if support.y.is_floating_point():
        return support
    loose = support.y < 0 if support.mask is None else (support.y < 0) & support.mask
    if not bool(loose.any()):
        return support
    place = loose.all(0) if stacked else loose
    if bool(place.all()):
        place = torch.zeros_like(place)  # a norm needs a row, if only of padding
    rows = (~place).nonzero().flatten()

    def rest(leaf: Tensor) -> Tensor:
        return leaf.index_select(int(stacked), rows)

    loose, mask = rest(loose), None if support.mask is None else rest(support.mask)
    if bool(loose.any()):
        mask = ~loose if mask is None else mask & ~loose
    return support._replace(x=tree.map(rest, support.x), y=rest(support.y), mask=mask)


def visible(learner: Any, episodes: Episode) -> Episode:
    """What a learner may see of stacked tasks: for the engine, since under a transform nobody can look at labels."""
    if learner.uses_unlabelled:
        return episodes
    support = labelled(episodes.support, stacked=True)
    return episodes if support is episodes.support else episodes._replace(support=support)


def guard(cls: type) -> None:
    """Let methods of a learner's class that take a support see the labelled rows alone, unless it declares otherwise.

    On the class, and not where learners are called: there are a dozen such places, and those of users.
    """
    for name in ENTRANCES:
        method = cls.__dict__.get(name)
        if callable(method) and not getattr(method, "__isabstractmethod__", False):
            setattr(cls, name, _guarded(method))


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.uses_unlabelled or transformed() or id(self) in _INSIDE.learners:
            return method(self, *args, **kwargs)
        # What it calls of itself, such as every inner step, has those rows alone: a look waits for the device.
        _INSIDE.learners.add(id(self))
        try:
            return method(self, *map(_seen, args), **{k: _seen(v) for k, v in kwargs.items()})
        finally:
            _INSIDE.learners.remove(id(self))

    return call


def _seen(value: Any) -> Any:
    if isinstance(value, Batch):
        # Tensors without values, of a recording, cannot be asked; the engine has taken those rows out before.
        return labelled(value) if type(value.y) is Tensor else value
    if isinstance(value, Episode):
        support = _seen(value.support)
        return value if support is value.support else value._replace(support=support)
    return map(_seen, value) if isinstance(value, Iterator) else value
