"""An adapted task as one module of tensors, from pixels or features to calibrated probabilities."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.core import tree
from innerloop.encoders.base import Exportable
from innerloop.fewshot.foreign import added
from innerloop.fewshot.rows import floats
from innerloop.fewshot.task import Task


class Graph(nn.Module):
    """[n, ...] inputs to [n, classes] probabilities and, if the task rejects, [n] bool whether they are accepted.

    It takes pictures [n, channels, height, width] from 0 (black) to 1 (white) as they are: dark strokes are inverted
    here where the learner wants bright ones, and the network of a frozen encoder is part of it. Where an encoder cannot
    be (of texts), it begins with the rows that the encoder makes.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.task = task
        pixels = task.source.encoder.pixels() if isinstance(task.source.encoder, Exportable) else None
        self.begins_with: nn.Module | None = None if pixels is None else pixels[0]
        self.shape: tuple[int, ...] = tuple(task.rows.shape[1:]) if pixels is None else pixels[1]
        """Shape of one input."""
        # A run says it of all its tasks, or each task decided it when it was taught; sounds have no ink.
        self.inverts = "dark" in ((task.source.preprocessing or {}).get("ink"), task.source.reading.ink)
        # Modules keep no trees: the leaves become buffers, and are found again by who they are.
        self._trees: tuple[Any, Any] = (task.source.params, task.adapted)
        self._names: dict[int, str] = {}
        for name, leaf in tree.items({"params": task.source.params, "adapted": task.adapted}):
            if id(leaf) not in self._names:  # most learners carry meta-parameters along as they are
                self._names[id(leaf)] = name.replace(".", "__")
                self.register_buffer(self._names[id(leaf)], leaf.detach())
        self._temperature = task.calibration.temperature
        if task.gate is not None:
            self.register_buffer("gate", task.gate)
        self._threshold = None if task.calibration.threshold is None else _rounded_up(task.calibration.threshold)
        self.eval().requires_grad_(False)

    @property
    def takes_pictures(self) -> bool:
        """Whether inputs are pictures; else they are rows of numbers."""
        return self.begins_with is not None or self.task.source.kind == "pictures"

    @property
    def rejects(self) -> bool:
        """Whether there is the second output."""
        return self._threshold is not None

    def rows(self, x: Tensor) -> Tensor:
        """What the learner sees of inputs."""
        if self.inverts:
            x = 1 - x
        return x if self.begins_with is None else self.begins_with(x)

    def logits(self, rows: Tensor) -> Tensor:
        """[n, classes] before the temperature, of what the learner sees."""
        params, adapted = tree.map(lambda leaf: self.get_buffer(self._names[id(leaf)]), self._trees)
        return self.task.source.learner.predict(params, adapted, rows)[:, : len(self.task.classes)]

    def scores(self, rows: Tensor, z: Tensor) -> Tensor:
        """[n] what is compared with the threshold."""
        best = z.amax(-1)
        return best if self.task.gate is None else best + added(self.get_buffer("gate"), rows)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        rows = self.rows(x)
        z = self.logits(rows)
        # The difference first: large logits that are near to each other lose nothing by it in float32.
        p = torch.softmax((z - z.amax(-1, keepdim=True)) / self._temperature, -1)
        return p if self._threshold is None else (p, self.scores(rows, z) >= self._threshold)

    def real_inputs(self, count: int) -> Tensor | None:
        """Examples that the task learned from (or names), as inputs; None: an encoder stands before them."""
        if self.begins_with is not None:
            return None
        # Rows are kept as the learner sees them, inputs come before the inversion.
        rows = floats(self.task.known[:count])
        return 1 - rows if self.inverts else rows

    def exact(self) -> "Graph":
        """The same with what was learned in float64; an encoder stays as it is."""
        # Shallow: the encoder, which may be large, is shared.
        twin = copy.copy(self)
        twin._buffers = {
            k: b.double() if b is not None and b.is_floating_point() else b for k, b in self._buffers.items()
        }
        return twin


def _rounded_up(threshold: float) -> float:
    """The least float32 that is not below: float32 logits are on the same side of it."""
    near = torch.tensor(threshold, dtype=torch.float32)
    return (near if near.item() >= threshold else torch.nextafter(near, torch.tensor(math.inf))).item()
