"""Labelled data of any kind, read by the readers that `adapt` and `train` have, as one list with classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.core.texts import Kind
from innerloop.fewshot import examples
from innerloop.fewshot.arrays import pictures
from innerloop.problems import kind_of
from innerloop.problems.classes import Classes
from innerloop.problems.texts import TextClasses
from innerloop.tasks import Pool, datasets, picture_files, tables, texts
from innerloop.tasks.audio import holds_sounds, sound_folder
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.zips import is_zip

_CHOICE, _WHICH = 0xAD0, 0xAD1
"""Folded into the seed for which classes, and which of their examples, are looked at."""
_LOOSE = ("pictures", "texts")
"""Kinds of files that a folder of classes is read as, where it holds no sounds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Examples with their classes."""

    data: str
    """As it was named."""
    kind: Kind
    raw: Sequence[Any] | Tensor
    """n paths or contents of picture files, or texts; or [n, ...] rows: pixels in uint8, or numbers."""
    labels: Tensor
    """[n] int64, indices into `names`."""
    names: tuple[str, ...]
    """Names of the classes, in order."""
    published: bool = False
    """Whether these are the meta-test classes of a data set that comes with a split, not somebody's own."""
    table: TableOptions = TableOptions()
    """How the table was read, where it is one."""
    numbers: Tensor
    """[n] int64, which example of its class each is in what was read, from 1 on, whatever was left out since."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Tensor:
        """[classes] int64, how many examples each has."""
        return torch.bincount(self.labels, minlength=len(self.names))

    def called(self, i: int) -> str:
        """What example i is called: its path or text, or its class and number."""
        one = self.raw[i]
        if self.kind == "texts":
            return str(one)
        if isinstance(one, Path):
            return str(one.relative_to(root) if (root := expanded(self.data)) in one.parents else one)
        return f"{self.names[int(self.labels[i])]} #{int(self.numbers[i])}"

    def at(self, places: Tensor) -> "Material":
        """The examples at some places."""
        return replace(self, raw=_taken(self.raw, places), labels=self.labels[places], numbers=self.numbers[places])

    def of_classes(self, classes: Sequence[int]) -> "Material":
        """The examples of some classes, in the order of these."""
        chosen = self.at(torch.cat([(self.labels == c).nonzero().flatten() for c in classes]))
        place = torch.full((len(self.names),), -1)
        place[torch.tensor(classes)] = torch.arange(len(classes))
        return replace(chosen, labels=place[chosen.labels], names=_taken(self.names, classes))

    def sampled(self, most: int, seed: int) -> "Material":
        """At most so many examples of every class, drawn by the seed, in the order of classes."""
        kept = []
        for c, name in enumerate(self.names):
            places = (self.labels == c).nonzero().flatten()
            key = random.fold(random.fold(random.mix(seed, _WHICH), c), len(name))
            kept.append(places[random.permutation(key, len(places))[:most].sort().values])
        return self.at(torch.cat(kept))

    def pictures(self) -> Any:
        """The examples as picture files are given to whatever reads such."""
        return pictures(self.raw) if isinstance(self.raw, Tensor) else self.raw


def drawn_classes(count: int, most: int, seed: int) -> list[int]:
    """Which classes are looked at of so many, in order."""
    return random.permutation(random.mix(seed, _CHOICE), count)[:most].sort().values.tolist()


def read(data: str, context: Context = Context(), table: TableOptions = TableOptions()) -> Material:
    """Read labelled data.

    Args:
        data: A data set of pictures, sounds or texts (its meta-test classes are taken); a folder or zip with a
            sub-folder of pictures, sounds or `.txt` files for each class; an `.npz` of arrays; a table of texts.
        context: Where data sets lie.
        table: How a table is read.

    Raises:
        InputError: There is no such thing, it has no classes of single examples, holds files of several kinds,
            cannot be read, or is no table and is to be read as one.
    """
    path = expanded(data)
    if texts.parts(data):
        part = texts.load(data, context, None, table).test
        return _sorted(data, "texts", list(part.texts), part.labels, table, published=True)
    if table != TableOptions() and (is_folder(path) or not tables.is_table(path)):
        raise InputError(f"columns and an encoding are of tables, and {data} is none: leave them out")
    if data.replace("_", "-") in datasets.names():
        return _of_pool(data, datasets.load(data, context).test, published=True)
    if is_folder(path) or is_zip(path):
        kind = _kind(path)
        if kind == "sounds":
            return _of_pool(data, sound_folder(path))
        return _sorted(data, kind, *examples.labelled(path, kind), table)
    if is_file(path) and path.suffix.lower() == ".npz":
        return _of_pool(data, npz(path))
    if not is_file(path) and tables.is_table(path):
        raise InputError(f"there is no file {path}: give a folder, zip, table or .npz that is there")
    if tables.is_table(path):
        kind_of(data, {"classes": Classes, "texts": TextClasses})  # which refuses tables of ratings and of tagged words
        return _sorted(data, "texts", *examples.labelled(path, "texts", table), table)
    kind = kind_of(data)  # which says what can be read, and which name is near
    raise InputError(
        f"'{data}' is of {kind.__name__}, which has no classes of single examples to advise on: give pictures, sounds, "
        "texts or arrays with their classes"
    )


def _kind(path: Path) -> Kind:
    """What a folder, or a zip, holds.

    Raises:
        InputError: Nothing that is read, or several kinds of files.
    """
    if holds_sounds(path):
        held = {"sounds": picture_files.SOUNDS, "texts": picture_files.endings_of("texts")}
    else:
        held = {kind: picture_files.endings_of(kind) for kind in _LOOSE}
    counts = {kind: len(picture_files.listing(path, endings).files) for kind, endings in held.items()}
    there = [kind for kind, count in counts.items() if count]
    if not there:
        raise InputError(
            f"{path} holds no pictures, sounds or texts: make a sub-folder for each class and put its files in it"
        )
    if len(there) > 1:
        parts = " and ".join(f"{counts[kind]:,} {kind}" for kind in there)
        raise InputError(f"{path} holds {parts}: advice is for one kind; put each kind into a folder of its own")
    return there[0]  # pyright: ignore[reportReturnType]


def _of_pool(data: str, pool: Pool, published: bool = False) -> Material:
    within = torch.arange(pool.data.shape[1]) < pool.counts[:, None]  # [classes, instances]
    labels, place = within.nonzero().unbind(1)
    seen = pool.data.dtype == torch.uint8 and len(pool.shape) == 3
    kind: Kind = "pictures" if seen else "features"
    if pool.preprocessing is not None and "highest" in pool.preprocessing:
        kind = "sounds"
    return Material(
        data=data,
        kind=kind,
        raw=pool.data[within],
        labels=labels,
        names=tuple(pool.names),
        published=published,
        numbers=place + 1,
    )


def _sorted(
    data: str, kind: Kind, raw: Any, labels: Sequence[Any], table: TableOptions, published: bool = False
) -> Material:
    """Examples in the order of their classes' names."""
    words = [str(label) for label in labels]
    names = tuple(sorted(set(words)))
    place = {name: i for i, name in enumerate(names)}
    index = torch.tensor([place[word] for word in words], dtype=torch.int64)
    order, counts = index.argsort(stable=True), torch.bincount(index, minlength=len(names))
    numbers = 1 + torch.arange(len(index)) - (counts.cumsum(0) - counts)[index[order]]
    raw = from_numpy(raw) if isinstance(raw, np.ndarray) else raw
    return Material(
        data=data,
        kind=kind,
        raw=_taken(raw, order),
        labels=index[order],
        names=names,
        published=published,
        table=table,
        numbers=numbers,
    )


def _taken(values: Any, index: Any) -> Any:
    """Entries of a tensor, or of a sequence of the same type."""
    if isinstance(values, Tensor):
        return values[torch.as_tensor(index)]
    chosen = [values[i] for i in (index.tolist() if isinstance(index, Tensor) else index)]
    return tuple(chosen) if isinstance(values, tuple) else chosen
