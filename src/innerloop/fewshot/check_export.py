"""Whether an exported graph answers as the task that it was made from: it is run on inputs of every sort.

Both compute in float32, in another order, so they differ by rounding. How far rounding moves a logit of the original is
measured against the same in float64; where it is much (distances between far points), a probability may differ more.
"""

import io
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import FailedError
from innerloop.fewshot.graph import Graph
from innerloop.fewshot.rows import floats, read
from innerloop.fewshot.sources import Source

TOLERANCE = 1e-5
"""Error of a probability, besides what rounding in the original explains."""
BATCHES = (1, 2, 17)
"""Beside none at all."""
_ROUNDING = 1e-6  # of a logit, relative: what an encoder adds, and what a threshold may be missed by
_HUGE = (1e2, 1e4, 1e6)  # times an ordinary input
_REPEATS, _LONG = 5, 0.5

Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""[n, ...] inputs to probabilities and, if the task rejects, whether they are accepted."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What running both found."""

    inputs: int
    difference: float
    """The largest, of a probability."""
    rounding: float
    """The part of it that was allowed beyond `TOLERANCE`."""
    seconds: float
    """For the largest of `BATCHES`."""
    seconds_of_original: float


@torch.no_grad()
def check(graph: Graph, run: Run) -> Checked:
    """Run both on random inputs, examples, zeros, ones and huge values, in batches of `BATCHES`.

    Raises:
        FailedError: They do not answer alike.
    """
    x, rows, groups = _inputs(graph)
    z = graph.task.logits(rows).float()
    scores = graph.task.scores(rows, z.double())
    # In the type of the graph, whose gate rounds as well.
    rounded = (graph.scores(rows, z).double() - scores).abs().nan_to_num(0, 0)
    noise = _noise(graph, rows, z, groups)
    sides = noise + 2 * rounded
    p = torch.softmax(z.double() / graph.task.calibration.temperature, -1)
    # Logits off by e move the odds by at most exp(2 e); both may be off.
    moved = (4 * noise / graph.task.calibration.temperature).double()[:, None]
    # Clamped, since exp overflows from 710 on.
    allowed = TOLERANCE + (p * (1 - p) * torch.expm1(moved.clamp_max(500))).clamp_max(1)
    # No row at all, of which runtimes of ONNX make other shapes than torch does.
    _same_shape(*run(x[:0]), p[:0], graph.rejects)
    largest, beyond = 0.0, 0.0
    for size in BATCHES:
        # The largest batch sees all inputs; smaller ones only prove that their number may vary.
        for first in range(0, len(x) if size == max(BATCHES) else 2 * size, size):
            here = slice(first, first + size)
            answers, accepted = run(x[here])
            _same_shape(answers, accepted, p[here], graph.rejects)
            gap = (answers.double() - p[here]).abs()
            # Huge inputs may overflow, in both alike.
            gap = torch.where(answers.isnan() & p[here].isnan(), 0, gap)
            if not bool((gap <= allowed[here]).all()):
                raise FailedError(
                    f"the exported graph differs from the task by {float(gap.nan_to_num(1).max()):.1e} in a "
                    f"probability, {TOLERANCE:g} is allowed: nothing was written. Try the other format"
                )
            largest = max(largest, float(gap.max()))
            beyond = max(beyond, float((gap - TOLERANCE).max()))
            if accepted is not None:
                _same_side(graph, scores[here], sides[here], accepted)
    fast, slow = _seconds(run, x), _seconds(lambda x: graph.task.logits(graph.rows(x)), x)
    return Checked(inputs=len(x), difference=largest, rounding=max(beyond, 0.0), seconds=fast, seconds_of_original=slow)


def _inputs(graph: Graph) -> tuple[Tensor, Tensor, list[slice]]:
    """[17, ...] inputs, the rows that the task sees of them, and which are of one sort."""
    g = torch.Generator().manual_seed(0)
    count = 6
    if graph.takes_pictures:
        content = torch.randint(0, 256, (count, *graph.shape), generator=g, dtype=torch.uint8)
        random = content / 255
        seen = floats(read([_png(one) for one in content], _decided(graph))[0])  # as files are read for the task
    else:
        rows = graph.real_inputs(1_000)
        assert rows is not None
        # Not the deviation alone: it is 0 where all examples agree.
        scale = rows.std(0, correction=0) + rows.abs().mean() / 10
        random = rows.mean(0) + scale * torch.randn(count, *graph.shape, generator=g)
        seen = graph.rows(random)
    others = [torch.zeros_like(random[:1]), torch.ones_like(random[:1])]
    others += [factor * random[i : i + 1] for i, factor in enumerate(_HUGE)]
    examples = graph.real_inputs(count)
    others.append(random[:count].flip(0) if examples is None else examples)
    parts = [random, *others]
    x = torch.cat(parts)
    x = torch.cat([x, x[:1].expand(max(BATCHES) - len(x), *graph.shape)]) if len(x) < max(BATCHES) else x
    ends = np.cumsum([0, *map(len, parts), len(x) - sum(map(len, parts))]).tolist()
    groups = [slice(a, b) for a, b in itertools.pairwise(ends) if b > a]
    return x, torch.cat([seen, graph.rows(x[count:])]), groups


def _decided(graph: Graph) -> Source:
    """The source, which is not to look at random pictures to find out whether strokes are dark."""
    source = graph.task.source
    if source.preprocessing is None:
        return source
    return replace(source, reading=replace(source.reading, ink="dark" if graph.inverts else "light"))


def _noise(graph: Graph, rows: Tensor, z: Tensor, groups: list[slice]) -> Tensor:
    """[n] how far rounding moves the logits of the original, the largest of each sort of inputs."""
    gap = (graph.exact().logits(rows.double()) - z).abs().amax(-1)
    if graph.begins_with is not None:
        gap = gap + _ROUNDING * z.abs().amax(-1)
    # Where the original has no finite answer, a copy owes none.
    gap = gap.nan_to_num(torch.inf, torch.inf)
    # The largest of a sort, because one input may be rounded hardly at all by chance.
    for group in groups:
        gap[group] = gap[group].max()
    return gap


def _same_shape(answers: Tensor, accepted: Tensor | None, p: Tensor, rejects: bool) -> None:
    if answers.shape != p.shape or (accepted is not None) != rejects:
        raise FailedError(
            f"the exported graph returns probabilities of shape {list(answers.shape)} where the task has "
            f"{list(p.shape)}: nothing was written. Try the other format"
        )


def _same_side(graph: Graph, scores: Tensor, noise: Tensor, accepted: Tensor) -> None:
    threshold = graph.task.calibration.threshold
    assert threshold is not None
    # Only what the rounding of neither can carry across.
    clear = (scores - threshold).abs() > 2 * noise + _ROUNDING * abs(threshold)
    if bool((clear & (accepted != (scores >= threshold))).any()):
        raise FailedError(
            "the exported graph accepts what the task rejects, or the reverse: nothing was written. Try the other "
            "format"
        )


def _seconds(run: Callable[[Tensor], object], x: Tensor) -> float:
    """The least of a few times, or of one that is long."""
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _LONG:
        start = time.perf_counter()
        run(x)
        times.append(time.perf_counter() - start)
    return min(times)


def _png(picture: Tensor) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    values = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    Image.fromarray(values.contiguous().numpy()).save(out, "PNG")
    return out.getvalue()
