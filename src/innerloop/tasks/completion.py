"""Pictures as functions of the pixel's place, to be completed from a few pixels (Garnelo et al. 2018).

A task is one picture of a pool: x is a place, across and down from -1 to 1, y the channels there from 0 to 1. Some
pixels are the support, others the query.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.pool import Pool

_DRAW = 0xC0391
_CLASS, _INSTANCE, _PIXELS, _ROWS = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Completion(Checked):
    """Pictures of a pool, each a task of its own; classes are drawn with equal chances, then one of their pictures.

    Episode `i` is a function of `(seed, i)` alone: with fewer shots, the pixels that are seen are the first of those
    seen with more.

    Raises:
        InputError: The pool holds no pictures, or they have fewer pixels than support and query need.
    """

    pool: Pool
    shots: Count = 200
    """Pixels of the support."""
    queries: Count = 200
    """Pixels of the query, none of which is in the support."""
    fewest_shots: Natural | None = None
    """Ragged tasks: from so many pixels to `shots`, the rest is padding under a mask; None: always `shots`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.pool.shape) != 3:
            raise InputError(
                f"only pictures are completed; examples of {self.pool.dataset} have shape {list(self.pool.shape)}, not "
                "[channels, height, width]"
            )
        pixels = self.pool.shape[1] * self.pool.shape[2]
        if self.shots + self.queries > pixels:
            raise InputError(
                f"{self.shots} shots and {self.queries} queries need {self.shots + self.queries} pixels; a picture of "
                f"{self.pool.dataset} has {pixels}"
            )
        if self.fewest_shots is not None and self.fewest_shots > self.shots:
            raise InputError(f"fewest_shots must be at most shots={self.shots}, got {self.fewest_shots}")

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: x [count, n, 2] and y [count, n, channels]."""
        key = draws.keys(self.seed, first, count)
        apart, n = draws.fold(key, _DRAW), self.shots + self.queries
        values = self.pictures(first, count).flatten(2).transpose(1, 2)  # [count, pixels, channels]
        order = draws.choose(draws.fold(apart, _PIXELS), values.shape[1], n)
        chosen = from_numpy(order).to(values.device)
        x = self.places().to(values.device)[chosen]  # [count, n, 2]
        y = values.gather(1, chosen[..., None].expand(-1, -1, values.shape[2]))
        (x, asked), (y, truth) = (part.split([self.shots, self.queries], 1) for part in (x, y))
        mask = None
        if self.fewest_shots is not None:
            rows = draws.between(draws.fold(apart, _ROWS), self.fewest_shots, self.shots)
            mask = from_numpy(np.arange(self.shots) < rows[:, None]).to(values.device)
            x, y = x * mask[..., None], y * mask[..., None]
        keys = (draws.tensor(k).to(values.device) for k in (key, apart))
        support = Batch(x.contiguous(), y.contiguous(), mask, key=next(keys))
        return Episode(support, Batch(asked.contiguous(), truth.contiguous(), key=next(keys)))

    def pictures(self, first: int, count: int) -> Tensor:
        """[count, channels, height, width] from 0 to 1, the pictures that the episodes are about."""
        apart = draws.fold(draws.keys(self.seed, first, count), _DRAW)
        owner = draws.between(draws.fold(apart, _CLASS), 0, len(self.pool) - 1)
        counts = self.pool.counts.cpu().numpy()[owner]
        share = draws.bits(draws.fold(apart, _INSTANCE), 1)[..., 0].astype(np.int64)
        instance = (share * counts) >> 32
        return self.pool.rows(from_numpy(owner * self.pool.data.shape[1] + instance))

    def places(self) -> Tensor:
        """[pixels, 2] where they are, across and down from -1 to 1, row after row."""
        height, width = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in self.pool.shape[1:])
        down, across = torch.meshgrid(height, width, indexing="ij")
        return torch.stack([across, down], -1).flatten(0, 1)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        pool = self.pool
        return {
            "kind": "completion",
            "score": "mse",
            "dataset": f"{pool.dataset}-pixels",
            "split": pool.split,
            "class_hash": pool.class_hash,
            "data": pool.digest,
            "draws": draws.VERSION,
            "classes": len(pool),
            "shape": list(pool.shape),
            "shots": self.shots,
            "queries": self.queries,
            "fewest_shots": self.fewest_shots,
            "seed": self.seed,
        }
