"""Regression tasks of one input and one output, drawn: what was seen, what is true, what is answered and how surely."""

from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import weights
from innerloop.core.types import Batch, Episode, Params, Sampler
from innerloop.evaluate.predictive import bounds
from innerloop.report import figures
from innerloop.tasks.curves import Curves
from innerloop.tasks.regression import Mixture

_POINTS, _MEMBERS = 200, 20
BANDS = (0.5, 0.9)
"""Levels of the intervals that are drawn, the inner one first."""


@torch.no_grad()
def drawing(learner: Learner, params: Params, sampler: Sampler, episode: Episode, index: int) -> str:
    """One episode as an SVG: with bands where the learner says how sure it is, else what it answers to the query.

    Args:
        learner: As tested.
        params: Its meta-parameters.
        sampler: Of the episode.
        episode: To draw.
        index: Its number.
    """
    name, (support, query) = f"task{index}", episode
    adapted = learner.adapt(params, support)
    seen = points(support, support.y)
    if not learner.probabilistic:
        outputs = learner.predict(params, adapted, query.x)
        return figures.function(name, seen, points(query, query.y), points(query, outputs))
    truth = _truth(sampler, query, index)
    ends = [x for x, _ in truth + seen]
    grid = torch.linspace(min(ends), max(ends), _POINTS).to(query.y)
    known = learner.predictive(params, adapted, grid[:, None])
    ends_of = {level: bounds(known, level) for level in BANDS}
    bands = {level: (low[:, 0].tolist(), high[:, 0].tolist()) for level, (low, high) in ends_of.items()}
    members = known.outputs[:_MEMBERS, :, 0].tolist() if len(known.outputs) > 1 else []
    mean = known.outputs.mean(0)[:, 0].tolist()
    return figures.bands(name, seen, truth, grid.tolist(), mean, bands, members)


def points(batch: Batch, y: Tensor) -> figures.Series:
    """Inputs of the rows that count, and a value at each."""
    rows = weights(batch.y, batch.mask)
    x: Any = batch.x
    return list(zip(x.flatten(1)[rows, 0].tolist(), y.flatten(1)[rows, 0].tolist(), strict=True))


def _truth(sampler: Sampler, query: Batch, index: int) -> figures.Series:
    """The function at many points and without noise, where its family can tell; else the query's targets."""
    if isinstance(sampler, Curves | Mixture):
        query = tree.slice(sampler.noiseless(_POINTS).episodes(index, 1), 0).query
    return sorted(points(query, query.y))
