"""What our optimizers share: the `step` of `torch.optim`, with a closure, and which gradients they take."""
# pyright: reportPrivateImportUsage=false
# Several tensors at once is public in `torch.optim` only.

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.ranges import checked

T = TypeVar("T")


class ClosureOptimizer(Optimizer, abc.ABC):
    """An optimizer that says in `_step` what it does without gradients."""

    options: ClassVar[Mapping[str, Any]]
    """What each option of a group may be, as an annotation of `core.ranges`."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any]):
        super().__init__(params, self._plain(defaults))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Further parameters, with options of their own.

        Raises:
            InputError: An option is out of its range.
        """
        # The constructor comes here too, with every group that it was given; what is no group torch refuses.
        if isinstance(param_group, dict):
            param_group = param_group | self._plain({k: v for k, v in param_group.items() if k in self.options})
        super().add_param_group(param_group)

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

    def _plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Options as plain numbers.

        Raises:
            InputError: One is out of its range.
        """
        # torch's optimizers take a tensor for a rate, which a step here would change in place.
        numbers = {k: v.item() if isinstance(v, Tensor) and not v.ndim else v for k, v in values.items()}
        return {k: checked(type(self).__name__, k, v, self.options[k]) for k, v in numbers.items()}

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
