"""Tasks of any sampler, scored otherwise than it says itself."""

from dataclasses import dataclass

from innerloop.core import scores
from innerloop.core.types import Episode, Sampler


@dataclass(frozen=True)
class Scored:
    """The episodes of a sampler under another score."""

    sampler: Sampler
    score: str
    """A name in `innerloop.core.scores`, or `package.module:attribute`."""

    def __post_init__(self) -> None:
        scores.named(self.score)

    def episodes(self, first: int, count: int) -> Episode:
        """See `innerloop.core.types.Sampler`."""
        return self.sampler.episodes(first, count)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return self.sampler.describe() | {"score": self.score}
