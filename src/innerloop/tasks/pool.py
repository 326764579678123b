"""Classes to draw tasks from: one array of `[classes, instances, ...]`, and splits of it that share no class."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from innerloop.core import notebook, random
from innerloop.core.errors import InputError
from innerloop.core.names import composed
from innerloop.core.plain import is_whole, normalise, plain
from innerloop.tasks.split_sizes import default_sizes as default_sizes  # also by its first name

_ROTATIONS = ("rot090", "rot180", "rot270")
_SHORT = 16
_HEADS = ("split", "classes", "examples", "of a class", "shape of one")
Role = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The classes of one split of one data set, with all their examples.

    Raises:
        InputError: Shapes, counts and names do not fit together, a name occurs twice, or a value is not finite.
    """

    data: Tensor
    """[classes, instances, ...] uint8 (pictures: [..., channels, height, width], 255 is 1.0) or floating point. Vectors
    are the numbers that they hold, also in uint8."""
    counts: Tensor
    """[classes] int64, how many instances are real; the rest is padding."""
    names: tuple[str, ...]
    """One a class, unique: what a class is called, and what makes it the same class in another split."""
    groups: tuple[str, ...] = ()
    """One a class, such as the alphabet or script; empty: none are known."""
    dataset: str = "arrays"
    split: str = "all"
    preprocessing: dict[str, Any] | None = None
    """How a file becomes a row, as keyword arguments of `image_folder` or `sound_folder`; None: rows were no files."""
    role: Role | None = None
    """What its classes are for, which `Splits` says; nothing is guessed from the name of the split."""

    def __post_init__(self) -> None:
        self._check_types()
        classes = len(self.names)
        if self.data.ndim < 3 or len(self.data) != classes or self.counts.shape != (classes,):
            raise InputError(
                f"{self.dataset}: data [classes, instances, ...], counts [classes] and names must agree; got data "
                f"{list(self.data.shape)}, counts {list(self.counts.shape)} and {classes} names"
            )
        if self.groups and len(self.groups) != classes:
            raise InputError(
                f"{self.dataset}: {classes} classes have {len(self.groups)} groups; give one each, or none"
            )
        if self.data.dtype != torch.uint8 and not self.data.is_floating_point():
            raise InputError(f"{self.dataset}: data must be uint8 or floating point, got {self.data.dtype}")
        twice = [(name, count) for name, count in Counter(map(composed, self.names)).items() if count > 1]
        if twice:
            name, times = twice[0]
            raise InputError(f"{self.dataset}: class '{name}' occurs {times} times; names must be unique")
        outside = ((self.counts < 1) | (self.counts > self.data.shape[1])).nonzero().flatten().tolist()
        if outside:
            i = outside[0]
            raise InputError(
                f"{self.dataset}: class '{self.names[i]}' has {int(self.counts[i])} examples; every class needs at "
                f"least one, and the data have room for {self.data.shape[1]}"
            )
        self._check_finite()

    @classmethod
    def from_arrays(cls, x: Any, y: Any, *, dataset: str = "arrays") -> "Pool":
        """Sort labelled rows into a pool, as an `.npz` file of them is read.

        Args:
            x: [n, ...] an array, a tensor or a list: uint8 pictures [n, channels, height, width], [n, height, width] or
                with their channels last; or numbers [n, ...].
            y: [n] the class of each, texts or numbers.
            dataset: As the field.

        Raises:
            InputError: Not one label for each row, other things than numbers and labels, NaN or infinite values.
        """
        from innerloop.tasks.datasets.arrays import labelled  # which makes pools: at the top it would be a circle

        return labelled(x, y, dataset=dataset, name=dataset)

    @classmethod
    def from_dataset(
        cls,
        data: Any,
        *,
        x: str | None = None,
        y: str | None = None,
        encode: Callable[[list[Any]], Any] | None = None,
        size: int | None = None,
        channels: int | None = None,
        ink: Literal["auto", "dark", "light"] = "auto",
        dataset: str = "arrays",
    ) -> "Pool":
        """Sort a labelled data set of another library into a pool: see `tasks.other_sets`.

        Args:
            data: Of Hugging Face datasets, of torchvision, or anything whose items are pairs (example, class).
            x: Column of the examples, where there are columns and it cannot be told.
            y: Column of the classes, likewise.
            encode: Makes [n, ...] rows of examples, such as `encode` of an encoder; needed for texts.
            size: For pictures of Pillow, as in `image_folder`; likewise the following two.
            channels: 1 or 3.
            ink: What strokes look like.
            dataset: As the field.

        Raises:
            InputError: It is no such data set, its columns cannot be told, or as of `from_arrays` and `image_folder`.
        """
        from innerloop.tasks.other_sets import pool_of

        return pool_of(data, x, y, encode, size, channels, ink, dataset)

    def __len__(self) -> int:
        """How many classes there are."""
        return len(self.names)

    def _repr_html_(self) -> str:
        return notebook.shown(f"{self.dataset}: {self.split}", [_HEADS[1:], _cells("", self)[1:]])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.data.shape[2:])

    @property
    def class_hash(self) -> str:
        """Short sha256 of the class names in order: equal for two pools that mean the same classes."""
        return hashlib.sha256("\n".join(self.names).encode(errors="surrogatepass")).hexdigest()[:_SHORT]

    @functools.cached_property
    def digest(self) -> str:
        """Short sha256 of the examples themselves: equal names over other pictures are other data."""
        content = hashlib.sha256(json.dumps([str(self.data.dtype), self.shape, self.preprocessing]).encode())
        content.update(self.counts.cpu().numpy().tobytes())
        for rows, count in zip(self.data, self.counts.tolist(), strict=True):  # padding is no data
            content.update(rows[:count].detach().contiguous().cpu().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()[:_SHORT]

    def take(self, indices: Iterable[int], split: str | None = None) -> "Pool":
        """The pool of some classes, in the order given.

        Args:
            indices: Of classes.
            split: Name of the new pool's split; None keeps it.

        Raises:
            InputError: There is no such class.
        """
        index = [plain(i) for i in indices]
        wrong = [i for i in index if not is_whole(i, 0) or i >= len(self)]
        if wrong:
            raise InputError(f"{self.dataset} has classes 0 to {len(self) - 1}; there is no class {wrong[0]}")
        rows = torch.tensor(index, dtype=torch.int64)
        return replace(
            self,
            data=self.data[rows],
            counts=self.counts[rows],
            names=tuple(self.names[i] for i in index),
            groups=tuple(self.groups[i] for i in index) if self.groups else (),
            split=self.split if split is None else split,
        )

    def rotated(self) -> "Pool":
        """Every class and, as three new ones named `<name>/rot090` and so on, its rotations counter-clockwise.

        Raises:
            InputError: The examples are not square pictures, or there are rotated classes already.
        """
        if len(self.shape) != 3 or self.shape[1] != self.shape[2]:
            raise InputError(f"{self.dataset}: only square pictures can be rotated; examples are {list(self.shape)}")
        if any(base_name(name) != name for name in self.names):
            raise InputError(f"{self.dataset}: the classes are rotated already")
        turned = [self.data.rot90(k, dims=(-2, -1)) for k in range(4)]
        return replace(
            self,
            data=torch.cat(turned),
            counts=self.counts.repeat(4),
            names=self.names + tuple(f"{name}/{turn}" for turn in _ROTATIONS for name in self.names),
            groups=self.groups * 4,
        )

    def to(self, device: torch.device | str) -> "Pool":
        """The pool with its data on a device: its episodes are gathered, made floats and handed out there."""
        return replace(self, data=self.data.to(device))

    def without_rotations(self) -> "Pool":
        """The classes that `rotated` started from."""
        return self.take(i for i, name in enumerate(self.names) if base_name(name) == name)

    def rows(self, index: Tensor) -> Tensor:
        """Examples as a model takes them, [*index.shape, ...]: one gather, and one conversion on the data's device.

        Args:
            index: `class * instances + instance` of each.
        """
        flat, index = self.data.flatten(0, 1), index.to(self.data.device)
        if flat.dtype == torch.uint8 and flat.device.type == "cpu":
            # One thread: a gather is too short for several, which wait for each other where cores are busy. The mode
            # matters only because NumPy's default would copy the result once more.
            taken = torch.empty((index.numel(), *self.shape), dtype=torch.uint8)
            np.take(flat.numpy(), index.flatten().numpy(), axis=0, out=taken.numpy(), mode="wrap")
        else:
            taken = flat.index_select(0, index.flatten())
        return self.as_float(taken).view(*index.shape, *self.shape)

    def as_float(self, rows: Tensor) -> Tensor:
        """Rows of `data` as a model takes them: pixels in uint8 become float32 in [0, 1], numbers stay."""
        if rows.dtype != torch.uint8:
            return rows
        if len(self.shape) == 1:
            return rows.float()  # a vector is the same numbers in every type: of a column, the type is an accident
        if rows.device.type != "cpu":
            return rows / 255
        # The same numbers in half of the time: torch divides a copy in float32, NumPy small pieces of it.
        floats = torch.empty_like(rows, dtype=torch.float32)
        np.divide(rows.numpy(), np.float32(255), out=floats.numpy(), dtype=np.float32)
        return floats

    def _check_types(self) -> None:
        """Make lists tuples, and counts a tensor; refuse what cannot be."""
        normalise(self)
        if self.groups is None:
            object.__setattr__(self, "groups", ())
        if not isinstance(self.data, Tensor) or self.data.layout != torch.strided:
            kind = self.data.layout if isinstance(self.data, Tensor) else type(self.data).__name__
            raise InputError(
                f"{self.dataset}: data must be a dense tensor, got {kind}; of arrays, torch.from_numpy makes one"
            )
        if not isinstance(self.names, tuple) or not all(isinstance(name, str) for name in self.names):
            raise InputError(f"{self.dataset}: names must be a text for each class, got {self.names!r:.80}")
        if self.role not in (None, *get_args(Role)):
            raise InputError(f"{self.dataset}: role must be {', '.join(get_args(Role))} or None, got {self.role!r}")
        try:
            counts = torch.as_tensor(self.counts)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{self.dataset}: counts must be whole numbers, [classes] ({error})") from error
        if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
            raise InputError(f"{self.dataset}: counts must be whole numbers, [classes], got {counts.dtype}")
        object.__setattr__(self, "counts", counts.to(torch.int64))

    def _check_finite(self) -> None:
        if not self.data.is_floating_point():
            return
        wrong = ~torch.isfinite(self.data).flatten(2).all(-1)  # [classes, instances]
        if wrong.any():
            i, j = wrong.nonzero()[0].tolist()
            raise InputError(
                f"{self.dataset}: {int(wrong.sum())} examples hold NaN or infinite values, the first is example {j} of "
                f"class '{self.names[i]}'; remove or fill them (padding must be finite too)"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Three pools that share no class: what is trained on, chosen with, and tested on.

    Raises:
        InputError: A class, or a rotation of it, is in two of them.
    """

    train: Pool
    validation: Pool
    test: Pool

    def __post_init__(self) -> None:
        check_disjoint(self.pools())
        for role, pool in self.pools().items():
            if pool.role != role:
                object.__setattr__(self, role, replace(pool, role=role))

    def _repr_html_(self) -> str:
        rows = [_cells(role, pool) for role, pool in self.pools().items()]
        return notebook.shown(self.train.dataset, [_HEADS, *rows])

    def pools(self) -> dict[str, Pool]:
        """The pools by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _cells(role: str, pool: Pool) -> tuple[object, ...]:
    """What a notebook shows of a pool, under `_HEADS`."""
    low, high = int(pool.counts.min()), int(pool.counts.max())
    of_each = str(low) if low == high else f"{low} to {high}"
    return role, len(pool), int(pool.counts.sum()), of_each, f"{list(pool.shape)} {pool.data.dtype}"


def base_name(name: str) -> str:
    """The name of the class that a rotated class came from."""
    base, _, last = name.rpartition("/")
    return base if last in _ROTATIONS else name


def check_disjoint(pools: Mapping[str, Pool]) -> None:
    """Refuse pools that share a class; a rotation counts as the class it came from.

    Raises:
        InputError: Two pools do.
    """
    owner: dict[str, str] = {}
    for split, pool in pools.items():
        for name in dict.fromkeys(composed(base_name(name)) for name in pool.names):
            if name in owner:
                raise InputError(
                    f"{pool.dataset}: class '{name}' is in both {owner[name]} and {split}; splits must share no class, "
                    "or the test is not of new ones"
                )
            owner[name] = split


def split_classes(pool: Pool, sizes: Mapping[str, int], seed: int = 0) -> Splits:
    """Cut a pool into splits by a seeded shuffle of its classes.

    Args:
        pool: All classes.
        sizes: How many classes go to `train`, `validation` and `test`.
        seed: Of the shuffle.

    Raises:
        InputError: The sizes ask for more classes than there are, or are of other splits.
    """
    if set(sizes) != set(get_args(Role)) or not all(is_whole(plain(size)) for size in sizes.values()):
        raise InputError(f"sizes say how many classes go to {', '.join(get_args(Role))}, got {dict(sizes)}")
    if sum(sizes.values()) > len(pool) or min(sizes.values()) < 1:
        asked = " + ".join(f"{size} {name}" for name, size in sizes.items())
        need = sum(sizes.values())
        raise InputError(f"{pool.dataset} has {len(pool)} classes; {asked} need {need}, at least one each")
    order = random.permutation(random.mix(seed, 0), len(pool)).tolist()
    pools, start = {}, 0
    for name, size in sizes.items():
        pools[name] = pool.take(sorted(order[start : start + size]), split=name)
        start += size
    return Splits(**pools)


def from_rows(
    x: Tensor,
    y: Sequence[int],
    names: Sequence[str],
    *,
    groups: Sequence[str] = (),
    dataset: str = "arrays",
    split: str = "all",
    preprocessing: dict[str, Any] | None = None,
) -> Pool:
    """Sort labelled rows into a pool, padding classes with fewer examples by zeros.

    Args:
        x: [n, ...] the rows, in any order.
        y: [n] the class of each, an index into `names`.
        names: Of the classes.
        groups: As in `Pool`.
        dataset: As in `Pool`.
        split: As in `Pool`.
        preprocessing: As in `Pool`.

    Raises:
        InputError: As `Pool`.
    """
    labels = torch.as_tensor(_indices(y, len(x), len(names), dataset), dtype=torch.int64)
    counts = torch.bincount(labels, minlength=len(names))
    order = labels.argsort(stable=True)
    slot = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    x = x[:, None] if x.ndim == 1 else x
    data = torch.zeros(len(names), int(counts.max()) if len(names) else 0, *x.shape[1:], dtype=x.dtype)
    data[labels[order], slot] = x[order]
    return Pool(
        data=data,
        counts=counts,
        names=tuple(names),
        groups=tuple(groups),
        dataset=dataset,
        split=split,
        preprocessing=preprocessing,
    )


def _indices(y: Sequence[int], rows: int, classes: int, dataset: str) -> list[int]:
    index = [plain(i) for i in (y.tolist() if isinstance(y, Tensor) else y)]
    wrong = next((i for i in index if not is_whole(i, 0) or i >= classes), None)
    if wrong is not None:
        raise InputError(f"{dataset}: y holds {wrong!r}, no place of a class in names, from 0 to {classes - 1}")
    if len(index) != rows:
        raise InputError(f"{dataset}: {rows} rows have {len(index)} classes in y: give one each")
    return index
