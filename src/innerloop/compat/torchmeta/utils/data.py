"""Batches of tasks, as torchmeta puts them together."""

from typing import Any

from torch.utils.data import DataLoader, Dataset, default_collate


class BatchMetaDataLoader(DataLoader[Any]):
    """Goes through batches [x, y] of tasks: x [batch_size, n, ...], y [batch_size, n, ...].

    Args:
        dataset: Items are tasks: lists of their examples (x, y).
        batch_size: Tasks in a batch.
        shuffle: Whether tasks come in random order, by torch's generator.
        num_workers: Processes that read.
        drop_last: Whether a last batch of fewer tasks is left out.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 1,
        shuffle: bool = True,
        num_workers: int = 0,
        drop_last: bool = False,
    ):
        super().__init__(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            drop_last=drop_last,
            collate_fn=_stacked,
        )


def _stacked(tasks: list[list[Any]]) -> Any:
    return default_collate([default_collate(task) for task in tasks])
