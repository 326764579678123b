"""Episodes for the meta-steps of a run, drawn several steps at a time where they are small."""

import torch

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Sampler
from innerloop.core.unlabelled import visible

_BYTES, _STEPS = 8 << 20, 64


class Feed:
    """A sampler's episodes by meta-step: step `s` gets episodes `s * size ..`, whoever asks in whatever order.

    Drawing 25 sinusoids costs as much as drawing 400 of them, and more than a compiled meta-step. Which steps are drawn
    together depends on their number alone, so that a step's episodes lie at the same place in what was drawn, and
    kernels round alike, wherever the run was resumed. Where steps drawn together are not what they are alone, because
    shapes or tasks change with the step, they are drawn alone.

    Args:
        sampler: Where they come from.
        size: Tasks of a meta-step.
        learner: Who gets them, and sees unlabelled rows only if it uses them.
    """

    def __init__(self, sampler: Sampler, size: int, learner: Learner):
        self.sampler, self.size, self.learner = sampler, size, learner
        self._steps, self._first, self._drawn, self._together = 0, 0, None, True

    def episodes(self, step: int, tasks: range) -> Episode:
        """Those of the step's tasks that are asked for."""
        # A share of several processes: drawing other processes' tasks as well would undo what sharing gains.
        if len(tasks) < self.size:
            return visible(self.learner, self.sampler.episodes(step * self.size + tasks.start, len(tasks)))
        if not self._steps:
            # The first draw tells how large a step is; it is kept only where steps are drawn one at a time.
            self._first, self._drawn = step, self._draw(step, 1)
            each = sum(leaf.nbytes for leaf in tree.flatten(self._drawn))
            self._steps = max(1, min(_STEPS, _BYTES // max(each, 1)))
            if self._steps > 1:
                self._drawn = None
        first = step - step % self._steps
        if first != self._first or (self._drawn is None and self._together):
            self._first, self._drawn = first, self._several(first)
            self._together = self._drawn is not None
        if self._drawn is None:
            return self._draw(step, 1)
        return self._of(self._drawn, step - first)

    def _several(self, first: int) -> Episode | None:
        """The episodes of several steps; None where they are not those of each step alone."""
        if self._steps == 1:
            return self._draw(first, 1)
        try:
            drawn = self._draw(first, self._steps)
        except Exception:  # shapes that cannot be stacked; what is wrong with a step alone is raised there
            return None
        after = {1, self._steps - 1}
        return drawn if all(_same(self._of(drawn, i), self._draw(first + i, 1)) for i in after) else None

    def _of(self, drawn: Episode, step: int) -> Episode:
        return tree.slice(drawn, slice(step * self.size, (step + 1) * self.size))

    def _draw(self, step: int, steps: int) -> Episode:
        return visible(self.learner, self.sampler.episodes(step * self.size, steps * self.size))


def _same(a: Episode, b: Episode) -> bool:
    """Up to rounding, which depends on how many numbers are drawn at once."""
    pairs = list(zip(tree.items(a), tree.items(b), strict=False))
    return len(tree.flatten(a)) == len(tree.flatten(b)) and all(
        path == other and x.shape == y.shape and torch.allclose(x.double(), y.double(), 1e-3, 1e-3, equal_nan=True)
        for (path, x), (other, y) in pairs
    )
