"""Examples that a learner generates for a task, on one sheet: the given ones, new ones, and what each is nearest to."""

import base64

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.learner import Generative, Learner
from innerloop.core.objectives import weights
from innerloop.core.types import Episode, Params
from innerloop.evaluate.ink import inked, usual
from innerloop.tasks import contact_sheet

_COUNT = 12
"""New examples of each class."""


@torch.no_grad()
def sheet(learner: Learner, params: Params, episode: Episode, index: int) -> str:
    """PNG as a data URI, two rows a class: given and new examples, and under each new one the nearest given one.

    Empty where the learner does not generate, or no pictures. Nearest are pixels, after the rule of ink.

    Args:
        learner: As tested.
        params: Its meta-parameters.
        episode: Its support is what is given.
        index: Number of the episode, which new examples are drawn from.
    """
    support = episode.support
    x, shape = support.x, () if isinstance(support.x, dict) else tuple(support.x.shape[1:])
    if not isinstance(learner, Generative) or isinstance(x, dict) or not contact_sheet.is_picture(shape):
        return ""
    rule, rows = usual(shape), weights(support.y, support.mask)
    made = inked(learner.generate(params, learner.adapt(params, support), random.mix(0, index), _COUNT), rule)
    given: list[Tensor] = []
    drawn: list[Tensor] = []
    for j in sorted(set(support.y[rows].tolist())):
        own = x[rows & (support.y == j)]
        apart = torch.cdist(made[j].flatten(1), inked(own, rule).flatten(1))
        given += [own, own[:0]]
        drawn += [made[j], own[apart.argmin(1)]]
    picture = contact_sheet.sheet(given, drawn, contact_sheet.looks_dark(given))
    return "data:image/png;base64," + base64.b64encode(contact_sheet.png(picture)).decode()
