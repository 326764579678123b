"""A budget of examples: of each class at most so many stay, a uniform sample of all that it was ever taught.

Algorithm R (Vitter 1985, https://doi.org/10.1145/3147.3165): the n-th example of a class takes the place of one that is
kept, of each with probability 1/n. Which one is a function of the class and of n alone, so the same examples in the
same order leave the same ones, in Python, on the command line and over HTTP.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.plain import plain
from innerloop.fewshot.history import History, Label, State, runs

KEPT = 5
"""Versions before the present one whose examples stay, so that undoing goes back to them."""


def checked(budget: Any) -> int | None:
    """A budget as a plain number; None: every example stays.

    Raises:
        InputError: It is no number of examples.
    """
    budget = plain(budget)
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        raise InputError(f"a budget is how many examples of each class stay, 1 or more; got {budget!r}")
    return budget


def sample(label: Label, budget: int, kept: Sequence[int], seen: int, more: Sequence[int]) -> list[int]:
    """The examples of a class that stay when more come, in the order in which they came.

    Args:
        label: The class.
        budget: How many stay at most.
        kept: Those that stayed so far.
        seen: How many it was taught so far.
        more: Those that come.
    """
    stays = list(kept)
    if not len(more):
        return stays
    key = random.mix(zlib.crc32(str(label).encode("utf-8", "surrogatepass")), 0)
    numbers = torch.arange(seen + 1, seen + len(more) + 1)
    places = (random.bits(random.fold(key, numbers), ()) * numbers >> 32).tolist()  # of each n-th one, below n
    for one, place in zip(more, places, strict=True):
        if len(stays) >= budget:
            if place >= budget:
                continue
            del stays[place]
        stays.append(one)
    return stays


def added(history: History | None, new: Sequence[tuple[Label, int, int]], budget: int) -> History:
    """A history with more examples, of which some stay.

    Args:
        history: Before; None: these are the first.
        new: (class, first row, number of rows), each class once.
        budget: Of each class.
    """
    state = State() if history is None else history.state()
    stay, gone, taught = [], [], []
    for label, first, count in new:
        kept, more = sorted(state.members.get(label, ())), range(first, first + count)
        seen = state.taught.get(label, len(kept))
        stays = sample(label, budget, kept, seen, more)
        stay += runs([(label, row) for row in stays if row >= first])
        gone += sorted(set(kept) - set(stays))
        taught.append((label, seen + count))
    if history is None:
        return History.begin(stay, taught=taught)
    return history.add(stay, removed=gone, taught=taught, named=[label for label, _, _ in new])


def bounded(rows: Tensor, weights: Tensor | None, history: History) -> tuple[Tensor, Tensor | None, History]:
    """Rows, their weights and the history, without the rows that neither the last versions nor the present one have.

    Versions that had such rows are let go: they stay in the list, and cannot come back.
    """
    states = list(history.states())
    first = max(len(states) - 1 - KEPT, next(i for i, v in enumerate(history.versions) if not v.let_go))
    used = {row for state in states[first:] for places in state.members.values() for row in places}
    if len(used) == len(rows):
        return rows, weights, history
    stay = sorted(used)
    index, place = torch.tensor(stay, dtype=torch.long), {row: i for i, row in enumerate(stay)}
    moved = [
        state._replace(members={label: [place[row] for row in some] for label, some in state.members.items()})
        for state in states[first:]
    ]
    return rows[index], None if weights is None else weights[index], history.beginning(first, moved)


def thinned(rows: Tensor, history: History, budget: int) -> tuple[Tensor, History]:
    """The rows and the history of a task whose versions have all examples, as they are where a budget let some go."""
    states = list(history.states())
    if all(len(places) <= budget for state in states for places in state.members.values()):
        return rows, history
    first = max(0, len(states) - 1 - KEPT)
    kept = [
        State(
            {label: sample(label, budget, [], 0, sorted(places)) for label, places in state.members.items()},
            state.declared,
            {label: len(places) for label, places in state.members.items() if places},
        )
        for state in states[first:]
    ]
    rows, _, history = bounded(rows, None, history.beginning(first, kept))
    return rows, history


def told(budget: int | None, examples: Mapping[Any, int]) -> dict[str, Any] | None:
    """What is said of a budget, in plain JSON; None: there is none."""
    if budget is None:
        return None
    kept = sum(min(count, budget) for count in examples.values())
    taught = sum(examples.values())
    reason = f"at most {budget} examples of a class stay, {kept} of the {taught} that were taught"
    return {"examples": budget, "kept": kept, "taught": taught, "reason": reason}
