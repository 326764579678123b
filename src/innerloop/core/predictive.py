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


def mean_of(predictive: Predictive) -> Tensor:
    """[n, k] what `predict` returns of a mixture whose members have noise where they are of targets, and only there."""
    return mean_logits(predictive.outputs) if predictive.std is None else mean_outputs(predictive.outputs)


def normal_surprise(y: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Negative logarithm of a normal density, in nats, of every entry; broadcasts."""
    return 0.5 * ((y - mean) / std).square() + std.log() + 0.5 * math.log(2 * math.pi)


def log_likelihood(predictive: Predictive, y: Tensor, classes: Tensor | None = None) -> Tensor:
    """[n] float64 logarithms of what the mixture gives to the truth, in nats.

    Args:
        predictive: Of n rows.
        y: [n] classes, those below 0 read as 0; or [n, d] targets, jointly, whose noise is independent.
        classes: [k] bool, which classes exist; None: all.

    Raises:
        InputError: Targets without a std: members without noise have no density.
    """
    if y.is_floating_point():
        if predictive.std is None:
            raise InputError("a likelihood of targets needs the std of the predictive: members without noise have none")
        each = -normal_surprise(y, predictive.outputs.double(), predictive.std.double()).flatten(2).sum(-1)  # [m, n]
    else:
        truth = y.clamp_min(0).expand(len(predictive.outputs), -1)
        each = log_probabilities(predictive, classes).gather(-1, truth[:, :, None])[:, :, 0]  # [m, n]
    return torch.logsumexp(each, 0) - math.log(len(each))


def log_probabilities(predictive: Predictive, classes: Tensor | None = None) -> Tensor:
    """[m, n, k] float64 logarithms of every member's probabilities; -inf for classes that do not exist."""
    logits = predictive.outputs.double()
    return torch.log_softmax(logits if classes is None else logits.masked_fill(~classes, -torch.inf), -1)


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
        raise InputError(
            f"predictive of {name} has a std of shape {list(std.shape)}, and outputs of {list(shape)}: they must be "
            "the same"
        )
    if std is not None and not bool((std > 0).all()):
        raise InputError(f"predictive of {name} has a std that is not above 0: std=None says that there is no noise")
