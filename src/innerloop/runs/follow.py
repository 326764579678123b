"""A trained run on a stream whose constants change: how well it predicts what comes next."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval, difference, interval
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.problems import of_record


@dataclass(frozen=True, kw_only=True)
class FollowOptions:
    """Which stream, and how it is followed."""

    window: int | None = None
    """How many moments are looked back on; None: the shots of training."""
    periods: int = 20
    """How often the constants change, and that many errors are averaged."""
    period: int = 200
    """Moments between two changes."""
    seed: int = 77
    """Seed of the stream."""


class Followed(NamedTuple):
    """Squared errors of one-step predictions, means over periods with their intervals."""

    learner: str
    adapted: Interval
    unadapted: Interval
    """Error of the same parameters without an inner step."""
    difference: Interval
    """Adapted less unadapted, period by period."""
    moments: int
    window: int

    def __str__(self) -> str:
        """The errors and the difference."""
        rows = {"adapting": self.adapted, "without": self.unadapted, "difference": self.difference}
        lines = [f"{name:<11}{one.mean:+.4f} ± {one.ci95:.4f}" for name, one in rows.items()]
        about = f"{self.learner}: squared error over {self.moments} moments, each after the {self.window} before it"
        return "\n".join([about, *lines])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: one._asdict() if isinstance(one, Interval) else one for name, one in self._asdict().items()}


@torch.no_grad()
def follow_run(run: str | Path, options: FollowOptions, context: Context = Context()) -> Followed:
    """Predict every moment of a stream after adapting to those just before it.

    Neighbouring moments are alike, so that an interval over them would be too narrow: it is one over periods.

    Args:
        run: The folder.
        options: Which stream.
        context: What the run may name.

    Raises:
        InputError: Not a run; one whose learner follows no streams, or that was trained on something else.
    """
    config, (loaded, params) = read_config(run), load_run(run, context.allow)
    learner: Any = loaded
    if not callable(getattr(learner, "follow", None)):
        raise InputError(f"{type(learner).__name__} does not follow streams: follow a run of learning_to_adapt")
    if options.periods < 2:
        raise InputError(f"an interval needs at least 2 periods, got {options.periods}")
    task = (config.get("record") or {}).get("task")
    if task is None:
        raise InputError(f"{run} does not say which stream it was trained on: train it with `innerloop train`")
    window, length = task["shots"] if options.window is None else options.window, options.periods * options.period
    if options.period < 1:
        raise InputError(f"a period has at least 1 moment, got {options.period}")
    stream = of_record(task).changing(options.seed, length, options.period)
    # The same parameters on the same stream: what differs is adaptation alone, so the two are paired.
    plain = replace(learner, inner_steps=0)
    adapted, unadapted = (
        (one.follow(params, stream, window) - stream.y).square().mean(1).view(options.periods, -1).mean(1)
        for one in (learner, plain)
    )
    gain = difference(adapted, unadapted)
    name = type(learner).__name__
    return Followed(name, interval(adapted), interval(unadapted), gain, length, window)
