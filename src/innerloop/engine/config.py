"""What can be asked of a meta-training."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural, Positive
from innerloop.core.searched import among, between


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Checked):
    """How to meta-train."""

    steps: Natural = 1000
    """Meta-steps."""
    cpu_minutes: Positive | None = None
    """Stop earlier, once so much processor time is spent, on all threads together; None: never. Budgets for a fair
    comparison: the number of steps then depends on the machine."""
    meta_batch_size: Count = 4
    """Tasks a meta-step; their gradients are averaged, in chunks where the plan says so."""
    meta_lr: float = field(default=1e-3, metadata=between(1e-4, 3e-2, log=True))
    """Rate of the meta-optimizer."""
    seed: int = 0
    """Seed of the initial parameters."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """The meta-optimizer, where the update is a descent on the meta-gradient."""
    schedule: Literal["constant", "cosine", "linear", "step"] = field(
        default="constant", metadata=among("constant", "cosine")
    )
    """Schedule of the meta-rate: to zero at the end by a cosine or a line, or halved every `schedule_every` steps."""
    schedule_every: Count = 2000
    """Meta-steps between halvings, with the schedule `step`."""
    clip: Positive | None = None
    """Largest norm of the meta-gradient; None: not clipped."""
    validate_every: Natural = 0
    """Steps between scores on meta-validation episodes, of which the best is kept; 0: never, the last is kept."""
    validation_episodes: Count = 100
    """Meta-validation tasks of a score."""
    score: Literal["accuracy", "nll", "mse", "mae", "rmse"] | None = None
    """What validation chooses the checkpoint by; None: what the tasks are scored by. nll: the negative log-likelihood,
    which also asks how sure answers are; of values it takes a learner whose predictive has a deviation."""
    validate_transductive: bool = False
    """Validate with the query batch's statistics, as `innerloop test --transductive` measures; otherwise with the
    support's, as the usual test does, also where training is transductive."""
    patience: Natural = 0
    """Stop after this many validations without a new best; 0: never."""
    checkpoint_every: Count | None = None
    """Steps between checkpoints; None: 100, and two seconds at least where one process trains."""
    plan: Literal["auto", "loop", "threads", "vmap", "replay", "compile", "compile-query"] = "auto"
    """How tasks are run: `auto` times them, says what it chose and remembers it; see `docs/scale.md`."""
    retime: bool = False
    """Have `auto` time the plans again, whatever it remembers of this learner, shapes and machine."""
    unchecked: bool = False
    """Take a plan that is not `auto` without comparing its meta-gradient with the loop's at the start."""
    chunk: Count | None = None
    """Tasks at once; None: as the plan has it."""
    threads: Count | None = None
    """Python threads that take tasks; None: as the plan has it."""
    layout: Literal["contiguous", "channels_last", "mixed"] | None = None
    """Layout of pictures in memory; None: as the plan has it. mixed: support contiguous, query in channels last."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, for learners that declare `low_precision`."""
    recompute: bool = False
    """Make the graphs of the first inner steps again in the backward pass: memory stays bounded in inner steps."""
    estimator: Literal["exact", "truncated", "pes"] = "exact"
    """Estimator of the meta-gradient, for learned optimizers: through the whole unroll, through pieces of it, or
    persistent evolution strategies; see `engine.unroll_gradients`."""
    unroll_length: Count = 20
    """Inner steps of a piece, for the last two."""
    pes_sigma: Positive = 0.01
    """Deviation of the noise of pes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score is not None and not self.validate_every:
            raise InputError(
                f"score='{self.score}' chooses the checkpoint on validation tasks: say how often with validate_every"
            )
        if self.retime and self.plan != "auto":
            raise InputError(
                f"retime has plan='auto' time the plans again, and plan='{self.plan}' is asked for: leave one of them "
                "out"
            )

    @property
    def pins(self) -> dict[str, Any]:
        """The fields of a `Plan` that were asked for."""
        pinned = {"chunk": self.chunk, "threads": self.threads, "layout": self.layout, "precision": self.precision}
        # recompute=False is no pin: the plan may choose it where memory is short.
        return {k: v for k, v in pinned.items() if v is not None} | ({"recompute": True} if self.recompute else {})

    def done(self, step: int, spent: float) -> float:
        """How much of the training is done, from 0 to 1, after so many steps and seconds of processor time."""
        by_steps = step / self.steps if self.steps else 1.0
        # By the larger of the two, so that a schedule ends at its zero whichever budget ends first.
        by_time = 0.0 if self.cpu_minutes is None else spent / (60 * self.cpu_minutes)
        return min(1.0, max(by_steps, by_time))

    def rate(self, step: int, spent: float = 0.0) -> float:
        """The meta-rate of a step."""
        done = self.done(step, spent)
        factor = {
            "constant": 1.0,
            "cosine": 0.5 * (1 + math.cos(math.pi * done)),
            "linear": 1 - done,
            "step": 0.5 ** (step // self.schedule_every),
        }
        return self.meta_lr * factor[self.schedule]
