"""The words every layer shares: parameters, batches, episodes (the contract's data types)."""

from typing import NamedTuple, Protocol

from torch import Tensor

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


class Episode(NamedTuple):
    """One task: what is adapted to, and what the adaptation is measured on."""

    support: Batch
    query: Batch


class Sampler(Protocol):
    """An endless, seekable stream of tasks: episode `i` is a function of `(seed, i)` alone."""

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked along a leading task axis."""
        ...

    def describe(self) -> dict[str, object]:
        """What is sampled, in plain JSON values: data set, split, class hash, ways, shots, queries, seed."""
        ...
