"""How near a learned subspace is to the one that the rounds of a stream come from."""

import math
from typing import Any

import torch
from torch import Tensor

from innerloop.learners.online.subspace import Place
from innerloop.tasks.rotating import RotatingSubspace
from innerloop.tasks.stream import Stream

ANGLE = "angle"


def tracked(stream: Stream, state: Any, task: int) -> dict[str, float]:
    """The largest principal angle between both, in degrees; nothing where one of them has no subspace of inputs.

    Args:
        stream: Whose task it is.
        state: What the learner knows.
        task: The round.
    """
    if not isinstance(stream, RotatingSubspace) or not isinstance(state, Place):
        return {}
    if len(state.basis) != stream.inputs + 1:  # of weights of other features, or of several targets
        return {}
    planes = torch.nn.functional.pad(stream.basis(task), (0, 0, 0, 1))  # through the origin: their bias is 0
    return {ANGLE: largest_angle(state.basis, planes)}


def largest_angle(basis: Tensor, other: Tensor) -> float:
    """The largest principal angle between the spaces of orthonormal columns, in degrees.

    Where their dimensions differ: between the smaller one and what is nearest to it in the larger.
    """
    cosines = torch.linalg.svdvals(basis.double().T @ other.double())
    return math.degrees(math.acos(min(1.0, float(cosines[-1]))))
