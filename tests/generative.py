"""A generator whose answers are known, and runs of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from innerloop.core import random
from innerloop.core.learner import Learner
from innerloop.core.objectives import membership
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.engine import checkpoint

SIZE = 12


class Seen(NamedTuple):
    x: Tensor
    member: Tensor  # [n, ways]


@dataclass(frozen=True, kw_only=True)
class Shaded(Learner[Seen]):
    """One example of the class, at random, with grey noise around it."""

    trains_on = ("episodes",)

    temperature: float = 1.0
    """How much noise."""

    def init(self, seed: int) -> Params:
        return {"noise": torch.tensor(0.3) if self.temperature < 1e38 else torch.tensor(1e2)}

    def adapt(self, params: Params, support: Batch) -> Seen:
        assert support.classes is not None and isinstance(support.x, Tensor)
        return Seen(support.x, membership(support.y, len(support.classes), support.mask, support.x.dtype))

    def predict(self, params: Params, adapted: Seen, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, Tensor)
        means = (adapted.member / adapted.member.sum(0)).T @ adapted.x.flatten(1)
        return -torch.cdist(x.flatten(1), means)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        return params["noise"].square(), {}

    def generate(self, params: Params, adapted: Seen, key: Tensor, count: int) -> Tensor:
        ways = adapted.member.shape[1]
        score = random.uniform(random.fold(key, 0), (ways, count, len(adapted.x))) * adapted.member.T[:, None]
        chosen = adapted.x[score.argmax(-1)]
        noise = random.uniform(random.fold(key, 1), chosen.shape, chosen.dtype)
        return chosen + self.temperature * params["noise"] * (noise - 0.5)


def save(folder: Path, learner: Learner, /, **record: Any) -> Path:
    """A run of it, as Python makes one."""
    params = learner.init(0)
    how = {"size": SIZE, "channels": 1, "ink": "auto"}
    checkpoint.write_config(folder, learner, {}, {"shape": [1, SIZE, SIZE], "preprocessing": how} | record)
    checkpoint.save_params(folder, learner, params)
    return folder


def strokes(kind: int, shift: int, size: int = SIZE) -> np.ndarray:
    """[size, size] bool, a bar that stands, lies, or is crossed by another, moved a little."""
    picture = np.zeros((size, size), dtype=bool)
    at = size // 3 + shift
    if kind in (0, 2):
        picture[1:-1, at : at + 2] = True
    if kind in (1, 2):
        picture[at : at + 2, 1:-1] = True
    return picture


def draw(folder: Path, classes: int = 3, each: int = 3, size: int = SIZE, dark: bool = True) -> list[str]:
    """Folders of pictures of strokes, one a class."""
    for kind in range(classes):
        (folder / f"kind{kind}").mkdir(parents=True)
        for shift in range(each):
            ink = strokes(kind, shift, size)
            values = np.where(ink, 15, 240) if dark else np.where(ink, 240, 15)
            Image.fromarray(values.astype(np.uint8)).save(folder / f"kind{kind}" / f"{shift}.png")
    return [str(folder / f"kind{kind}") for kind in range(classes)]
