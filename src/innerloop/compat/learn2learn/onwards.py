"""From a wrapped module to the parameters of a learner of `innerloop`, and back."""

import torch

from innerloop.compat.learn2learn.algorithms import MAML, BaseLearner, MetaSGD
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.types import Params


def params_of(learner: BaseLearner) -> Params:
    """Copies of what is learned, as `innerloop.MAML` or `innerloop.MetaSGD` of the same network has them.

    They go into `meta_train(..., start=)`, `meta_test` and `audit`. Running statistics stay behind: innerloop's
    networks normalise by a task's own rows.

    Args:
        learner: A `MAML` or `MetaSGD`.

    Raises:
        InputError: It is neither.
    """
    return {k: p.detach().clone() for k, p in _named(learner).items()}


def load_params(learner: BaseLearner, params: Params) -> None:
    """Write parameters of `meta_train` into a learner, in place.

    Args:
        learner: A `MAML` or `MetaSGD` of the same network.
        params: As from `params_of`; entries of other names, such as statistics, are refused.

    Raises:
        InputError: Names or shapes are not those of the learner.
    """
    own = _named(learner)
    shapes = {k: list(p.shape) for k, p in own.items()}
    theirs = {k: list(p.shape) for k, p in params.items()}
    if shapes != theirs:
        name = min(k for k in shapes.keys() | theirs.keys() if shapes.get(k) != theirs.get(k))
        raise InputError(
            f"these are not parameters of this learner: its {name} is {shapes.get(name, 'not there')}, and theirs is "
            f"{theirs.get(name, 'not there')}"
        )
    with torch.no_grad():
        for k, p in own.items():
            p.copy_(params[k])


def _named(learner: BaseLearner) -> Params:
    named: Params = {k: p for k, p in learner.module.named_parameters() if p.requires_grad}
    if isinstance(learner, MetaSGD):
        every = [k for k, _ in learner.module.named_parameters()]
        rates = dict(zip(every, learner.lrs, strict=True))
        return tree.join(model=named, inner_lr={k: rates[k] for k in named})
    if not isinstance(learner, MAML):
        raise InputError(f"parameters are those of a MAML or MetaSGD, got a {type(learner).__name__}")
    return named
