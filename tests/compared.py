"""How learners' numbers are compared, and rows and padding that tests add to tasks."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.stopped import held
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import meta_gradient
from tests.problems import INPUTS, inputs

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
"""What a new reference gets: some ten times what processors and kernels differ by, for the learners there are."""


def check_gradient(learner: Learner, params: Params, episodes: Episode) -> None:
    """The gradient is the derivative of the loss with what it stops held, and without where it claims to be exact."""
    gradient, _ = meta_gradient(learner, params, episodes, "loop")
    assert all(bool(g.isfinite().all()) for g in gradient.values())
    if not params:
        return
    assert norm(gradient) > 0
    losses = [lambda p, i=i: learner.loss(p, tree.slice(episodes, i))[0] for i in range(tree.length(episodes))]
    assert gap(gradient, params, [held(loss, params) for loss in losses]) < 1e-5
    whole = gap(gradient, params, losses)
    assert (whole < 1e-5) is learner.exact_gradient, f"{whole:.1e} off, exact_gradient = {learner.exact_gradient}"


@torch.no_grad()
def gap(gradient: Params, params: Params, losses: Sequence[Callable[[Params], Tensor]]) -> float:
    """Of a gradient, from the central difference of the mean loss in one direction; relative."""
    generator = torch.Generator().manual_seed(0)
    v = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in params.items()}
    up, down = ({k: p + h * v[k] for k, p in params.items()} for h in (1e-6, -1e-6))
    measured = torch.stack([loss(up) - loss(down) for loss in losses]).mean() / 2e-6
    slope = torch.stack([(gradient[k] * v[k]).sum() for k in v]).sum()
    return float(abs(measured - slope) / (abs(slope) + 1e-3 * norm(gradient)))


def answer(learner: Learner, params: Params, support: Batch, x: Any) -> Tensor:
    """What the adapted learner predicts."""
    with torch.no_grad():
        return learner.predict(params, learner.adapt(params, support), x)


def with_unlabelled(support: Batch, places: Sequence[int]) -> Batch:
    """The support with rows of no class at these places, far from its own."""
    mine, n = inputs(support), len(support.y) + len(places)
    own = torch.tensor([i for i in range(n) if i not in set(places)])
    x = 7 * torch.linspace(-1, 2, n, dtype=mine.dtype)[:, None].repeat(1, mine.shape[1])
    y = torch.full((n,), -1)
    x[own], y[own] = mine, support.y
    return support._replace(x=x, y=y)


def padding(batch: Batch) -> Batch:
    """Three more rows that do not count."""
    x: Any = batch.x
    return batch._replace(
        x=torch.cat([x, torch.zeros(3, INPUTS, dtype=x.dtype)]),
        y=torch.cat([batch.y, torch.tensor([0, 1, -1])]),
        mask=torch.arange(len(batch.y) + 3) < len(batch.y),
    )


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> bool:
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def norm(params: Params) -> float:
    return float(sum(v.square().sum() for v in params.values())) ** 0.5


def distance(a: Params, b: Params) -> float:
    """Relative to the length of `b`."""
    return norm({k: a[k] - b[k] for k in b}) / (norm(b) + 1e-300)


def reference(params: Params, values: dict[str, Any]) -> str:
    """The content of a reference's file, a line for each part of it."""
    parts = {"tolerance": TOLERANCE, **values, "params": {k: v.tolist() for k, v in params.items()}}
    return "{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in parts.items()) + "\n}\n"


def listed(part: Any) -> Any:
    """A part of a reference as a list; of a learner without parameters, the norm of its gradient is 0."""
    return (list(part.values()) or [0.0]) if isinstance(part, dict) else part
