"""Multinomial logistic regression to convergence: L-BFGS (Liu and Nocedal 1989) in which no step can overshoot."""

import torch
from torch import Tensor

from innerloop.core.gradient import transformed

_MEMORY = 8


def softmax_regression(
    x: Tensor,
    member: Tensor,
    present: Tensor,
    decay: Tensor,
    steps: int,
    tolerance: float,
    counts: Tensor | None = None,
) -> Tensor:
    """The minimiser of `sum_i count_i crossentropy_i + decay / 2 |w|^2`, in which the last of w, the bias, goes free.

    The inverse Hessian starts as that of equally likely classes, `(x'x / k + decay)^-1`. The length of a step is the
    minimiser of an upper bound, `log(1 + r t) / r` for Newton's `t` along it and the largest range `r` of an example's
    change of logits (generalised self-concordance, Bach 2010): no line search, and never uphill.

    Args:
        x: [n, d + 1] features and ones; zeros in rows that do not count.
        member: [n, ways] one-hot labels.
        present: [ways] bool, classes that have a row.
        decay: [] positive.
        steps: The most; all of them are taken while a transform traces this.
        tolerance: The largest entry of the mean gradient at which it ends.
        counts: [n] how many rows each counts as; None: 1.

    Returns:
        [ways, d + 1].
    """
    if len(x) < x.shape[1] - 1:
        # The minimiser lies where the rows lie: few of many numbers cost as few.
        axes, coordinates = torch.linalg.qr(x[:, :-1].T)
        few = torch.cat([coordinates.T, x[:, -1:]], 1)
        weight = softmax_regression(few, member, present, decay, steps, tolerance, counts)
        return torch.cat([weight[:, :-1] @ axes.T, weight[:, -1:]], 1)

    def counted(values: Tensor) -> Tensor:
        return values if counts is None else counts[:, None].to(values.dtype) * values

    tiny = torch.finfo(x.dtype).tiny
    penalty = torch.cat([decay.expand(x.shape[1] - 1), decay.new_zeros(1)])[:, None]
    rounding = torch.finfo(x.dtype).eps * counted(x.square()).sum() + tiny
    curvature = x.T @ counted(x) / member.shape[1] + torch.diag(penalty[:, 0] + rounding)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(curvature).L)
    enough = tolerance * (len(x) if counts is None else counts.sum())
    weight, logits = x.new_zeros(x.shape[1], member.shape[1]), torch.zeros_like(member)
    memory: list[tuple[Tensor, Tensor, Tensor]] = []
    before = step = None
    for _ in range(steps):
        p = logits.masked_fill(~present, -torch.inf).softmax(-1)
        gradient = x.T @ counted(p - member) + penalty * weight
        if not transformed() and float(gradient.abs().max()) <= enough:
            break
        if before is not None and step is not None:
            change = gradient - before
            product = (step * change).sum()
            # Nothing is remembered where nothing moved any more.
            memory = [*memory, (step, change, torch.where(product > tiny, 1 / product, 0))][-_MEMORY:]
        direction = -_scaled(gradient, memory, inverse)
        move = x @ direction
        moved = p * move
        slope = -(gradient * direction).sum()
        spread = counted(moved * move).sum() - counted(moved.sum(-1, keepdim=True).square()).sum()
        bend = spread + (penalty * direction.square()).sum()
        newton = torch.where(bend > tiny, slope / bend.clamp_min(tiny), 0).clamp_min(0)
        reach = (move.amax(-1) - move.amin(-1)).amax().clamp_min(torch.finfo(x.dtype).eps)
        length = torch.log1p(reach * newton) / reach
        before, step = gradient, length * direction
        weight, logits = weight + step, logits + length * move
    return weight.T


def _scaled(gradient: Tensor, memory: list[tuple[Tensor, Tensor, Tensor]], inverse: Tensor) -> Tensor:
    """The gradient times the inverse Hessian that the last steps tell: the two loops of L-BFGS."""
    shares = []
    for step, change, factor in reversed(memory):
        shares.append(factor * (step * gradient).sum())
        gradient = gradient - shares[-1] * change
    gradient = inverse @ gradient
    if memory:
        _, change, factor = memory[-1]
        length = factor * (change * (inverse @ change)).sum()
        gradient = torch.where(length > 0, gradient / torch.where(length > 0, length, 1), gradient)
    for (step, change, factor), share in zip(memory, reversed(shares), strict=True):
        gradient = gradient + (share - factor * (change * gradient).sum()) * step
    return gradient
