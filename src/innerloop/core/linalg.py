"""Linear algebra with fixed iteration counts: over flat dicts of tensors, and linear models in closed form."""

from collections.abc import Callable

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.types import Params

_CONVERGED = 1e-10


def dot(a: Params, b: Params) -> Tensor:
    """Inner product over all entries."""
    return torch.stack([(a[k] * b[k]).sum() for k in a]).sum()


def conjugate_gradient(matvec: Callable[[Params], Params], b: Params, steps: int) -> Params:
    """Approximate `A^-1 b` for symmetric A (Hestenes and Stiefel 1952), starting from 0.

    The residual's direction of non-positive curvature (`p^T A p <= 0`) ends the search at the last safe point: from
    there on every step length is 0, so the iteration count stays fixed and the result finite. It also ends where
    `|r| <= 1e-10 |b|`.

    Args:
        matvec: `v -> A v`.
        b: Right-hand side.
        steps: Iterations; exact in exact arithmetic once it reaches the dimension.
    """
    x = tree.map(torch.zeros_like, b)
    r, p = b, b
    rr = dot(r, r)
    target = _CONVERGED**2 * rr
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
    """The minimiser W of `|x W - y|^2 + decay |W|^2`, by a QR decomposition of the smaller of two systems.

    Primal: `[x; sqrt(decay)] W = [y; 0]` by least squares. Dual: the least `[W; V]` with `x W + sqrt(decay) V = y`
    (Golub and Van Loan, Matrix Computations, 4th edition, 5.3 and 5.6). The products `x'x` and `x x'` would square what
    rounding does: in float32, equal rows of different classes have no answer by them, nor have rows far from 0.

    A row of zeros in x weighs nothing. A decay that is tiny beside the rows is raised to `eps^1.5 |x|^2`, which lies
    between what rounding does to the rows and to their products, so that equal rows have a finite answer.

    Args:
        x: [..., n, d].
        y: [..., n, k].
        decay: Positive.

    Returns:
        [..., d, k].
    """
    n, d = x.shape[-2:]
    system = x.mT if n < d else x
    least = torch.finfo(x.dtype).eps ** 1.5 * x.square().sum((-2, -1))
    root = (decay + least).sqrt()[..., None, None]
    identity = torch.eye(min(n, d), dtype=x.dtype, device=x.device)
    q, r = torch.linalg.qr(torch.cat([system, root * identity], -2))
    upper, lower = q.split([max(n, d), min(n, d)], -2)
    if n >= d:
        return torch.linalg.solve_triangular(r, upper.mT @ y, upper=True)
    z = torch.linalg.solve_triangular(r.mT, y, upper=False)
    w = upper @ z
    # Equal rows leave large numbers in z, whose products cancel: what that left over is solved for once more.
    missed = y - x @ w - root * (lower @ z)
    return w + upper @ torch.linalg.solve_triangular(r.mT, missed, upper=False)
