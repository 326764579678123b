"""The words every layer shares: parameters, batches, episodes (the contract's data types)."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from innerloop.core import notebook, tree

Params = dict[str, Tensor]
"""Flat by name: a checkpoint, a gradient and a safetensors file are the same thing."""

Metrics = dict[str, Tensor]
"""Scalars worth logging, by name."""


class Batch(NamedTuple):
    """Labelled examples of one task. Stacked tasks carry one more leading axis on every leaf."""

    x: Tensor | dict[str, Tensor]
    """[n, ...] inputs; a dict reaches the model as keyword arguments."""
    y: Tensor
    """[n] int64 classes (-1: unlabelled, as in scikit-learn) or [n, d] float targets."""
    mask: Tensor | None = None
    """[n] bool, which rows are real; None: all. Padding is finite (0), never NaN."""
    classes: Tensor | None = None
    """[ways] bool, which labels exist; its length is the static number of ways."""
    key: Tensor | None = None
    """[] int64, `random.mix(seed, episode index)`: the only source of randomness."""
    weight: Tensor | None = None
    """[n] positive floats, how many rows each counts as; None: every one as 1. Learners that say `weighs` read it."""


def joined(a: Batch, b: Batch) -> Batch:
    """The rows of `a`, then those of `b`, of one task; randomness is that of `a`."""

    def rows(x: Tensor, more: Tensor) -> Tensor:
        return torch.cat([x, more])

    def ones(batch: Batch, dtype: torch.dtype) -> Tensor:
        return torch.ones(len(batch.y), dtype=dtype, device=batch.y.device)

    def real(batch: Batch) -> Tensor:
        return ones(batch, torch.bool) if batch.mask is None else batch.mask

    def weight(batch: Batch) -> Tensor:
        return ones(batch, torch.float32) if batch.weight is None else batch.weight

    if isinstance(a.x, dict) and isinstance(b.x, dict):
        x = {k: rows(v, b.x[k]) for k, v in a.x.items()}
    else:
        assert isinstance(a.x, Tensor) and isinstance(b.x, Tensor)
        x = rows(a.x, b.x)
    mask = None if a.mask is None and b.mask is None else rows(real(a), real(b))
    classes = b.classes if a.classes is None else a.classes if b.classes is None else a.classes | b.classes
    weights = None if a.weight is None and b.weight is None else rows(weight(a), weight(b))
    return Batch(x, rows(a.y, b.y), mask, classes, a.key, weights)


def picked(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of one task: by their places, or by a truth value for each."""
    x, y, mask, weight = tree.map(lambda leaf: leaf[rows], (batch.x, batch.y, batch.mask, batch.weight))
    return batch._replace(x=x, y=y, mask=mask, weight=weight)


class Episode(NamedTuple):
    """One task: what is adapted to, and what the adaptation is measured on."""

    support: Batch
    query: Batch

    def _repr_html_(self) -> str:
        cells = [("part", "x", "y", "values of y")]
        cells += [(name, *_shown(part)) for name, part in zip(self._fields, self, strict=True)]
        return notebook.shown(f"episode: {' and '.join(self._fields)}", cells)


def _shown(batch: Batch) -> tuple[str, str, str]:
    """Shapes of inputs and targets, and which targets there are."""
    parts = batch.x if isinstance(batch.x, dict) else {"": batch.x}
    x = ", ".join(f"{name} {list(one.shape)} {one.dtype}".strip() for name, one in parts.items())
    y = f"{list(batch.y.shape)} {batch.y.dtype}"
    if not batch.y.numel():
        return x, y, "none"
    if batch.y.is_floating_point():
        return x, y, f"{float(batch.y.min()):.3g} to {float(batch.y.max()):.3g}"
    return x, y, "classes " + ", ".join(map(str, batch.y.unique().tolist()[:20]))


class Sampler(Protocol):
    """An endless, seekable stream of tasks: episode `i` is a function of `(seed, i)` alone."""

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked along a leading task axis."""
        ...

    def describe(self) -> dict[str, object]:
        """What is sampled, in plain JSON values: data set, split, class hash, ways, shots, queries, seed.

        `score` names how tasks are scored; see `innerloop.core.scores`.
        """
        ...
