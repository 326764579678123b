"""An encoder some of whose weights are others than it came with, and which of them may be.

The last blocks of a network are tuned: of a transformer its last layers, of EfficientNet its last stage and what
follows it. What lies before them stays as it is, so that a task keeps a few megabytes in place of a whole network.
"""

import copy
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.texts import Kind
from innerloop.encoders.base import Encoder, Exportable, Pin, Pinned, Raw, Tunable

BLOCKS = 2
"""Blocks that are tuned, from the end."""
_LEAST = 3
"""Parts with weights that a list of blocks has; of a network without such a list everything is tuned."""
_TEXTS = 1024
"""Texts whose rows an encoder remembers."""


class Tuned:
    """An encoder with other weights in its last blocks."""

    def __init__(self, base: Encoder, weights: Mapping[str, Tensor]):
        """Put the weights in place; the base stays as it is, and both share all others.

        Args:
            base: The encoder as it comes.
            weights: By their names in its network.

        Raises:
            InputError: Its network has no such weights.
        """
        if not isinstance(base, Tunable):
            raise InputError("its encoder has no network whose weights could be others")
        known = dict(base.network.named_parameters())
        for name, value in weights.items():
            if name not in known or value.shape != known[name].shape or value.dtype != known[name].dtype:
                raise InputError(f"its encoder has no weights '{name}' of shape {list(value.shape)}")
        self.base, self.weights = base, {name: aligned(value.detach()) for name, value in weights.items()}
        self._own = base.over(apart(base.network, self.weights))
        self.kind: Kind = base.kind
        self.alone = functools.lru_cache(_TEXTS)(lambda text: self.encode([text]))
        """[1, features] the row of a text, remembered as long as this encoder is: names of classes are asked again."""
        self.pin = Pin(content=self._content(), revision=base.pin.revision if isinstance(base, Pinned) else None)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tuned, (self.base, self.weights)

    @property
    def features(self) -> int | None:
        """Length of a row, see `Encoder`."""
        return self.base.features

    @property
    def nbytes(self) -> int:
        """Bytes of the weights that are others."""
        return sum(value.nbytes for value in self.weights.values())

    def encode(self, examples: Raw) -> Tensor:
        return self._own.encode(examples)

    def pixels(self) -> tuple[nn.Module, tuple[int, ...]] | None:
        """The network from pictures in [0, 1], see `Exportable`."""
        return self._own.pixels() if isinstance(self._own, Exportable) else None

    def _content(self) -> str:
        digest = hashlib.sha256((self.base.pin.content if isinstance(self.base, Pinned) else "").encode())
        for name, value in sorted(self.weights.items()):
            digest.update(f"{name}\0{list(value.shape)}\0".encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def last_blocks(network: nn.Module) -> list[str]:
    """Names of the weights that are tuned: of the last blocks, and of what comes after them."""
    names = [name for name, value in network.named_parameters() if value.is_floating_point()]
    place = blocks(network)
    if place is None:
        return names
    first = names.index(next(name for name in names if name.startswith(f"{place[0]}.{place[1]}.")))
    return names[first:]


def blocks(network: nn.Module) -> tuple[str, int] | None:
    """The name of a network's list of blocks, and the place of the first one that is tuned; None: it has none."""
    best: tuple[int, str, int] | None = None
    for name, part in network.named_modules():
        if not name or not isinstance(part, nn.ModuleList | nn.Sequential):
            continue
        heavy = [i for i, block in enumerate(part) if any(True for _ in block.parameters())]
        size = sum(value.numel() for value in part.parameters())
        if len(heavy) >= _LEAST and (best is None or size > best[0]):
            best = size, name, heavy[-BLOCKS]
    return None if best is None else best[1:]


def apart(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A copy with other weights, which shares all tensors that are none of these."""
    memo: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
    for name, value in network.named_parameters():
        memo[id(value)] = nn.Parameter(weights[name], requires_grad=False) if name in weights else value
    with torch.no_grad():
        return copy.deepcopy(network, memo)
