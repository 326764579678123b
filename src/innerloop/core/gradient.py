"""The one `grad` every learner calls: it is right, and fast, in a loop, under `vmap` and while compiling."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack as _peek  # pyright: ignore[reportMissingModuleSource]

from innerloop.core.errors import InputError
from innerloop.core.stopped import constant, stop
from innerloop.core.types import Params


def transformed() -> bool:
    """Whether a `torch.func` transform or the compiler is tracing this thread."""
    return torch.compiler.is_compiling() or _peek() is not None


def grad(f: Callable[[Params], Tensor], params: Params, create_graph: bool = True) -> Params:
    """Gradient of the scalar `f` at `params`.

    `torch.autograd.grad` in a plain loop (`torch.func.grad` is twice as slow there), `torch.func.grad` under a
    transform.

    Args:
        f: Scalar function of the parameters.
        params: Where the gradient is taken.
        create_graph: Whether the result may be differentiated again; first-order learners say no. No graph is made
            while gradients are disabled, so meta-testing never pays for one.
    """
    return value_and_grad(lambda p: (f(p), {}), params, create_graph)[0]


def value_and_grad(
    f: Callable[[Params], tuple[Tensor, Any]], params: Params, create_graph: bool = True
) -> tuple[Params, Tensor, Any]:
    """As `grad`, of `f` returning `(value, auxiliary tree)`.

    Returns:
        The gradient, and the value and the auxiliary tree, both detached.
    """
    if torch.is_inference_mode_enabled():  # every gradient would be zero there, without a word
        raise InputError("gradients are needed, and torch.inference_mode() has none: use torch.no_grad() instead")
    if transformed():
        grads, (value, aux) = torch.func.grad(lambda p: _paired(f(p)), has_aux=True)(params)
        if not create_graph:
            grads = stop(grads)
        return grads, stop(value), stop(aux)
    outer = torch.is_grad_enabled()
    with torch.enable_grad():
        leaves = {k: v if outer and v.requires_grad else v.detach().requires_grad_() for k, v in params.items()}
        value, aux = f(leaves)
        if value.requires_grad and leaves:
            grads = torch.autograd.grad(
                value,
                list(leaves.values()),
                create_graph=create_graph and outer,
                allow_unused=True,
                materialize_grads=True,
            )
        else:
            grads = [torch.zeros_like(v) for v in leaves.values()]
    slopes = dict(zip(leaves, grads, strict=True))
    return slopes if create_graph else constant(slopes), stop(value), stop(aux)


def _paired(result: tuple[Tensor, Any]) -> tuple[Tensor, tuple[Tensor, Any]]:
    value, aux = result
    return value, (value, aux)
