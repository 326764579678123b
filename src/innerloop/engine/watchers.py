"""Who listens while a run trains: logs, a progress bar, tuners, trackers. A watcher never changes what is trained."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from innerloop.core.complaints import complain
from innerloop.engine.config import TrainConfig
from innerloop.engine.validation import Validation


class Stop(Exception):
    """Raised by a watcher to end training early: the run is saved, and the caller gets the best parameters.

    Args:
        reason: What `ended` is told.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Watcher:
    """Hears what happens in a training, in its first process; every method may be left out.

    A watcher may raise `Stop`. Any other error is told once, and that watcher is left out from then on.
    """

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        """Training begins, or goes on.

        Args:
            run: The run folder; None where nothing is kept.
            config: Steps, rates, schedules.
            record: Where the tasks come from.
        """

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """A meta-step is done.

        Args:
            number: How many are done.
            metrics: The update's (by default `loss` and the learner's own, means over tasks), and `tasks_per_second`.
        """

    def scored(self, number: int, totals: list[float]) -> None:
        """Meta-validation tasks were scored after so many steps; `validated` follows with their mean.

        Args:
            number: How many.
            totals: The score of every task, always the same tasks in the same order.
        """

    def validated(self, number: int, scores: dict[str, Any]) -> None:
        """Meta-validation tasks were scored after so many steps.

        Args:
            number: How many.
            scores: `mean` and `ci95` of the total, how many `episodes`, the name of the `score`, whether predictions
                were inductive or transductive (`normalisation`), and the processor time that the training took so far
                on all its threads, validations with it (`cpu_seconds`).
        """

    def saving(self, number: int) -> None:
        """The run is about to be saved: what must not be behind the checkpoint is written now."""

    def saved(self, number: int) -> None:
        """The run was saved after so many steps."""

    def ended(self, reason: str) -> None:
        """Training is over: "finished", the reason of a `Stop`, or what went wrong."""


class Watchers:
    """All that listen to one training.

    Args:
        own: The engine's, whose errors are errors of the training.
        others: Those that were given.
    """

    def __init__(self, own: Sequence[Watcher] = (), others: Sequence[Watcher] = ()):
        self._own, self._others = own, list(others)
        self.number = 0
        """Meta-steps that are done."""
        self.stop: str | None = None
        """The reason of the first `Stop`."""

    @contextlib.contextmanager
    def watching(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> Iterator[None]:
        """`started` before and `ended` after, whatever ends it."""
        # Copies here and below: a watcher that changes its dict must not change what the next one hears, or the run.
        self._tell(lambda w: w.started(run, config, dict(record)))
        reason = "finished"
        try:
            yield
            reason = reason if self.stop is None else self.stop
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            self._tell(lambda w: w.ended(reason))

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """See `Watcher.step`."""
        self.number = number
        self._tell(lambda w: w.step(number, dict(metrics)))

    def validated(self, result: Validation) -> None:
        """See `Watcher.scored` and `Watcher.validated`."""
        self._tell(lambda w: w.scored(self.number, list(result.totals)))
        self._tell(lambda w: w.validated(self.number, result.to_json()))

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """`saving` before and `saved` after."""
        self._tell(lambda w: w.saving(self.number))
        yield
        self._tell(lambda w: w.saved(self.number))

    def _tell(self, what: Callable[[Watcher], None]) -> None:
        # The engine's own first, and uncaught: a log that cannot be written must end the training, not be dropped.
        for watcher in self._own:
            what(watcher)
        for watcher in tuple(self._others):
            try:
                what(watcher)
            # Stopping is a wish, not an error: the step is over, so the others still hear of it.
            except Stop as stop:
                self.stop = stop.reason if self.stop is None else self.stop
            except Exception as error:
                self._others.remove(watcher)
                complain(
                    f"{type(watcher).__name__} failed after step {self.number} ({type(error).__name__}: "
                    f"{error}) and is left out from now on; training goes on"
                )
