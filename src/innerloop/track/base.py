"""What a tracker is told of a run. Trackers live in processes of their own, into which nothing here brings torch."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

Setting = str | int | float | bool
State = dict[str, str]
"""What a tracker keeps of a run: its id there, so that a resumed run goes on as the same one."""
FINISHED = "finished"
"""The reason of a training that ended by itself, as watchers hear it."""


class Point(NamedTuple):
    """Numbers of one moment."""

    step: int
    """Meta-steps that are done; of an adaptation curve: inner steps."""
    values: dict[str, float]
    """By names such as `train/loss`."""


class Place(NamedTuple):
    """What is tracked, and where a tracker may keep it."""

    run: Path
    """The run folder."""
    folder: Path
    """For the tracker's own files: `tracking` in the run folder, which exists."""
    name: str
    """What the run is called there."""


class Tracker(abc.ABC):
    """One that runs are sent to. Methods may take as long as they like, and may fail: no training waits for them."""

    package: ClassVar[str]
    """The module that it cannot do without."""
    extra: ClassVar[str]
    """What brings it: `pip install 'innerloop[extra]'`."""

    @abc.abstractmethod
    def open(self, place: Place, settings: Mapping[str, Setting], state: State, step: int) -> None:
        """Begin, or go on.

        Args:
            place: Of the run.
            settings: Its hyper-parameters, flat.
            state: As it was left; empty for a new run. What is put into it is kept before anything is sent.
            step: That the run was sent up to before.
        """

    @abc.abstractmethod
    def points(self, points: Sequence[Point]) -> None:
        """Numbers of meta-steps, in order, each step once."""

    @abc.abstractmethod
    def curve(self, name: str, points: Sequence[Point]) -> None:
        """A curve that is whole, over something else than meta-steps."""

    @abc.abstractmethod
    def picture(self, name: str, file: Path, step: int) -> None:
        """A PNG file."""

    @abc.abstractmethod
    def final(self, values: Mapping[str, Setting], step: int) -> None:
        """Numbers and words of the whole run, such as those of its test."""

    @abc.abstractmethod
    def close(self, reason: str | None) -> None:
        """All was sent.

        Args:
            reason: "finished", or why the training ended otherwise; None: no training was followed, as after a test.
        """
