"""A check of tasks of ratings: what is known of an item must not come from the ratings that are to be foreseen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from innerloop.audit.check import Check
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import SPLITS

_TASKS = 8


def known_apart(sampler: RatingSampler) -> Check:
    """Whether inputs stay as they are when ratings are turned upside down.

    In tests those of the whole split are, in meta-training those of one user at a time: its own must be left out of
    the means of its items.
    """
    name, tasks = "ratings apart", range(min(len(sampler), _TASKS))
    if sampler.split == "train":
        moved = [_moved(sampler, sampler.table.users == sampler.user(i), [i])[0] for i in tasks]
    else:
        moved = _moved(sampler, sampler.roles == SPLITS[sampler.split], tasks)
    share = sum(moved) / len(moved)
    if share:
        message = (
            f"inputs of {sum(moved)} of {len(moved)} tasks change with the ratings that they are to foresee: means of "
            "items must come from meta-training's users, and leave out the rating itself"
        )
        return Check(name, False, share, message)
    return Check(name, True, 0.0, f"no input of {len(moved)} tasks depends on a rating that is to be foreseen")


def _moved(sampler: RatingSampler, rows: NDArray[np.bool_], tasks: Sequence[int]) -> list[bool]:
    """Whether inputs of each task change when these ratings of the table do."""
    table, (low, high) = sampler.table, sampler.table.scale
    # One in the middle of the scale turns into itself: the others of the task tell.
    turned = np.where(rows, low + high - table.values, table.values)
    other = replace(sampler, table=table.with_values(turned))
    pairs = [(sampler.inputs(i), other.inputs(i)) for i in tasks]
    # Sums without one rating are rounded.
    return [any(not np.allclose(a[k], b[k], rtol=0, atol=1e-5 * (high - low)) for k in a) for a, b in pairs]
