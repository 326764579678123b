"""Episodes for the meta-steps of a run, drawn several steps at a time where they are small."""

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Sampler
from innerloop.core.unlabelled import visible

_BYTES, _STEPS = 8 << 20, 64


class Feed:
    """A sampler's episodes by meta-step: step `s` gets episodes `s * size ..`, whoever asks in whatever order.

    Drawing 25 sinusoids costs as much as drawing 400 of them, and more than a compiled meta-step. Which steps are drawn
    together depends on their number alone, so that a step's episodes lie at the same place in what was drawn, and
    kernels round alike, wherever the run was resumed.

    Args:
        sampler: Where they come from.
        size: Tasks of a meta-step.
        learner: Who gets them, and sees unlabelled rows only if it uses them.
    """

    def __init__(self, sampler: Sampler, size: int, learner: Learner):
        self.sampler, self.size, self.learner = sampler, size, learner
        self._steps, self._first, self._drawn = 0, 0, None

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
        if self._drawn is None or first != self._first:
            self._first, self._drawn = first, self._draw(first, self._steps)
        start = (step - first) * self.size
        return tree.slice(self._drawn, slice(start, start + self.size))

    def _draw(self, step: int, steps: int) -> Episode:
        return visible(self.learner, self.sampler.episodes(step * self.size, steps * self.size))
