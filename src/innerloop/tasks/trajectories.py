"""Trajectories: one class after another, then questions about them and about classes that they did not show."""

from dataclasses import dataclass

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.episodes import DRAW, EpisodeSampler

_REMEMBER = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectorySampler(Checked):
    """Episodes with the labels of the whole pool, whose query also has rows of classes that the support lacks.

    The support is that of an `EpisodeSampler`, which has one class after another; its query comes first, and then
    `remember` rows, each of a class drawn uniformly from all others (Javed and White 2019: the remember set).

    Raises:
        InputError: The tasks have unlabelled rows, or there are no other classes.
    """

    sampler: EpisodeSampler
    """Ways of the trajectories; `classes` are all those of its pool."""
    remember: Count
    """How many rows of other classes a query has."""

    def __post_init__(self) -> None:
        pool = self.sampler.pool
        if self.sampler.unlabelled:
            raise InputError("a trajectory shows the labels of all its rows: leave out the unlabelled ones")
        most = self.sampler.ways if isinstance(self.sampler.ways, int) else self.sampler.ways[1]
        if most >= len(pool):
            raise InputError(
                f"nothing is left to remember: {pool.dataset} ({pool.split}) has {len(pool)} classes, and a trajectory "
                f"shows {most} of them. Lower the ways"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: support and query as those of the sampler, then the rest."""
        support, query = self.sampler.episodes(first, count)
        pool, shown = self.sampler.pool, self.sampler.draw(first, count).classes.numpy()
        key = draws.fold(draws.fold(draws.keys(self.sampler.seed, first, count), DRAW), _REMEMBER)
        rows = draws.fold(key[:, None], np.arange(self.remember))  # [count, remember] keys
        others = len(pool) - (shown >= 0).sum(1, keepdims=True)
        classes = draws.between(draws.fold(rows, 0), 0, others - 1)
        # Numbers among the classes that are not shown, which those that are push up; one that is absent pushes nothing.
        for each in np.sort(np.where(shown < 0, len(pool), shown), 1).T:
            classes += classes >= each[:, None]
        instances = draws.between(draws.fold(rows, 1), 0, pool.counts.numpy()[classes] - 1)
        x = pool.rows(from_numpy(classes * pool.data.shape[1] + instances))
        asked, y = self._everywhere(query, shown), from_numpy(classes).to(x.device)
        parts = {"x": x, "y": y} | ({} if asked.mask is None else {"mask": torch.ones_like(y, dtype=torch.bool)})
        longer = {name: torch.cat([getattr(asked, name), part], 1) for name, part in parts.items()}
        return Episode(self._everywhere(support, shown), asked._replace(**longer))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {**self.sampler.describe(), "kind": "trajectories", "remember": self.remember}

    def _everywhere(self, batch: Batch, shown: np.ndarray) -> Batch:
        """Labels among the classes of the pool, instead of those of the task."""
        y = torch.where(batch.y < 0, -1, from_numpy(shown).to(batch.y.device).gather(1, batch.y.clamp_min(0)))
        present = torch.ones(len(y), len(self.sampler.pool), dtype=torch.bool, device=y.device)
        return batch._replace(y=y, classes=present)
