"""Episodes to look at: the support by class, some queries, and what the learner answer about them."""

import base64
import io
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from matplotlib.image import imsave
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import weights
from innerloop.core.scores import of_sampler
from innerloop.core.types import Batch, Episode, Params, Sampler
from innerloop.report import curves, generated
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.contact_sheet import DARK

_QUERIES = 10


@dataclass(frozen=True)
class Picture:
    """One example as the page shows it."""

    uri: str
    """PNG as a data URI."""
    truth: str
    answer: str = ""

    @property
    def right(self) -> bool:
        """Whether the learner named the true class."""
        return self.answer == self.truth


@dataclass(frozen=True)
class Shown:
    """One episode: pictures by class, or a drawing of a regression task."""

    title: str
    support: tuple[tuple[str, tuple[Picture, ...]], ...] = ()
    """Class names with their examples."""
    queries: tuple[Picture, ...] = ()
    drawing: str = ""
    sheet: str = ""
    """What was generated of the support's classes, as a data URI."""


def gallery(learner: Learner, params: Params, sampler: Sampler, episodes: int) -> list[Shown]:
    """The first meta-test episodes, not chosen ones; empty where inputs are neither pictures nor single numbers."""
    device = next(iter(params.values())).device if params else "cpu"
    stacked = tree.map(lambda leaf: leaf.to(device), sampler.episodes(0, episodes))
    classes, of_classes = _class_names(sampler, episodes), of_sampler(sampler).of_classes
    shown = []
    for i in range(episodes):
        episode: Episode = tree.slice(stacked, i)
        x, y = episode.query.x, episode.query.y
        if isinstance(x, dict):
            continue
        if of_classes and x.dim() == 4 and x.shape[1] in (1, 3):
            with torch.no_grad():
                outputs = learner.predict(params, learner.adapt(params, episode.support), x)
            pictures = _pictures(episode, outputs, classes[i] if classes else None, i)
            shown.append(replace(pictures, sheet=generated.sheet(learner, params, episode, i)))
        elif not of_classes and x[0].numel() == 1 and y[0].numel() == 1:
            title = f"Episode {i}: {len(_rows(episode.support))} examples seen"
            shown.append(Shown(title, drawing=curves.drawing(learner, params, sampler, episode, i)))
    return shown


def _pictures(episode: Episode, outputs: Tensor, names: Sequence[str] | None, index: int) -> Shown:
    support, query = episode
    answers, rows = outputs.argmax(-1), _rows(query)[:_QUERIES]
    inverted = support.x.shape[1] == 1 and float(support.x.mean()) < DARK  # pyright: ignore[reportAttributeAccessIssue]
    # Episode labels are arbitrary: letters, so that nobody takes them for digits in the pictures.
    label = [_letter(i) for i in range(outputs.shape[1])]

    def picture(batch: Batch, row: int, answer: str = "") -> Picture:
        return Picture(_png(batch.x[row], inverted), label[int(batch.y[row])], answer)  # pyright: ignore[reportArgumentType]

    groups = []
    for j in sorted({int(support.y[i]) for i in _rows(support)}):
        called = f"{label[j]} · {names[j]}" if names else label[j]
        groups.append((called, tuple(picture(support, i) for i in _rows(support) if int(support.y[i]) == j)))
    queries = tuple(picture(query, i, label[int(answers[i])]) for i in rows)
    right = sum(q.right for q in queries)
    title = f"Episode {index}: {right} of the {len(queries)} queries shown are right"
    return Shown(title, tuple(groups), queries)


def _rows(batch: Batch) -> list[int]:
    return weights(batch.y, batch.mask).nonzero().flatten().tolist()


def _class_names(sampler: Sampler, episodes: int) -> list[list[str]] | None:
    """Names of the drawn classes in label order, where the sampler knows them."""
    if not isinstance(sampler, EpisodeSampler):
        return None
    return [
        [sampler.pool.names[c] if c >= 0 else "" for c in row] for row in sampler.draw(0, episodes).classes.tolist()
    ]


def _letter(i: int) -> str:
    letters = string.ascii_uppercase
    return letters[i] if i < len(letters) else f"{letters[i // len(letters) - 1]}{letters[i % len(letters)]}"


def _png(x: Tensor, inverted: bool) -> str:
    """[channels, height, width] from 0 to 1, or of any range, as a data URI."""
    values = x.detach().float().cpu()
    low, high = min(0.0, values.min().item()), max(1.0, values.max().item())
    values = (values - low) / (high - low)
    values = 1 - values if inverted else values
    pixels = (values * 255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
