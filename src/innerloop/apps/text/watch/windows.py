"""Windows of time with their counts, and a few sentences of each kind."""

import heapq
import json
from dataclasses import dataclass, field

from innerloop.apps.text.watch.events import Event, iso

SENTENCES = 5
"""Kept of every cell of a window: a uniform sample, which does not depend on the order of the events."""

Kept = tuple[str, str, str | None, str | None]
"""A place in the sample, text, id and source."""


@dataclass(kw_only=True)
class Window:
    """Events from `start` on, until the next window begins."""

    start: int
    """Milliseconds since 1970; a multiple of the length of windows."""
    counts: list[int]
    """[cells] events by what they were labelled; a cell is a pair of labels where there are two tasks."""
    sentences: dict[int, list[Kept]] = field(default_factory=dict)
    """The sample of each cell that has some, in its order."""

    @property
    def size(self) -> int:
        """Its events."""
        return sum(self.counts)

    def take(self, event: Event, cell: int) -> None:
        """Count an event."""
        self.counts[cell] += 1
        kept, order = self.sentences.setdefault(cell, []), event.order.hex()
        if len(kept) < SENTENCES or order < kept[-1][0]:
            kept.append((order, event.shown, event.id, event.source))
            kept.sort(key=lambda one: one[0])
            del kept[SENTENCES:]

    def some(self, cells: frozenset[int]) -> list[Kept]:
        """The sample of several cells together."""
        return heapq.nsmallest(SENTENCES, (one for cell in cells for one in self.sentences.get(cell, [])))

    def row(self) -> tuple[int, str, str]:
        """What `of_row` reads."""
        return self.start, json.dumps(self.counts), json.dumps(self.sentences, ensure_ascii=False)

    @classmethod
    def of_row(cls, start: int, counts: str, sentences: str | None) -> "Window":
        """The window that was kept."""
        kept = {int(cell): [tuple(one) for one in some] for cell, some in json.loads(sentences or "{}").items()}
        return cls(start=start, counts=json.loads(counts), sentences=kept)


def span(start: int, length: int) -> dict[str, str]:
    """A window in words for machines."""
    return {"start": iso(start), "end": iso(start + length)}
