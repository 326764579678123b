"""A network of one's own as a frozen encoder, named as `package.module:attribute`.

The attribute is an `nn.Module`, a class of it that needs no arguments, or a function that returns one. What its
`forward` takes is said by attributes of the module:

- `kind = "features"` (or nothing): float arrays [n, ...].
- `kind = "pictures"`, or a `size`: [n, channels, size, size] in [0, 1], from picture files; `channels` is 3 unless it
  is said to be 1, `mean` and `std` (numbers, or one a channel) are subtracted and divided by.
- `kind = "texts"`: a list of strings.

It returns [n, features], and is used in eval mode, without gradients, with the weights it comes with.
"""

import copy
import functools
import threading
from typing import Any, get_args

import torch
from torch import Tensor, nn

from innerloop.core.aligned import align, aligned
from innerloop.core.errors import InputError
from innerloop.core.importing import network
from innerloop.core.plain import plain
from innerloop.core.texts import Kind, readable
from innerloop.encoders.base import Encoder, Raw, Scaled, pictures

LONGEST = 100_000
"""Characters of a text."""
_BATCH = 16


class Own:
    """Somebody's network, as it is."""

    def __init__(self, name: str, module: nn.Module):
        """Read what the module says of itself, and try it on a blank example where it says enough.

        Args:
            name: What errors call it.
            module: It is copied, and the copy put in eval mode.

        Raises:
            InputError: Attributes that make no sense, or a trial that fails.
        """
        self._name, self._lock = name, threading.Lock()
        try:
            self.network = align(copy.deepcopy(module)).eval().requires_grad_(False)
        except (RuntimeError, TypeError, ValueError) as error:  # lazy layers, or tensors with a history on it
            raise InputError(f"'{name}' cannot be copied ({error}): return a network that was built whole") from error
        self.size: int | None = plain(getattr(module, "size", None))
        self.kind: Kind = getattr(module, "kind", "features" if self.size is None else "pictures")
        if self.kind not in get_args(Kind):
            raise InputError(f"'{name}' has kind {self.kind!r}: choose {', '.join(get_args(Kind))}")
        self.channels = plain(getattr(module, "channels", 3))
        if self.kind == "pictures" and self.channels not in (1, 3):
            raise InputError(f"'{name}' has channels {self.channels!r}: pictures are read with 1 (grey) or 3 (colour)")
        self.features: int | None = None
        if self.kind == "texts":
            self.features = self._rows([""]).shape[1]
        elif self.kind == "pictures":
            if not isinstance(self.size, int) or self.size < 1:
                raise InputError(f"'{name}' takes pictures, so it needs an attribute `size`: their height and width")
            self._mean, self._std = (self._statistic(module, k, d) for k, d in (("mean", 0.0), ("std", 1.0)))
            self.features = self._rows(torch.zeros(1, self.channels, *2 * [self.size])).shape[1]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock = threading.Lock()  # of this process, for this copy

    def encode(self, examples: Raw) -> Tensor:
        parts = [self._rows(self.inputs(examples[i : i + _BATCH], i)) for i in range(0, len(examples), _BATCH)]
        return torch.cat(parts) if parts else torch.zeros(0, self.features or 0)

    def pixels(self) -> tuple[nn.Module, tuple[int, ...]] | None:
        """The network from pictures in [0, 1], see `Exportable`."""
        if self.kind != "pictures":
            return None
        assert self.size is not None
        return Scaled(self.network, self._mean, self._std), (self.channels, self.size, self.size)

    def inputs(self, examples: Raw, first: int = 0) -> Tensor | list[str]:
        """What the network takes; `first` is the number of the first example, for errors."""
        if self.kind == "texts":
            return readable(examples, LONGEST)
        if self.kind == "pictures":
            assert self.size is not None
            x = pictures(examples, self.size, self.channels, first).float() / 255
            return (x - self._mean) / self._std
        try:
            return aligned(torch.as_tensor(examples).float())
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"'{self._name}' takes arrays of numbers [n, ...] ({error})") from error

    def rows(self, network: nn.Module, inputs: Tensor | list[str]) -> Tensor:
        """Rows of inputs, see `Tunable`."""
        return network(inputs).float()

    def over(self, network: nn.Module) -> "Own":
        """The same with other weights, see `Tunable`."""
        other = object.__new__(type(self))
        other.__setstate__(self.__getstate__() | {"network": network})
        return other

    @torch.no_grad()
    def _rows(self, x: Tensor | list[str]) -> Tensor:
        try:
            with self._lock:  # nobody knows what it keeps on itself
                rows = self.network(x)
        except Exception as error:  # their code
            shape = f" of shape {list(x.shape)}" if isinstance(x, Tensor) else ""
            raise InputError(
                f"'{self._name}' failed on {self.kind}{shape} ({type(error).__name__}: {error}). Its attributes "
                "`kind`, `size` and `channels` say what it is given"
            ) from error
        if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(x):
            shape = list(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise InputError(f"'{self._name}' must return [n, features] for n = {len(x)}, it returned {shape}")
        return rows.detach().float().cpu()

    def _statistic(self, module: nn.Module, name: str, usual: float) -> Tensor:
        value: Any = getattr(module, name, usual)
        values = torch.as_tensor(value).float().flatten()
        if len(values) not in (1, self.channels):
            raise InputError(
                f"'{self._name}' has {len(values)} values of `{name}` for {self.channels} channels: give one a channel"
            )
        return values[:, None, None]


@functools.cache
def load(path: str, allow: tuple[str, ...]) -> Encoder:
    """Import the network; once a process.

    Args:
        path: `package.module:attribute`.
        allow: Prefixes of modules that may be imported: it runs their code.

    Raises:
        InputError: It is not allowed, cannot be imported, or is no such network.
    """
    return Own(path, network(path, allow))
