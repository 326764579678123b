"""What our optimizers share: the `step` of `torch.optim`, with a closure, and which gradients they take."""
# pyright: reportPrivateImportUsage=false
# Several tensors at once is public in `torch.optim` only.

import abc
from collections.abc import Callable
from typing import Any, TypeVar, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError

T = TypeVar("T")


class ClosureOptimizer(Optimizer, abc.ABC):
    """An optimizer that says in `_step` what it does without gradients."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], T]) -> T: ...

    def step(self, closure: Callable[[], T] | None = None) -> T | None:
        """One step of every parameter that has a gradient.

        Args:
            closure: Computes the loss and its gradients again.

        Raises:
            InputError: A gradient is sparse or complex.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, in aligned memory wherever it comes from: it goes on bit for bit."""
        super().load_state_dict(aligned(state_dict))

    @abc.abstractmethod
    def _step(self) -> None: ...

    def _slope(self, parameter: Tensor) -> Tensor | None:
        """The gradient; None: it has none.

        Raises:
            InputError: It is sparse or complex.
        """
        slope = parameter.grad
        if slope is not None and (slope.is_sparse or parameter.is_complex()):
            kind = "sparse" if slope.is_sparse else "complex"
            raise InputError(f"{type(self).__name__} takes dense real gradients, got a {kind} one: use another one")
        return slope
