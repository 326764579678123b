"""What every frozen encoder is, and what they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from innerloop.core.errors import InputError
from innerloop.tasks.images import read_image

Kind = Literal["pictures", "texts", "features"]
Raw = Sequence[str | Path | bytes] | np.ndarray | Tensor
"""pictures: files by path or content. texts: strings. features: an array [n, ...]."""


class Encoder(Protocol):
    """A network that is used as it is. `encode` may be called from many threads at once."""

    @property
    def kind(self) -> Kind:
        """What raw examples are. With `features` every array is raw, and goes through `encode`."""
        ...

    @property
    def features(self) -> int | None:
        """Length of a row; None: of somebody's network on arrays, not known before it is used."""
        ...

    def encode(self, examples: Raw) -> Tensor:
        """[n, features] float32 rows, computed in batches.

        Raises:
            InputError: An example cannot be read, or is of another kind.
        """
        ...


@runtime_checkable
class Exportable(Protocol):
    """An encoder that may be part of a graph which is used without this package."""

    def pixels(self) -> tuple[nn.Module, tuple[int, ...]] | None:
        """From pictures [n, channels, size, size] in [0, 1] to rows, and the shape of one; None: it takes others."""
        ...


class Scaled(nn.Module):
    """A network behind the scaling of its pictures."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


def texts(examples: Raw, longest: int) -> list[str]:
    """Examples as text that any encoder can read: of bounded length and without lone surrogates.

    Args:
        examples: What was given.
        longest: Characters; what is beyond has no influence.

    Raises:
        InputError: Something else than strings.
    """
    if isinstance(examples, str):
        raise InputError("X is one text; give a list of texts")
    readable = []
    for i, text in enumerate(examples):
        if not isinstance(text, str):
            raise InputError(f"example {i} is of type {type(text).__name__}; this encoder reads texts (str)")
        # A lone surrogate (half of a character, from broken JSON) cannot be written as UTF-8.
        readable.append(text[:longest].encode("utf-8", "replace").decode("utf-8"))
    return readable


def pictures(examples: Raw, size: int, channels: int, first: int = 0) -> Tensor:
    """Picture files as rows.

    Args:
        examples: Paths, or the content of files.
        size: Height and width.
        channels: 3 for colour, 1 for grey.
        first: The number of the first one, for errors.

    Returns:
        [n, channels, size, size] uint8.

    Raises:
        InputError: One cannot be read.
    """
    rows = []
    for i, example in enumerate(examples, first):
        if not isinstance(example, str | Path | bytes):
            raise InputError(
                f"example {i} is of type {type(example).__name__}; this encoder reads pictures: give paths, or the "
                "content of files (bytes)"
            )
        called = getattr(example, "name", f"picture {i}") if isinstance(example, bytes) else ""
        rows.append(read_image(example, size, channels, "light", called))
    return torch.stack(rows)
