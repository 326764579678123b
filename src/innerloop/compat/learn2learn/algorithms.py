"""MAML and Meta-SGD as learn2learn writes them: a module is wrapped, cloned for a task, and adapted by losses.

Adaptation is `clone.adapt(loss)`: one step of gradient descent on the clone's parameters, which stays on the graph.
A clone's `module` is a module of its own, so that parts of it (`clone.features(x)`) compute with adapted weights too.
What runs over many tasks at once, resumes and is audited is `innerloop.MAML` with `innerloop.meta_train`.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.compat.learn2learn.absent import absent, own_arguments
from innerloop.compat.learn2learn.utils import Spots, clone_module, put, spots_of, update_module
from innerloop.core.errors import InputError
from innerloop.core.model import Model

__all__ = ["MAML", "BaseLearner", "MetaSGD", "maml_update", "meta_sgd_update"]
_MANY = 3


def __getattr__(name: str) -> Any:
    raise absent("algorithms", name, __all__)


class BaseLearner(nn.Module):
    """A wrapped module: called as it is, and asked for what the wrapper does not have.

    Args:
        module: What is wrapped; None: it is set later.

    Raises:
        InputError: It is no module.
    """

    module: nn.Module

    def __init__(self, module: nn.Module | None = None):
        super().__init__()
        if module is not None and not isinstance(module, nn.Module):
            instead = ", from its build()" if isinstance(module, Model) else ""
            raise InputError(f"{type(self).__name__} wraps an nn.Module{instead}, got {type(module).__name__}")
        if module is not None:
            self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get("module")
            if module is None:
                raise
            return getattr(module, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class MAML(BaseLearner):
    """Model-Agnostic Meta-Learning, Finn et al., ICML 2017: `clone`, `adapt`, then `backward` of the query loss.

    Batch norms in train mode normalise by the rows they are given, so a query is *transductive*, and move the running
    statistics of the module itself, whichever clone is called: both as in learn2learn.

    Args:
        model: Any module; `maml.module` from now on.
        lr: Step size of adaptation.
        first_order: Whether gradients of adaptation are constants.
        allow_unused: Whether a loss may leave parameters out, which then stay; None: as `allow_nograd`.
        allow_nograd: Whether there may be parameters with `requires_grad=False`, which then stay.

    Raises:
        InputError: An argument that it does not have.
    """

    @own_arguments
    def __init__(
        self,
        model: nn.Module,
        lr: float,
        first_order: bool = False,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
    ):
        super().__init__(model)
        self.lr = lr
        self.first_order = first_order
        self.allow_nograd = allow_nograd
        self.allow_unused = allow_nograd if allow_unused is None else allow_unused

    @own_arguments
    def adapt(
        self,
        loss: Tensor,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
    ) -> None:
        """Step down from a loss that was computed with this clone; its parameters are then those after the step.

        Args:
            loss: A scalar.
            first_order: None: as the learner, likewise the following two.
            allow_unused: See the class.
            allow_nograd: See the class.

        Raises:
            InputError: The loss is no scalar, depends on no parameter, or leaves out some without `allow_unused`; or
                parameters need no gradient without `allow_nograd`.
        """
        spots = spots_of(self.module)
        gradients = _gradients(
            self.module,
            [p for p, _ in spots.values()],
            loss,
            self.first_order if first_order is None else first_order,
            self.allow_unused if allow_unused is None else allow_unused,
            self.allow_nograd if allow_nograd is None else allow_nograd,
        )
        _step(spots, repeat(self.lr, len(spots)), gradients)

    @own_arguments
    def clone(
        self, first_order: bool | None = None, allow_unused: bool | None = None, allow_nograd: bool | None = None
    ) -> "MAML":
        """A learner of its own for a task, whose gradients reach the parameters of this one.

        Args:
            first_order: None: as this learner, likewise the following two.
            allow_unused: See the class.
            allow_nograd: See the class.
        """
        task = clone_module(self)
        changes = {"first_order": first_order, "allow_unused": allow_unused, "allow_nograd": allow_nograd}
        vars(task).update({name: value for name, value in changes.items() if value is not None})
        return task


class MetaSGD(BaseLearner):
    """Meta-SGD, Li et al. 2017: as `MAML`, with a learned step size for every number of every parameter.

    Args:
        model: Any module.
        lr: Where every rate starts.
        first_order: Whether gradients of adaptation are constants.
        lrs: Rates to use instead, one for each of `model.parameters()`.

    Raises:
        InputError: An argument that it does not have, or rates of other shapes.
    """

    lrs: Sequence[Tensor]

    @own_arguments
    def __init__(
        self,
        model: nn.Module,
        lr: float = 1.0,
        first_order: bool = False,
        lrs: Sequence[Tensor] | None = None,
    ):
        super().__init__(model)
        if lrs is None:
            rates = nn.ParameterList([nn.Parameter(torch.ones_like(p) * lr) for p in model.parameters()])
            self.lrs = rates  # pyright: ignore[reportAttributeAccessIssue]
        else:
            shapes = [list(p.shape) for p in model.parameters()]
            if [list(rate.shape) for rate in lrs] != shapes:
                raise InputError(f"lrs are one tensor for each parameter, of its shape: {shapes}")
            self.lrs = lrs
        self.first_order = first_order

    @own_arguments
    def clone(self) -> "MetaSGD":
        """A learner of its own for a task, whose gradients reach parameters and rates of this one."""
        return clone_module(self)

    @own_arguments
    def adapt(self, loss: Tensor, first_order: bool | None = None) -> None:
        """Step down from a loss that was computed with this clone, by the learned rates.

        Args:
            loss: A scalar.
            first_order: None: as the learner.

        Raises:
            InputError: As of `MAML.adapt`.
        """
        first_order = self.first_order if first_order is None else first_order
        spots = spots_of(self.module)
        gradients = _gradients(self.module, [p for p, _ in spots.values()], loss, first_order)
        _step(spots, self.lrs, gradients)


def maml_update(model: nn.Module, lr: float, grads: Sequence[Tensor | None] | None = None) -> nn.Module:
    """The model with `p - lr * grad` in the place of every parameter.

    Args:
        model: A module of `clone_module`; it is changed, its tensors are not.
        lr: Step size.
        grads: One for each of `model.parameters()`, None for those that stay; None: the attributes `update`.

    Raises:
        InputError: There are more or fewer gradients than parameters.
    """
    if grads is None:
        return update_module(model)
    spots = spots_of(model)
    _step(spots, repeat(lr, len(spots)), grads)
    return model


def meta_sgd_update(model: nn.Module, lrs: Iterable[Tensor], grads: Sequence[Tensor | None]) -> nn.Module:
    """The model with `p - lr * grad` in the place of every parameter, each with its own rates.

    Args:
        model: A module of `clone_module`; it is changed, its tensors are not.
        lrs: One for each of `model.parameters()`, of its shape.
        grads: Likewise, None for those that stay.

    Raises:
        InputError: There are more or fewer rates or gradients than parameters.
    """
    _step(spots_of(model), lrs, grads)
    return model


def _step(spots: Spots, rates: Iterable[float | Tensor], gradients: Sequence[Tensor | None]) -> None:
    """One step of gradient descent on parameters, wherever they are."""
    rates = list(rates)
    if not len(rates) == len(gradients) == len(spots):
        raise InputError(
            f"the module has {len(spots)} parameters, got {len(gradients)} gradients and {len(rates)} rates: give one "
            "of each for each of module.parameters()"
        )
    rows = zip(spots.values(), rates, gradients, strict=True)
    put(spots, [None if g is None else p - rate * g for (p, _), rate, g in rows])


def _gradients(
    module: nn.Module,
    parameters: Sequence[Tensor],
    loss: Tensor,
    first_order: bool,
    allow_unused: bool | None = None,
    allow_nograd: bool | None = None,
) -> list[Tensor | None]:
    """Gradients of the loss for the parameters of a module; None for those that stay.

    What is allowed is None where an algorithm has no such argument.
    """
    moving = [p for p in parameters if p.requires_grad]
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        kind = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"adapt takes a loss that is one number, got {kind}: take its mean or its sum")
    if len(moving) < len(parameters) and not allow_nograd:
        names = _names(module, [p.requires_grad for p in parameters])
        raise InputError(f"{names} have requires_grad=False: {_allowed('allow_nograd', allow_nograd)}")
    slopes: tuple[Tensor | None, ...] = ()
    if loss.requires_grad and moving:
        again = not first_order
        slopes = torch.autograd.grad(loss, moving, retain_graph=again, create_graph=again, allow_unused=True)
    if all(g is None for g in slopes):
        raise InputError(
            "the loss depends on no parameter of this clone: compute it with clone(x) after the last adapt, with "
            "gradients enabled, not with the module that the clone is of"
        )
    rows = iter(slopes)
    gradients = [next(rows) if p.requires_grad else None for p in parameters]
    if not allow_unused and any(g is None for g in slopes):
        fine = [g is not None or not p.requires_grad for g, p in zip(gradients, parameters, strict=True)]
        names = _names(module, fine)
        raise InputError(f"the loss does not depend on {names}: {_allowed('allow_unused', allow_unused)}")
    return gradients


def _allowed(name: str, value: bool | None) -> str:
    """What to do about parameters that cannot be adapted."""
    if value is None:
        return "Meta-SGD adapts all parameters; l2l.algorithms.MAML can leave some as they are"
    return f"{name}=True leaves them as they are"


def _names(module: nn.Module, fine: Sequence[bool]) -> str:
    """Names of the first few parameters that are not."""
    names = [name for (name, _), good in zip(module.named_parameters(), fine, strict=True) if not good]
    more = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {more} more" if more > 0 else "")
