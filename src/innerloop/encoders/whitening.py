"""Whitening of rows: what differs between words of one type counts little, without any training.

Rows are mapped so that their covariance within types, as labelled words of other domains show it, becomes the unit
matrix. Nearest words and means of the mapped rows are those of linear discriminant analysis (Fisher 1936) with a
covariance that is borrowed from elsewhere, where a handful of examples could not tell it.
"""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.objectives import normalize
from innerloop.encoders.base import Pin, content_of
from innerloop.encoders.tokens import TokenEncoder, TokenRows
from innerloop.tasks.entities.domains import Domain
from innerloop.tasks.entities.sentences import OTHER

SHRINKAGE = 0.1
"""Part of the covariance that is taken to be the same in every direction, so that it can always be inverted."""

_LEAST = 1e-12
"""Variance where all words of a type are the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """A linear map of rows, between two scalings to length 1."""

    mean: Tensor  # [features]
    map: Tensor  # [features, features]

    @classmethod
    def fit(
        cls,
        rows: Tensor,
        types: Sequence[str],
        domains: Sequence[Hashable] | None = None,
        shrinkage: float = SHRINKAGE,
    ) -> Self:
        """Find the map for which labelled rows have unit covariance within types.

        Words of no entity count for the mean alone: they are no cluster, and outnumber the others ten to one.

        Args:
            rows: [n, features] of words.
            types: Of each word, `OTHER` of none.
            domains: Of each word, where they are of several: a type may lie elsewhere in each. None: one.
            shrinkage: From 0 (exclusive) to 1, see `SHRINKAGE`; with 1 nothing but the mean changes.

        Raises:
            InputError: Types or domains are not as many as rows, no type has two words, or `shrinkage` is out of range.
        """
        groups = list(zip([None] * len(types) if domains is None else domains, types, strict=False))
        if len(rows) != len(types) or len(groups) != len(types):
            raise InputError(f"{len(rows)} rows have {len(types)} types and {len(groups)} domains: give one for each")
        if not 0 < shrinkage <= 1:
            raise InputError(f"shrinkage is {shrinkage}; it lies above 0 (as the rows say) and up to 1 (not at all)")
        scaled = normalize(rows.double())
        inner = _within(scaled, groups)
        values, vectors = torch.linalg.eigh(inner)
        values = values.clamp_min(0)  # what is 0 comes out below it, by rounding
        values = (1 - shrinkage) * values + shrinkage * values.mean().clamp_min(_LEAST)
        return cls(mean=scaled.mean(0).float(), map=(vectors * values.rsqrt() @ vectors.T).float())

    @classmethod
    def of_domains(cls, domains: Sequence[Domain], rows: Callable[[Domain], Tensor]) -> Self:
        """`fit` on the words of some domains; those of a type that tasks do not ask for count as none.

        Args:
            domains: Others than those that are tested on; of one file, with the types that are not tested on.
            rows: [words, features] of a domain.

        Raises:
            InputError: No type has two words.
        """
        types, names = list[str](), list[str]()
        for domain in domains:
            own = [kind for sentence in domain.sentences for kind in sentence.types]
            types += [kind if kind in domain.types else OTHER for kind in own]
            names += [domain.name] * len(own)
        return cls.fit(torch.cat([rows(domain) for domain in domains]), types, names)

    def apply(self, rows: Tensor) -> Tensor:
        """[n, features] rows of length 1, in which all directions differ alike within a type."""
        return normalize((normalize(rows) - self.mean.to(rows)) @ self.map.to(rows))

    def tensors(self) -> dict[str, Tensor]:
        """What is kept in a file, see `of`."""
        return {"mean": self.mean, "map": self.map}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The whitening of kept tensors.

        Raises:
            InputError: They are not of a whitening.
        """
        mean, linear = tensors.get("mean"), tensors.get("map")
        if mean is None or linear is None or mean.ndim != 1 or linear.shape != (len(mean), len(mean)):
            shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
            raise InputError(f"a whitening is a mean [features] and a map [features, features], got {shapes}")
        return cls(mean=aligned(mean), map=aligned(linear))

    @cached_property
    def digest(self) -> str:
        """Hash of its numbers."""
        return hashlib.sha256(self.mean.numpy().tobytes() + self.map.numpy().tobytes()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitened:
    """A token encoder whose rows are whitened, itself a `TokenEncoder`."""

    encoder: TokenEncoder
    whitening: Whitening

    def __post_init__(self) -> None:
        if len(self.whitening.mean) != self.encoder.features:
            raise InputError(
                f"the whitening is of {len(self.whitening.mean)} features, and {self.encoder.name} has "
                f"{self.encoder.features}: fit one on rows of this encoder"
            )

    @property
    def name(self) -> str:
        """The encoder's; what whitens it has to be kept beside it."""
        return self.encoder.name

    @property
    def features(self) -> int:
        return self.encoder.features

    @property
    def pin(self) -> Pin:
        """Hash of the map, and of the encoder's files where they may change."""
        return Pin(content=f"{content_of(self.encoder) or ''}{self.whitening.digest}")

    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        rows, lengths = self.encoder.encode(sentences)
        return TokenRows(self.whitening.apply(rows), lengths)


def _within(rows: Tensor, groups: Sequence[tuple[Hashable, str]]) -> Tensor:
    """[features, features] covariance around the mean of each group of entities."""
    index = {group: i for i, group in enumerate(dict.fromkeys(group for group in groups if group[1] != OTHER))}
    of = torch.tensor([index.get(group, -1) for group in groups], dtype=torch.int64)
    rows, of = rows[of >= 0], of[of >= 0]
    if len(rows) == len(index):
        raise InputError(
            "whitening needs words of entities, two or more of a type: how words of one type differ is what it is of"
        )
    sums = torch.zeros(len(index), rows.shape[1], dtype=rows.dtype).index_add_(0, of, rows)
    inner = rows - (sums / torch.bincount(of)[:, None])[of]
    return inner.T @ inner / (len(rows) - len(index))
