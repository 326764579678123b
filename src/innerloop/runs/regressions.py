"""Regression problems: tasks that are computed, not drawn from classes of examples."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from innerloop.core.model import Model
from innerloop.core.types import Sampler
from innerloop.nn.mlp import MLP
from innerloop.runs.options import DYNAMICS, SINUSOID
from innerloop.tasks import MassSpringDamper, Sinusoid, dynamics, regression


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A problem with the network that learns it."""

    sampler: Callable[..., Sampler]
    """Takes `shots`, `queries` and `seed`."""
    model: Model
    outputs: int
    """Length of a target."""
    module: ModuleType
    """Says what the problem is."""

    def tasks(self, stream: int, seed: int, **sizes: Any) -> Sampler:
        """Stream 0 for training, 1 for validation, 2 for testing: they never meet."""
        return self.sampler(seed=3 * seed + stream, **sizes)


REGRESSIONS = {
    SINUSOID: Regression(sampler=Sinusoid, model=MLP(hidden=(40, 40)), outputs=1, module=regression),
    DYNAMICS: Regression(
        sampler=MassSpringDamper,
        model=MLP(inputs=3, hidden=(64, 64), outputs=2, activation="tanh"),
        outputs=2,
        module=dynamics,
    ),
}
