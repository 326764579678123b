"""Tasks without labels: UMTRA, Khodadadeh, Boloni, Shah, NeurIPS 2019, https://arxiv.org/abs/1811.11819.

Every class of an episode is one random picture, its examples are distorted copies of it. Labels of the pool are not
looked at, so two "classes" may be the same character. With C classes of equally many examples in the pool, the chance
that N pictures are all of different ones is `prod(1 - i / C)` for i < N, or a little more, since no picture is drawn
twice: 0.990 for 5 and 0.83 for 20 of the 1,028 characters of Omniglot, 0.998 and 0.95 with rotations as classes.
"""

import functools
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.augment import Augmentation
from innerloop.tasks.episodes import DRAW, QUERY
from innerloop.tasks.pool import Pool
from innerloop.tasks.sound_augment import SoundAugmentation


@dataclass(frozen=True, kw_only=True, eq=False)
class UnsupervisedSampler(Checked):
    """Few-shot tasks from unlabelled pictures, for any learner; episode `i` is a function of `(seed, i)` alone.

    Raises:
        InputError: The pool holds no pictures, or fewer than there are ways.
    """

    pool: Pool
    ways: Count
    """How many pictures, each a class."""
    shots: Count = 1
    """How many copies of each are given with their label."""
    queries: Count = 1
    """How many further copies of each are asked for."""
    seed: int = 0
    augmentation: Augmentation | SoundAugmentation = field(default_factory=Augmentation)
    """What support and query copies are distorted by; pictures of sounds need another."""

    def __post_init__(self) -> None:
        if len(self.pool.shape) != 3:
            raise InputError(
                f"unsupervised tasks are made of distorted pictures; examples of {self.pool.dataset} have shape "
                f"{list(self.pool.shape)}, not [channels, height, width]"
            )
        if self.ways > len(self._rows):
            raise InputError(
                f"{self.ways} ways need {self.ways} pictures; {self.pool.dataset} ({self.pool.split}) has "
                f"{len(self._rows)}"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked.

        Returns:
            Support x [count, ways * shots, ...] in the order of the labels, query x [count, ways * queries, ...]
            shuffled; both are copies of the same pictures, so that rows with equal labels are views of one picture.
        """
        key = draws.keys(self.seed, first, count)
        own, rows = draws.fold(key, DRAW), self.draw(first, count).numpy()
        label = np.broadcast_to(np.arange(self.ways), rows.shape)
        order = draws.permutation(draws.fold(own, 3), self.ways * self.queries)
        asked, y = (np.take_along_axis(part.repeat(self.queries, 1), order, 1) for part in (rows, label))
        return Episode(
            self._batch(rows.repeat(self.shots, 1), label.repeat(self.shots, 1), draws.fold(own, 1), key),
            self._batch(asked, y, draws.fold(own, 2), draws.fold(key, QUERY)),
        )

    def draw(self, first: int, count: int) -> Tensor:
        """The pictures of each episode, [count, ways] rows of the pool, in the order of the labels."""
        key = draws.fold(draws.fold(draws.keys(self.seed, first, count), DRAW), 0)
        # One episode at a time: every draw goes through as many numbers as there are pictures.
        chosen = np.concatenate([draws.choose(k[None], len(self._rows), self.ways) for k in key])
        return from_numpy(self._rows[chosen])

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {
            "kind": "unsupervised",
            "score": "accuracy",
            **draws.drawn_from(self.pool),
            "ways": self.ways,
            "shots": self.shots,
            "queries": self.queries,
            "seed": self.seed,
            "augmentation": asdict(self.augmentation),
        }

    @functools.cached_property
    def _rows(self) -> np.ndarray:
        """[pictures] rows of the pool that are no padding."""
        room = self.pool.data.shape[1]
        return np.flatnonzero(np.arange(room) < self.pool.counts.numpy()[:, None])

    def _batch(self, rows: np.ndarray, y: np.ndarray, noise: np.ndarray, key: np.ndarray) -> Batch:
        """Copies of [count, n] rows, each distorted by a key of its own."""
        x = self.pool.rows(from_numpy(rows))
        each = draws.fold(noise[:, None], np.arange(rows.shape[1]))  # [count, n]
        copies = self.augmentation(x.flatten(0, 1), draws.tensor(each).to(x.device).flatten()).view_as(x)
        present = torch.ones(len(rows), self.ways, dtype=torch.bool, device=x.device)
        return Batch(copies, from_numpy(y).to(x.device), None, present, draws.tensor(key).to(x.device))
