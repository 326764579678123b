"""Episodes for the meta-steps of a run, drawn several steps at a time where they are small."""

from innerloop.core import tree
from innerloop.core.aligned import aligned
from innerloop.core.types import Episode, Sampler

_BYTES, _STEPS = 8 << 20, 64


class Feed:
    """A sampler's episodes by meta-step: step `s` gets episodes `s * size ..`, whoever asks in whatever order.

    Drawing 25 sinusoids costs as much as drawing 400 of them, and more than a compiled meta-step. Where a step's
    episodes lie in what was drawn depends on where the run was resumed, so they are handed out in aligned memory.

    Args:
        sampler: Where they come from.
        size: Tasks of a meta-step.
    """

    def __init__(self, sampler: Sampler, size: int):
        self.sampler, self.size = sampler, size
        self._steps, self._first, self._drawn = 1, 0, None

    def episodes(self, step: int, tasks: range) -> Episode:
        """Those of the step's tasks that are asked for."""
        if len(tasks) < self.size:
            return self.sampler.episodes(step * self.size + tasks.start, len(tasks))
        if self._drawn is None or not self._first <= step < self._first + self._steps:
            if self._drawn is not None:
                each = sum(leaf.nbytes for leaf in tree.flatten(self._drawn)) // self._steps
                self._steps = max(1, min(_STEPS, _BYTES // max(each, 1)))
            self._first = step
            self._drawn = self.sampler.episodes(step * self.size, self._steps * self.size)
        start = (step - self._first) * self.size
        return aligned(tree.slice(self._drawn, slice(start, start + self.size)))
