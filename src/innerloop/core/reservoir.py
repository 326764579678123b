"""A memory of rows that arrived, in which each of those seen is with the same probability, however many they were.

It is algorithm R of Vitter, Random sampling with a reservoir, 1985, https://doi.org/10.1145/3147.3165, as a pure
function of the key in it: row t, counted from 0, takes place t while there is one, and then one of the places 0 .. t,
all equally likely, where the memory has that.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.gaussian import key_of
from innerloop.core.objectives import weights
from innerloop.core.types import Batch


class Reservoir(NamedTuple):
    """Places for rows, a fixed number of them; the first `seen` of them are taken."""

    x: Tensor | dict[str, Tensor]  # [capacity, ...]
    y: Tensor  # [capacity] classes, or [capacity, d] values
    seen: Tensor  # [] int64, rows that were offered
    key: Tensor  # [] int64, what every place and every draw comes from


def empty(like: Batch, capacity: int) -> Reservoir:
    """A reservoir without rows.

    Args:
        like: A batch of which the shape of a row and the `key` are read, nothing else.
        capacity: How many rows it can keep.
    """
    x, y = tree.map(lambda rows: rows.new_zeros(capacity, *rows.shape[1:]), (like.x, like.y))
    return Reservoir(x, y, torch.zeros((), dtype=torch.int64, device=like.y.device), random.fold(key_of(like), 1))


def add(memory: Reservoir, batch: Batch) -> Reservoir:
    """The reservoir after the rows of a batch that count, as if they had come one by one, in their order."""
    capacity, n = len(memory.y), len(batch.y)
    real = weights(batch.y, batch.mask)
    number = _numbers(memory, real)
    drawn = _bits(memory, number)[: 2 * n].reshape(n, 2)
    target = torch.where(real, place(drawn, number, capacity).clamp_max(capacity), capacity)
    own = torch.arange(capacity + 1, device=target.device)
    later = torch.arange(capacity, capacity + n, device=target.device)
    # Of several rows for one place the last stays: its position is the largest.
    source = own.scatter_reduce(0, target, later, "amax")[:capacity]
    x, y = tree.map(_kept(source), (memory.x, memory.y), (batch.x, batch.y))
    return memory._replace(x=x, y=y, seen=memory.seen + real.sum())


def draw(memory: Reservoir, batch: Batch, count: int | None = None, number: int = 0) -> Batch:
    """Different rows of the reservoir, all equally likely; while it has fewer than are asked for, those that it has.

    Args:
        memory: Stays as it is; the same one gives the same rows.
        batch: As many rows are drawn as count in it; the result has its classes and key.
        count: So many are drawn instead.
        number: Of the draw, where several are made of the same reservoir.

    Returns:
        As many rows as `batch` has, or `count`, but no more than the reservoir's places; `mask` tells which are real.
    """
    capacity = len(memory.y)
    real = weights(batch.y, batch.mask)
    position = torch.arange(capacity, device=memory.y.device)
    scores = _bits(memory, _numbers(memory, real))[2 * len(real) :]
    if number:
        scores = random.fold(scores, number)
    shift = max(capacity - 1, 1).bit_length()
    last = torch.iinfo(torch.int64).max
    ordered = torch.where(position < memory.seen, (scores << shift) | position, last)
    wanted = min(len(real) if count is None else count, capacity)
    least, order = ordered.topk(wanted, largest=False)
    x, y = tree.map(lambda rows: rows.index_select(0, order), (memory.x, memory.y))
    mask = least < last
    if count is None:
        mask = mask & (position[:wanted] < real.sum())
    return Batch(x, y, mask, batch.classes, batch.key)


def place(drawn: Tensor, number: Tensor, capacity: int) -> Tensor:
    """[n] places that rows of these numbers ([n] int64) take; those from `capacity` on are not kept.

    Args:
        drawn: [n, 2] random 32-bit integers.
        number: [n] how many rows came before.
        capacity: Places that there are.
    """
    high, low = (drawn >> 1).unbind(1)
    # 62 random bits, so that the remainder is uniform to 1 in 10^12 after a million rows.
    return torch.where(number < capacity, number, ((high << 31) | low) % (number + 1).clamp_min(1))


def _numbers(memory: Reservoir, real: Tensor) -> Tensor:
    """[n] how many rows came before each of those that count."""
    return memory.seen + real.cumsum(0) - 1


def _bits(memory: Reservoir, number: Tensor) -> Tensor:
    """[2 n + capacity] random 32-bit integers: two for every row of these numbers, and one for every place.

    Drawn together: recorded, `draw` and `add` of one batch share them, and a draw is many small operators.
    """
    capacity = len(memory.y)
    halves = (2 * number[:, None] + torch.arange(2, device=number.device)).flatten()
    places = -1 - memory.seen * capacity - torch.arange(capacity, device=number.device)  # counted from the other end
    return random.fold(memory.key, torch.cat([halves, places]))


def _kept(source: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda old, new: torch.cat([old, new]).index_select(0, source)
