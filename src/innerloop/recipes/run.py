"""What a recipe makes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, meta_train
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
    record: dict[str, Any]
    """Plain JSON kept with the run: where its tasks came from."""
    validation: Sampler | None = None
    """Meta-validation tasks, where the config asks for scores on them."""
    splits: Splits | None = None
    """The classes behind the samplers, where there are any."""

    def meta_train(self, out: str | Path | None = None) -> Params:
        """Train it, or go on with it; see `engine.meta_train`."""
        return meta_train(self.learner, self.train, self.config, out, self.validation, self.record)
