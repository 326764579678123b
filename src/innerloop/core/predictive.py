"""What a learner that is Bayesian, or an ensemble, knows of an answer: several members, equally weighted."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError


class Predictive(NamedTuple):
    """A mixture of m members: samples of a posterior, or the models of an ensemble; m = 1 is no mixture."""

    outputs: Tensor
    """[m, n, k] logits, or means of targets, as `predict` has them for one."""
    std: Tensor | None = None
    """[m, n, k] standard deviation of a target around a member's mean; None: classes, or members without noise."""


def mean_logits(outputs: Tensor) -> Tensor:
    """[n, ways] what `predict` returns for classes: logits whose softmax is the mean of the members' softmaxes.

    They are logarithms of probabilities. The mean of the logits themselves would be a product of experts, and surer
    than the mixture wherever its members disagree.

    Args:
        outputs: [m, n, ways] logits.
    """
    return torch.logsumexp(torch.log_softmax(outputs, -1), 0) - math.log(len(outputs))


def mean_outputs(outputs: Tensor) -> Tensor:
    """[n, d] what `predict` returns for targets: the mean of the members' means.

    Args:
        outputs: [m, n, d] means.
    """
    return outputs.mean(0)


def check_predictive(predictive: Predictive, rows: int, name: str) -> None:
    """Refuse what has not the shapes of a predictive.

    Args:
        predictive: What a learner returned.
        rows: How many inputs it was asked for.
        name: Of the learner, for the message.

    Raises:
        InputError: It has others, or a deviation that is not above 0.
    """
    shape = tuple(predictive.outputs.shape)
    if len(shape) != 3 or shape[0] < 1 or shape[1] != rows:
        raise InputError(
            f"predictive of {name} has outputs of shape {list(shape)} for {rows} inputs: they must be [m, {rows}, k], "
            "m members of which each has what predict returns"
        )
    std = predictive.std
    if std is not None and tuple(std.shape) != shape:
        raise InputError(f"predictive of {name} has a std of shape {list(std.shape)}, and outputs of {list(shape)}")
    if std is not None and not bool((std > 0).all()):
        raise InputError(f"predictive of {name} has a std that is not above 0: std=None says that there is no noise")
