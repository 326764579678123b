"""A network that goes on from where its frozen part ended: what that makes of an example is computed once.

Most of a network lies before its last blocks, and does not change while these are tuned. What the first of them is
given is kept of every example, and given to it again; whether that changes a row is looked at before it is relied on.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.encoders.base import Raw, Tunable
from innerloop.encoders.tuned import apart, blocks, last_blocks

_ASKED, _CLOSE = 4, 1e-3
"""Rows that are compared, and the share of the largest number by which they may differ: padding rounds otherwise."""


class _Skipped(nn.Module):
    """In place of a block whose output nobody looks at."""

    def forward(self, x: Any, *_: Any, **__: Any) -> Any:
        return x


class _Resumed(nn.Module):
    """The first tuned block: it takes what was kept in place of what it is given."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block
        self.state: Tensor | None = None

    def forward(self, x: Any, *others: Any, **named: Any) -> Any:
        return self.block(x if self.state is None else self.state, *others, **named)


class Replay:
    """Examples as an encoder's last blocks see them.

    Args:
        encoder: Whose.
        examples: All that will be asked for, as `Tunable.inputs` takes them.
        look: Called before each of them is seen for the first time; what it raises ends that.
    """

    def __init__(self, encoder: Tunable, examples: Raw, look: Callable[[], None] = lambda: None):
        self._encoder, self._examples, self._look = encoder, examples, look
        self.names = last_blocks(encoder.network)
        self._place = blocks(encoder.network)
        self._states: list[Tensor] | None = None
        if self._place is not None:
            self._states = self._recorded()
            if self._states is not None and not self._faithful():
                self._states = None

    def network(self, weights: dict[str, Tensor] | None = None) -> tuple[nn.Module, dict[str, Tensor]]:
        """A copy to be tuned, and its weights that are.

        Args:
            weights: What they begin as; None: as the encoder has them.
        """
        own = dict(self._encoder.network.named_parameters())
        begin = {name: own[name].detach().clone() for name in self.names} if weights is None else weights
        network = apart(self._encoder.network, begin).eval()
        tuned = dict(network.named_parameters())
        if self._states is not None:
            assert self._place is not None
            name, first = self._place
            part: Any = network.get_submodule(name)
            for i in range(first):
                part[i] = _Skipped()
            part[first] = _Resumed(part[first])
        return network, {name: tuned[name].requires_grad_(True) for name in self.names}

    def rows(self, network: nn.Module, places: list[int]) -> Tensor:
        """[n, features] rows of some examples, with gradients, by what `network` returned."""
        inputs = self._encoder.inputs(self._some(places)) if self._reads else None
        if self._states is not None:
            assert self._place is not None
            name, first = self._place
            resumed: Any = network.get_submodule(f"{name}.{first}")
            resumed.state = _joined([self._states[i] for i in places])
            if inputs is None:  # what is in a picture is seen by no block that is left
                inputs = self._blank.expand(len(places), *self._blank.shape[1:])
        return self._encoder.rows(network, inputs)

    @property
    def is_short(self) -> bool:
        """Whether the frozen part is left out."""
        return self._states is not None

    @property
    def _reads(self) -> bool:
        """Whether inputs matter beside what was kept: the marks of padding of texts do."""
        return self._states is None or not isinstance(self._blank, Tensor)

    def _some(self, places: list[int]) -> Raw:
        if isinstance(self._examples, Tensor):
            return self._examples[places]
        return [self._examples[i] for i in places]

    def _recorded(self) -> list[Tensor] | None:
        """What the first tuned block is given of each example alone; None: something else than one tensor."""
        assert self._place is not None
        name, first = self._place
        given: list[Any] = []
        network = self._encoder.over(apart(self._encoder.network, {}))
        assert isinstance(network, Tunable)
        block = network.network.get_submodule(f"{name}.{first}")
        block.register_forward_pre_hook(lambda _, args: given.append(args[0] if args else None))
        with torch.no_grad():
            for i in range(len(self._examples)):
                self._look()
                inputs = network.inputs(self._examples[i : i + 1])
                network.rows(network.network, inputs)
                self._blank: Any = torch.zeros_like(inputs) if isinstance(inputs, Tensor) else inputs
        whole = len(given) == len(self._examples) and all(isinstance(x, Tensor) and len(x) == 1 for x in given)
        return [x.clone() for x in given] if whole else None

    def _faithful(self) -> bool:
        some = list(range(min(_ASKED, len(self._examples))))
        with torch.no_grad():
            inputs = self._encoder.inputs(self._some(some))
            whole = self._encoder.rows(self._encoder.network, inputs)
            try:
                rest = self.rows(self.network()[0], some)
            except (RuntimeError, TypeError, ValueError, IndexError):  # of a network that wants more than that
                return False
        return rest.shape == whole.shape and bool((rest - whole).abs().max() <= _CLOSE * whole.abs().max())


def _joined(states: list[Tensor]) -> Tensor:
    """[n, ...] of n states [1, ...]; of texts, whose second axis is words, padded at their ends."""
    longest = max(state.shape[1] for state in states)
    if all(state.shape[1] == longest for state in states):
        return torch.cat(states)
    padded = [torch.nn.functional.pad(x, (0, 0) * (x.ndim - 2) + (0, longest - x.shape[1])) for x in states]
    return torch.cat(padded)
