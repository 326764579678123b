"""Tasks of one pool as something else sees them: another size, or features that were computed before."""

from dataclasses import dataclass, replace

from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked
from innerloop.core.types import Episode
from innerloop.tasks.episodes import EpisodeSampler
from innerloop.tasks.pool import Pool


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen(Checked):
    """The very tasks of a sampler, draw by draw, with the examples of another pool in their places.

    How a learner sees an example is part of the learner, so these tasks describe themselves as the sampler's, and
    results on them compare.

    Raises:
        InputError: The pool has other classes, or other numbers of examples.
    """

    sampler: EpisodeSampler
    pool: Pool
    """The same classes and examples in the same order."""

    def __post_init__(self) -> None:
        ours, theirs = self.sampler.pool, self.pool
        if ours.names != theirs.names or not ours.counts.equal(theirs.counts):
            raise InputError(
                f"{theirs.dataset} does not have the classes and examples of {ours.dataset}: give the data that was "
                "trained on"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """See `innerloop.core.types.Sampler`."""
        return replace(self.sampler, pool=self.pool).episodes(first, count)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return self.sampler.describe()
