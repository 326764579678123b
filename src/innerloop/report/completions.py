"""Pictures completed from a few of their pixels: what was seen, the mean, how sure it is, and the truth."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Params
from innerloop.report import figures
from innerloop.report.gallery import Shown
from innerloop.tasks.completion import Completion
from innerloop.tasks.contact_sheet import DARK

SEEN = (10, 50, 200)
"""From how many pixels."""
_UNSEEN = (0.72, 0.82, 0.93)
"""Colour of pixels that were not seen, which no grey picture has."""


@torch.no_grad()
def completions(learner: Learner, params: Params, sampler: Completion, count: int) -> list[Shown]:
    """The first pictures of a sampler, not chosen ones, each from ever more pixels.

    Args:
        learner: As tested.
        params: Its meta-parameters.
        sampler: Of the pictures.
        count: How many pictures.
    """
    device = next(iter(params.values())).device if params else torch.device("cpu")
    channels, height, width = sampler.pool.shape
    shown = []
    for index in range(count):
        truth, rows, errors = sampler.pictures(index, 1)[0].float().cpu(), [], []
        turned = channels == 1 and float(truth.mean()) < DARK
        for seen in sorted({min(n, height * width - 1) for n in SEEN}):
            tasks = replace(sampler, shots=seen, queries=1, fewest_shots=None)
            support = tree.map(lambda leaf: leaf.to(device), tree.slice(tasks.episodes(index, 1), 0).support)
            mean, std = _answer(learner, params, support, sampler.places().to(device))
            errors.append(f"{float((mean - truth.flatten(1).T).square().mean()):.3f} from {seen}")
            pictures = {"seen": _seen(support, truth, turned), "completed": _picture(_grid(mean, truth), turned)}
            if std is not None:
                pictures["deviation"] = _picture(_grid(std.mean(-1, keepdim=True), truth[:1]), True)
            pictures["truth"] = _picture(truth, turned)
            rows.append((f"{seen} pixels", pictures))
        title = f"Picture {index}: mean squared error {', '.join(errors)} pixels"
        shown.append(Shown(title, drawing=figures.pictures(f"picture{index}", rows)))
    return shown


def _answer(learner: Learner, params: Params, support: Batch, places: Tensor) -> tuple[Tensor, Tensor | None]:
    """[pixels, channels] means, and deviations of the mixture where the learner says how sure it is."""
    adapted = learner.adapt(params, support)
    if not learner.probabilistic:
        return learner.predict(params, adapted, places).cpu(), None
    outputs, std = (None if part is None else part.cpu() for part in learner.predictive(params, adapted, places))
    assert outputs is not None
    within = torch.zeros(()) if std is None else std.square().mean(0)
    return outputs.mean(0), (within + outputs.var(0, correction=0)).sqrt()


def _seen(support: Batch, truth: Tensor, turned: bool) -> Tensor:
    """[height, width, 3] the pixels of a support, on a ground that is none of theirs."""
    x: Any = support.x
    height, width = truth.shape[1:]
    ground = torch.tensor(_UNSEEN).repeat(height, width, 1)
    across, down = (((x[:, i] + 1) / 2 * (n - 1)).round().long().cpu() for i, n in enumerate((width, height)))
    ground[down, across] = _picture(truth, turned)[down, across]
    return ground


def _grid(values: Tensor, like: Tensor) -> Tensor:
    """[channels, height, width] of [pixels, channels]."""
    return values.T.reshape(-1, *like.shape[1:])


def _picture(values: Tensor, turned: bool) -> Tensor:
    """[height, width, 3] of [channels, height, width] from 0 to 1; turned: light on dark becomes dark on light."""
    values = values.clamp(0, 1)
    return (1 - values if turned else values).expand(3, -1, -1).permute(1, 2, 0)
