"""Ready tasks: what learn2learn calls `learn2learn.vision.benchmarks`."""

import os
import random
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from innerloop.compat.learn2learn.absent import absent, own_arguments
from innerloop.compat.learn2learn.data.sets import FilteredMetaDataset, MetaDataset, UnionMetaDataset
from innerloop.compat.learn2learn.data.tasks import Taskset
from innerloop.compat.learn2learn.data.transforms import (
    ConsecutiveLabels,
    FusedNWaysKShots,
    LoadData,
    RemapLabels,
)
from innerloop.compat.learn2learn.vision.transforms import RandomClassRotation
from innerloop.core.errors import InputError
from innerloop.tasks.datasets.omniglot import omniglot
from innerloop.tasks.pool import Pool

__all__ = ["BenchmarkTasksets", "get_tasksets", "list_tasksets"]
_TRAIN, _VALIDATION = 1100, 1200
"""Where the shuffled characters of Omniglot are cut."""
_ANGLES = (0.0, 90.0, 180.0, 270.0)


def __getattr__(name: str) -> Any:
    raise absent("vision.benchmarks", name, __all__)


class BenchmarkTasksets(NamedTuple):
    """Tasks of each split."""

    train: Taskset
    validation: Taskset
    test: Taskset


class PoolDataset(Dataset[Any]):
    """The examples of a pool, class after class, with the numbers of their classes.

    Args:
        pool: Classes with their examples.
        device: Where examples go; None: where the pool's are.
    """

    def __init__(self, pool: Pool, device: torch.device | str | None = None):
        self.pool = pool if device is None else pool.to(device)
        counts = pool.counts.tolist()
        self.rows = [(c, i) for c, count in enumerate(counts) for i in range(count)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label, instance = self.rows[index]
        return self.pool.as_float(self.pool.data[label, instance]), label

    def meta(self) -> MetaDataset:
        """The data set with its tables, for which no example is read."""
        return MetaDataset(self, indices_to_labels={i: label for i, (label, _) in enumerate(self.rows)})


def list_tasksets() -> tuple[str, ...]:
    """Names that `get_tasksets` takes."""
    return ("omniglot",)


@own_arguments
def get_tasksets(
    name: str,
    train_ways: int = 5,
    train_samples: int = 10,
    test_ways: int = 5,
    test_samples: int = 10,
    num_tasks: int = -1,
    root: str | os.PathLike[str] | None = None,
    device: torch.device | str | None = None,
) -> BenchmarkTasksets:
    """Tasks of Omniglot, 1100, 100 and 423 characters by learn2learn's shuffle, classes rotated.

    Tasks of a split are of its characters alone. Those of learn2learn 0.2.0 are of all 1623, whatever the split: it
    gives its transforms the whole data set. So a seed has other tasks there.

    The shuffle is that of Python's `random`: another seed is another split. `omniglot(split="vinyals")` of
    `innerloop.tasks.datasets.omniglot` has the field's fixed lists.

    Args:
        name: `omniglot`.
        train_ways: Classes of a task.
        train_samples: Examples of each, shots and queries together.
        test_ways: Likewise of validation and test.
        test_samples: Likewise.
        num_tasks: See `Taskset`.
        root: Where Omniglot is or goes, as in `omniglot`; None, or no such folder: where innerloop keeps data.
        device: Where pictures go.

    Raises:
        InputError: Another name, or Omniglot is neither there nor to be had.
    """
    if name not in list_tasksets():
        raise InputError(
            f"get_tasksets of innerloop.compat.learn2learn has omniglot, not '{name}': for other data, "
            "Pool.from_dataset and EpisodeSampler draw tasks"
        )
    place = None if root is None else os.path.expanduser(os.fspath(root))
    splits = omniglot(place if place is not None and os.path.isdir(place) else None, rotations=False)
    pools = (splits.train, splits.validation, splits.test)
    characters = UnionMetaDataset(PoolDataset(pool, device).meta() for pool in pools)
    labels = list(range(len(characters.labels)))
    random.shuffle(labels)
    cuts = {"train": labels[:_TRAIN], "validation": labels[_TRAIN:_VALIDATION], "test": labels[_VALIDATION:]}

    def taskset(split: str, ways: int, samples: int) -> Taskset:
        dataset = FilteredMetaDataset(characters, cuts[split])
        steps = [
            FusedNWaysKShots(dataset, n=ways, k=samples),
            LoadData(dataset),
            RemapLabels(dataset),
            ConsecutiveLabels(dataset),
            RandomClassRotation(dataset, _ANGLES),
        ]
        return Taskset(dataset, steps, num_tasks=num_tasks)

    return BenchmarkTasksets(
        taskset("train", train_ways, train_samples),
        taskset("validation", test_ways, test_samples),
        taskset("test", test_ways, test_samples),
    )
