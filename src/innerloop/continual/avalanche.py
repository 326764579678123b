"""Streams as benchmarks of Avalanche, and its benchmarks as streams.

Avalanche: Lomonaco et al., CVPR workshop on continual learning 2021, https://arxiv.org/abs/2104.00405. What is read of
a benchmark is its `train_stream` and `test_stream`, of an experience its `dataset`, of an item its first two entries.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.core.objectives import weights
from innerloop.tasks import draws
from innerloop.tasks.draws import Numbers
from innerloop.tasks.pool import Pool
from innerloop.tasks.row_stream import RowStream
from innerloop.tasks.stream import Stream

_ORDER = 2


def to_avalanche(stream: Stream) -> Any:
    """A benchmark with an experience for every task, and for every visit of one where they come again.

    Its `train_stream` has the rows in the order in which they arrive, its `test_stream` what is held out of each task.
    Class ids are those of the stream; there are no task labels.

    Args:
        stream: Of classes.

    Raises:
        InputError: Its targets are values, or `avalanche-lib` is not installed.
    """
    if not stream.room:
        raise InputError("the targets of this stream are values: a benchmark of Avalanche has classes")
    require("avalanche", "a benchmark of Avalanche", "avalanche")
    from avalanche.benchmarks import (  # pyright: ignore[reportMissingImports]
        benchmark_from_datasets,
        with_classes_timeline,
    )
    from avalanche.benchmarks.utils import as_classification_dataset  # pyright: ignore[reportMissingImports]

    held = [stream.held_out(task) for task in range(stream.tasks)]
    benchmark = benchmark_from_datasets(
        train=[as_classification_dataset(_Rows(*rows)) for rows in _arriving(stream)],
        test=[as_classification_dataset(_Rows(batch.x, batch.y)) for batch in held],
    )
    return with_classes_timeline(benchmark)


def from_avalanche(benchmark: Any, *, shuffle: bool = True, **options: Any) -> "AvalancheStream":
    """A stream of the experiences of a benchmark, each measured on the experience of the same number of its tests.

    All examples are read once, and held in memory. Labels are global; task labels are not read.

    Args:
        benchmark: With `train_stream` and `test_stream`.
        shuffle: Mix the rows of an experience, as Avalanche does; otherwise they arrive as its dataset has them.
        options: Fields of `RowStream`: `seed`, `batch_size`, `order`, `visits`, `boundaries`.

    Raises:
        InputError: The streams have not as many experiences, or items are not tensors of one shape with a class.
    """
    arriving, held = ([_read(one) for one in s] for s in (benchmark.train_stream, benchmark.test_stream))
    if len(arriving) != len(held) or not held:
        raise InputError(
            f"the benchmark has {len(arriving)} training experiences and {len(held)} to test on: give one for each, "
            "such as by complete_test_set_only=False"
        )
    rows = arriving + held
    shapes = {(tuple(x.shape[1:]), x.dtype) for x, _ in rows}
    if len(shapes) > 1:
        raise InputError(f"examples of a benchmark have one shape and type, got {sorted(map(str, shapes))}")
    x, y = (torch.cat(leaves) for leaves in zip(*rows, strict=True))
    return AvalancheStream(
        pool=Pool(data=x[None], counts=torch.tensor([len(x)]), names=("rows",), dataset="avalanche"),
        targets=y,
        sizes=tuple(len(y) for _, y in arriving),
        held_sizes=tuple(len(y) for _, y in held),
        shuffle=shuffle,
        **options,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class AvalancheStream(RowStream):
    """The experiences of a benchmark, one after another; `from_avalanche` makes one."""

    targets: Tensor
    """[n] int64 class of every row of the pool, which has a single entry for all of them."""
    sizes: tuple[int, ...]
    """Rows of each experience: they come first in the pool."""
    held_sizes: tuple[int, ...]
    """And those held out of each, which follow."""
    shuffle: bool = True
    """Mix the rows of an experience."""

    @property
    def room(self) -> int:
        return int(self.targets.max()) + 1

    @functools.cached_property
    def arriving(self) -> list[Numbers]:
        parts = np.split(np.arange(sum(self.sizes)), np.cumsum(self.sizes)[:-1])
        if not self.shuffle:
            return parts
        key = self.key(_ORDER)
        return [rows[draws.permutation(draws.fold(key, t), len(rows))[0]] for t, rows in enumerate(parts)]

    def kept(self, task: int) -> Numbers:
        start = sum(self.sizes) + sum(self.held_sizes[:task])
        return np.arange(start, start + self.held_sizes[task])

    def labels(self, rows: Numbers) -> Numbers:
        return self.targets.numpy()[rows]

    def describe(self) -> dict[str, object]:
        parts = np.asarray([*self.targets.tolist(), -1, *self.sizes, -1, *self.held_sizes])
        digest = hashlib.sha256(parts.astype("<i8").tobytes()).hexdigest()
        return {"kind": "avalanche", **super().describe(), "parts_digest": digest, "shuffle": self.shuffle}


class _Rows(TensorDataset):
    """Rows with the `targets` that Avalanche looks for."""

    def __init__(self, x: Any, y: Tensor):
        super().__init__(x, y)
        self.targets = y.tolist()


def _arriving(stream: Stream) -> Iterable[tuple[Any, Tensor]]:
    """Rows and classes between two ends, without padding."""
    for first, last in zip([0, *stream.ends], stream.ends, strict=False):
        batches = stream.batches(first, last - first)
        real = weights(batches.y, batches.mask).flatten()
        yield tree.map(lambda leaf, real=real: leaf.flatten(0, 1)[real], (batches.x, batches.y))


def _read(experience: Any) -> tuple[Tensor, Tensor]:
    """[n, ...] examples and [n] classes."""
    items: Sequence[Any] = experience.dataset
    pairs = [items[i][:2] for i in range(len(items))]
    if not pairs:
        raise InputError("an experience of the benchmark has no examples: leave it out")
    wrong = next((x for x, _ in pairs if not isinstance(x, Tensor)), None)
    if wrong is not None:
        raise InputError(
            f"an example of the benchmark is a {type(wrong).__name__}: give it a transform that makes tensors, such "
            "as torchvision's ToTensor"
        )
    if len({tuple(x.shape) for x, _ in pairs}) > 1:
        raise InputError("examples of a benchmark have one shape: give it a transform that makes them alike")
    classes = torch.tensor([int(y) for _, y in pairs])
    if bool((classes < 0).any()):
        raise InputError(f"classes of a benchmark count from 0, got {int(classes.min())}")
    return torch.stack([x for x, _ in pairs]), classes
