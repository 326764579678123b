"""Data sets that know which examples are of which class."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from innerloop.compat.learn2learn.absent import own_arguments
from innerloop.core.errors import InputError


class MetaDataset(Dataset[Any]):
    """A classification data set with `labels_to_indices`, `indices_to_labels` and `labels`.

    Every item is read once to learn its label, unless one of the tables is given. A data set's `_bookkeeping_path`,
    where learn2learn keeps the tables as a pickle, is not read: a pickle runs code.

    Args:
        dataset: Items are pairs (example, label).
        labels_to_indices: Indices of every label.
        indices_to_labels: The label of every index.

    Raises:
        InputError: It is no data set, items are no pairs, or a label is no single value.
    """

    labels_to_indices: dict[Any, list[int]]
    indices_to_labels: dict[int, Any]
    labels: list[Any]

    @own_arguments
    def __init__(
        self,
        dataset: Dataset[Any],
        labels_to_indices: Mapping[Any, Sequence[int]] | None = None,
        indices_to_labels: Mapping[int, Any] | None = None,
    ):
        if not isinstance(dataset, Dataset):
            raise InputError(f"MetaDataset takes a torch.utils.data.Dataset, got a {type(dataset).__name__}")
        self.dataset = dataset
        if labels_to_indices is not None:
            pairs = [(i, label) for label, indices in labels_to_indices.items() for i in indices]
        elif indices_to_labels is not None:
            pairs = list(indices_to_labels.items())
        else:
            pairs = [(i, _label(i, dataset[i])) for i in range(_length(dataset))]
        self.tabulate(pairs)

    def tabulate(self, pairs: Iterable[tuple[int, Any]]) -> None:
        """Make both tables of pairs (index, label), in the order of the pairs."""
        self.labels_to_indices, self.indices_to_labels = {}, {}
        for i, label in pairs:
            self.labels_to_indices.setdefault(label, []).append(i)
            self.indices_to_labels[i] = label
        self.labels = list(self.labels_to_indices)

    def __getitem__(self, item: int) -> Any:
        return self.dataset[item]

    def __len__(self) -> int:
        return _length(self.dataset)


class UnionMetaDataset(MetaDataset):
    """Several data sets as one; equal labels of two of them are two labels, numbered from 0.

    Args:
        datasets: Data sets, `MetaDataset` or not.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]):
        self.datasets = [d if isinstance(d, MetaDataset) else MetaDataset(d) for d in datasets]
        pairs: list[tuple[int, Any]] = []
        labels = 0
        for d in self.datasets:
            number, before = {label: labels + i for i, label in enumerate(d.labels)}, len(pairs)
            pairs += [(before + i, number[label]) for i, label in d.indices_to_labels.items()]
            labels += len(d.labels)
        self.tabulate(pairs)

    def __getitem__(self, item: int) -> Any:
        before = 0
        for d in self.datasets:
            if item < before + len(d):
                example, _, *rest = d[item - before]
                return [example, self.indices_to_labels[item], *rest]
            before += len(d)
        raise IndexError(item)

    def __len__(self) -> int:
        return len(self.indices_to_labels)


class FilteredMetaDataset(MetaDataset):
    """The examples of some labels, which stay what they are.

    Args:
        dataset: A data set, `MetaDataset` or not.
        labels: What is kept, in this order.

    Raises:
        InputError: The data set has no such label.
    """

    def __init__(self, dataset: Dataset[Any], labels: Iterable[Any]):
        self.dataset = dataset if isinstance(dataset, MetaDataset) else MetaDataset(dataset)
        labels = list(labels)
        missing = [label for label in labels if label not in self.dataset.labels_to_indices]
        if missing:
            raise InputError(
                f"the data set has no label {missing[0]!r} among its {len(self.dataset.labels)}: take one that it has"
            )
        self.to_true_indices = [i for label in labels for i in self.dataset.labels_to_indices[label]]
        self.tabulate((i, self.dataset.indices_to_labels[true]) for i, true in enumerate(self.to_true_indices))

    def __getitem__(self, item: int) -> Any:
        return self.dataset[self.to_true_indices[item]]

    def __len__(self) -> int:
        return len(self.to_true_indices)


class OnDeviceDataset(TensorDataset):
    """A data set read into tensors, once.

    Args:
        dataset: Items are pairs of a tensor and a label.
        device: Where the tensors go; None: they stay.
        transform: Done to an example whenever it is read.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        device: torch.device | str | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        items = [dataset[i] for i in range(_length(dataset))]
        data, labels = torch.stack([x for x, _ in items]), torch.tensor([int(y) for _, y in items])
        if device is not None:
            data, labels = data.to(device), labels.to(device)
        super().__init__(data, labels)
        self.transform = transform

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return (x if self.transform is None else self.transform(x)), y


def _length(dataset: Any) -> int:
    return len(dataset)


def _label(i: int, item: Any) -> Any:
    try:
        label = item[1]
    except (IndexError, KeyError, TypeError) as error:
        raise InputError(f"item {i} is no pair (example, label): {type(item).__name__}") from error
    if isinstance(label, Tensor) and label.numel() != 1:
        raise InputError(f"item {i} has a label of shape {list(label.shape)}; a label is a single value")
    return label.item() if hasattr(label, "item") else label
