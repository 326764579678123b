"""Online meta-learning in a subspace that moves smoothly.

A specification of ours, in the neighbourhood of MUSML (Jiang, Kwok and Zhang, ICML 2022,
https://proceedings.mlr.press/v162/jiang22b.html) and of subspace tracking (GROUSE: Balzano, Nowak and Recht 2010,
https://arxiv.org/abs/1006.4046). Adaptation solves for the coordinates of a task in a learned subspace of weights.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.linalg import with_ones
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Encoder, Rows, role
from innerloop.core.objectives import Objective, regression, weights
from innerloop.core.online import OnlineLearner, refuse_batch_norms
from innerloop.core.online_head import linear_rows
from innerloop.core.ranges import Count, Natural, NotNegative, Positive, Rate
from innerloop.core.types import Batch, Params


class Place(NamedTuple):
    """Where the subspace is, and where in it the task."""

    basis: Tensor  # [outputs * (d + 1), rank], orthonormal
    coordinates: Tensor  # [rank]
    precision: Tensor  # [rank, rank] what the rows of this task said of them


@dataclass(frozen=True, kw_only=True)
class Subspace(OnlineLearner[Place]):
    """Outputs are linear in features, with weights `head + basis @ coordinates`: values, with squared error.

    Every batch first moves the coordinates by recursive least squares: they are those of ridge regression on all rows
    of the task so far. Then the basis follows, by `basis_steps` steps of descent of the batch's error plus `smoothness`
    times the squared change of the projector, each across the basis and made orthonormal again by QR. The end of a task
    forgets the coordinates alone.

    Parameters: `encoder.*`, `head.*`, where the subspace is hung up and at first 0, and `basis`, the first one.
    """

    trains_on = ("episodes",)
    targets = ("values",)
    controls = {"frozen": {"basis_steps": 0}}  # noqa: RUF012

    encoder: Model = field(metadata=role(Encoder(alone=True)))
    """x -> features [n, d]."""
    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """features -> outputs, one linear layer."""
    objective: Objective = field(default=regression)
    """The loss of the query set; coordinates and basis are fitted by squared error whatever it is."""
    rank: Count = 3
    """Dimensions of the subspace."""
    decay: Positive = 0.1
    """Weight of the squared coordinates, beside the squared errors of a task's rows."""
    basis_lr: Rate = 0.1
    """Step size of the basis, over 1 plus the squared length of the coordinates, with which its gradient grows."""
    basis_steps: Natural = 5
    """Steps of the basis for every batch."""
    smoothness: NotNegative = 0.3
    """Weight of the squared change of the projector on the subspace, beside the mean squared error of a batch."""

    def init(self, seed: int) -> Params:
        refuse_batch_norms(self.encoder)
        # What is not in the subspace stays unexplained: a random origin would be in the way for as long as it lasts.
        origin = tree.map(torch.zeros_like, self.head.init(seed))
        params = tree.join(encoder=self.encoder.init(seed), head=origin)
        size = linear_rows(params).numel()
        if size < self.rank:
            raise InputError(f"a subspace of the head's {size} weights has at most as many dimensions, got {self.rank}")
        basis = orthonormal(random.normal(random.mix(seed, 0), (size, self.rank)))
        # Rounded in the order of its rows, as it is once it was saved and loaded.
        return params | {"basis": basis.contiguous()}

    def begin(self, params: Params, like: Batch) -> Place:
        if not like.y.is_floating_point() or like.y.ndim != 2:
            raise InputError(
                "a subspace learns values: y must be [n, d] floating-point targets, got "
                f"{str(like.y.dtype).removeprefix('torch.')} {list(like.y.shape)}"
            )
        return self._anew(orthonormal(params["basis"]))

    def seen(self, params: Params, batch: Batch) -> Batch:
        return batch._replace(x=self._features(params, batch.x))

    def step(self, params: Params, state: Place, batch: Batch) -> Place:
        start, rows = linear_rows(params), weights(batch.y, batch.mask).to(batch.y.dtype)[:, None]
        assert isinstance(batch.x, Tensor)
        x, y = batch.x * rows, (batch.y - batch.x @ start.T) * rows  # what the basis is to explain
        slope = torch.einsum("nd,kdr->nkr", x, state.basis.view(*start.shape, -1)).flatten(0, 1)  # [n * outputs, rank]
        precision = state.precision + slope.T @ slope
        # Of what the rows before said, the coordinates are the minimum already.
        missed = y.flatten() - slope @ state.coordinates
        coordinates = state.coordinates + torch.linalg.solve(precision, slope.T @ missed)
        basis, rate = state.basis, self.basis_lr / (1 + coordinates.square().sum())
        for _ in range(self.basis_steps):
            error = x @ (basis @ coordinates).view_as(start).T - y
            slopes = 2 * error.T @ x / (rows.sum().clamp_min(1) * len(start))  # of the mean squared error
            # The squared change of a projector is 2 rank - 2 |before' basis|^2.
            stray = state.basis @ (state.basis.T @ basis)
            uphill = torch.outer(slopes.flatten(), coordinates) - 4 * self.smoothness * stray
            basis = orthonormal(basis - rate * (uphill - basis @ (basis.T @ uphill)))
        return Place(basis, coordinates, precision)

    def boundary(self, params: Params, state: Place) -> Place:
        return self._anew(state.basis)

    def predict(self, params: Params, adapted: Place, x: Tensor | dict[str, Tensor]) -> Tensor:
        start = linear_rows(params)
        return self._features(params, x) @ (start + (adapted.basis @ adapted.coordinates).view_as(start)).T

    def _features(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        return with_ones(self.encoder.apply(tree.part(params, "encoder"), x))

    def _anew(self, basis: Tensor) -> Place:
        nothing = self.decay * torch.eye(self.rank, dtype=basis.dtype, device=basis.device)
        return Place(basis, basis.new_zeros(self.rank), nothing)


def orthonormal(basis: Tensor) -> Tensor:
    """[d, rank] the Q of its QR decomposition, by Cholesky's: it leaves an orthonormal basis as it is.

    It is near to one where this is called, so that the square of its condition does no harm.
    """
    root = torch.linalg.cholesky_ex(basis.T @ basis).L
    return torch.linalg.solve_triangular(root.T, basis, upper=True, left=False)
