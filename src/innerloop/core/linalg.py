"""Linear algebra with fixed iteration counts: over flat dicts of tensors, and linear models in closed form."""

from collections.abc import Callable

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.types import Params


def dot(a: Params, b: Params) -> Tensor:
    """Inner product over all entries."""
    return torch.stack([(a[k] * b[k]).sum() for k in a]).sum()


def conjugate_gradient(matvec: Callable[[Params], Params], b: Params, steps: int, tolerance: float = 1e-10) -> Params:
    """Approximate `A^-1 b` for symmetric A (Hestenes and Stiefel 1952), starting from 0.

    The residual's direction of non-positive curvature (`p^T A p <= 0`) ends the search at the last safe point: from
    there on every step length is 0, so the iteration count stays fixed and the result finite.

    Args:
        matvec: `v -> A v`.
        b: Right-hand side.
        steps: Iterations; exact in exact arithmetic once it reaches the dimension.
        tolerance: The search also ends when `|r|^2 <= tolerance^2 |b|^2`.
    """
    x = tree.map(torch.zeros_like, b)
    r, p = b, b
    rr = dot(r, r)
    target = tolerance**2 * rr
    alive = rr > target
    for _ in range(steps):
        ap = matvec(p)
        curvature = dot(p, ap)
        alive = alive & (curvature > 0) & (rr > target)
        alpha = torch.where(alive, rr / torch.where(alive, curvature, 1.0), 0.0)
        x = tree.map(lambda x, p, a=alpha: x + a * p, x, p)
        r = tree.map(lambda r, ap, a=alpha: r - a * ap, r, ap)
        rr_next = dot(r, r)
        beta = torch.where(alive, rr_next / torch.where(rr > 0, rr, 1.0), 0.0)
        p = tree.map(lambda r, p, b=beta: r + b * p, r, p)
        rr = rr_next
    return x


def with_ones(x: Tensor) -> Tensor:
    """[..., n, d + 1]: a column of ones, whose weight is the bias, behind [..., n, d]."""
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


def ridge(x: Tensor, y: Tensor, decay: float | Tensor) -> Tensor:
    """The minimiser W of `|x W - y|^2 + decay |W|^2`, by the smaller of two systems of equations.

    Primal, `(x'x + decay)^-1 x'y`, or by Woodbury's identity dual, `x'(x x' + decay)^-1 y`. A row of zeros in x weighs
    nothing. Where decay is less than the rounding errors of the system it is raised to them, so that equal rows have
    a finite answer.

    Args:
        x: [..., n, d].
        y: [..., n, k].
        decay: Positive.

    Returns:
        [..., d, k].
    """
    n, d = x.shape[-2:]
    gram = x @ x.mT if n < d else x.mT @ x
    rounding = 2 * torch.finfo(x.dtype).eps * x.square().sum((-2, -1))[..., None, None]
    identity = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    # Never singular, so it need not be checked, which would wait for the device.
    factor = torch.linalg.cholesky_ex(gram + (decay + rounding) * identity).L
    half = torch.linalg.solve_triangular(factor, y if n < d else x.mT @ y, upper=False)
    solved = torch.linalg.solve_triangular(factor.mT, half, upper=True)
    return x.mT @ solved if n < d else solved
