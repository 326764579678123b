"""A learner with the tasks it is trained and tested on."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, Watcher, distributed, meta_train
from innerloop.problems.base import Problem
from innerloop.runs.calibrate import keep_if_possible
from innerloop.runs.select import Pending, choose
from innerloop.runs.start import Start
from innerloop.tasks import Splits


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A learner with the tasks it learns from, and how."""

    learner: Learner
    train: Sampler
    """Meta-training tasks."""
    test: Callable[[], Sampler]
    """Makes the sampler of unseen tasks; it refuses where there are too few classes, which is no matter in training."""
    config: TrainConfig
    problem: Problem
    """Where its tasks come from."""
    record: dict[str, Any]
    """Plain JSON kept with the run: where its tasks came from."""
    validation: Sampler | None = None
    """Meta-validation tasks, where the config asks for scores on them."""
    splits: Splits | None = None
    """The classes behind the samplers, where there are any."""
    start: Start | None = None
    """Parameters of another run to begin with."""
    notes: tuple[str, ...] = ()
    """What is to be known before it is trained, such as that it cannot be tested."""
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What is chosen from these values on `choose_on` once it is trained, where the learner leaves it open."""
    choose_on: Sampler | None = None
    """Meta-validation tasks."""
    calibrate_on: Sampler | None = None
    """Meta-validation tasks that its probabilities are calibrated on once it is trained."""
    cache: str | Path | None = None
    """Folder where chosen plans are remembered; None: the environment's, or the user's."""

    def meta_train(self, out: str | Path | None = None, watchers: Sequence[Watcher] = ()) -> Params:
        """Train it, or go on with it; see `engine.meta_train`."""
        # Every process joins before it writes or prints, so that only the first one does either.
        first = distributed.join().rank == 0
        if self.start is not None and first:
            print(f"innerloop: {self.start}", file=sys.stderr)
        for note in self.notes if first else ():
            print(f"innerloop: {note}", file=sys.stderr)
        start = None if self.start is None else self.start.params
        pending = Pending(() if self.choose_on is None else self.choices)
        params = meta_train(
            self.learner,
            self.train,
            self.config,
            out,
            self.validation,
            self.record,
            start,
            (*watchers, pending),
            update=self.problem.updating(self.learner),
            cache=self.cache,
        )
        # What follows writes files; the parameters are the same in every process.
        if not first:
            return params
        if self.choose_on is not None:
            params = choose(self.learner, params, self.choose_on, self.choices, out, self.config.validate_transductive)
        # After the choice: the probabilities of what will be used are calibrated, not of what was trained.
        if self.calibrate_on is not None and out is not None:
            keep_if_possible(out, self.learner, params, self.calibrate_on)
        return params
