"""Data sets by class, and tasks drawn of them: what learn2learn calls `learn2learn.data`."""

from typing import Any

from innerloop.compat.learn2learn.absent import absent
from innerloop.compat.learn2learn.data import transforms
from innerloop.compat.learn2learn.data.sets import (
    FilteredMetaDataset,
    MetaDataset,
    OnDeviceDataset,
    UnionMetaDataset,
)
from innerloop.compat.learn2learn.data.tasks import InfiniteIterator, TaskDataset, Taskset, partition_task
from innerloop.compat.learn2learn.data.transforms import DataDescription

__all__ = [
    "DataDescription",
    "FilteredMetaDataset",
    "InfiniteIterator",
    "MetaDataset",
    "OnDeviceDataset",
    "TaskDataset",
    "Taskset",
    "UnionMetaDataset",
    "partition_task",
    "transforms",
]


def __getattr__(name: str) -> Any:
    raise absent("data", name, __all__)
