"""What every frozen encoder is, and what they share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from innerloop.core.errors import InputError
from innerloop.core.texts import Kind
from innerloop.tasks.images import read_image

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


@runtime_checkable
class Tunable(Protocol):
    """An encoder with a network that can be learned further."""

    @property
    def network(self) -> nn.Module:
        """The network."""
        ...

    def inputs(self, examples: Raw) -> Any:
        """What `rows` takes: a tensor [n, ...], or whatever else the network reads."""
        ...

    def rows(self, network: nn.Module, inputs: Any) -> Tensor:
        """[n, features] rows of inputs, with gradients, by this network or a copy of it with other weights."""
        ...

    def over(self, network: nn.Module) -> Encoder:
        """The same encoder with a copy of its network that has other weights."""
        ...


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What an encoder is, where its name alone does not say it."""

    content: str
    """Hash of its files."""
    revision: str | None = None
    """Commit of the repository that it comes from; None: it is a folder."""

    def to_json(self) -> dict[str, str | None]:
        """Plain JSON values."""
        return asdict(self)


@runtime_checkable
class Pinned(Protocol):
    """An encoder whose files may become others under the same name."""

    @property
    def pin(self) -> Pin:
        """What was read."""
        ...


def content_of(encoder: object) -> str | None:
    """Hash of an encoder's files; None: its name says which they are."""
    return encoder.pin.content if isinstance(encoder, Pinned) else None


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


@contextmanager
def quietly() -> Iterator[None]:
    """Have `transformers` read weights without a bar for each file, and without a report."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def pieces(network: Any, texts: list[str]) -> Any:
    """What a network of `sentence-transformers` reads of texts."""
    read = getattr(network, "preprocess", None) or network.tokenize  # its name before release 6
    return read(texts)


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
