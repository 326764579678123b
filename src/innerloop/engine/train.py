"""Meta-training: resumable bit for bit, stopped by anything, never left half-written."""

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from innerloop.core import files
from innerloop.core.config import encode
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params, Sampler
from innerloop.engine import checkpoint, distributed, plan
from innerloop.engine.choose import choose
from innerloop.engine.feed import Feed
from innerloop.engine.log import Log, progress
from innerloop.engine.step import meta_gradient, validation_scores
from innerloop.engine.whole import WholeStep


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to meta-train."""

    steps: int = 1000
    """Meta-steps."""
    cpu_minutes: float | None = None
    """Stop earlier, once so much processor time is spent, on all threads together; None: never. Budgets for a fair
    comparison: the number of steps then depends on the machine."""
    meta_batch_size: int = 4
    """Tasks a meta-step; their gradients are averaged, in chunks where the plan says so."""
    meta_lr: float = 1e-3
    """Rate of the meta-optimizer."""
    seed: int = 0
    """Of the initial parameters."""
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    """Of the meta-rate: to zero at the end by a cosine or a line, or halved every `schedule_every` steps."""
    schedule_every: int = 2000
    clip: float | None = None
    """Largest norm of the meta-gradient; None: not clipped."""
    validate_every: int = 0
    """Steps between scores on meta-validation episodes, of which the best is kept; 0: never, the last is kept."""
    validation_episodes: int = 100
    patience: int = 0
    """Stop after this many validations without a new best; 0: never."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    plan: Literal["auto", "loop", "threads", "vmap", "replay", "compile"] = "auto"
    """How tasks are run: `auto` times them and says what it chose; see `docs/scale.md`."""
    chunk: int | None = None
    """Tasks at once; None: as the plan has it."""
    threads: int | None = None
    """Python threads that take tasks; None: as the plan has it."""
    layout: Literal["contiguous", "channels_last", "mixed"] | None = None
    """Of pictures in memory; None: as the plan has it. mixed: support contiguous, query in channels last."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, for learners that declare `low_precision`."""
    recompute: bool = False
    """Make the graph of an inner step again in the backward pass: memory stays flat in inner steps."""

    def __post_init__(self) -> None:
        for name in ("meta_batch_size", "checkpoint_every", "validation_episodes", "schedule_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("chunk", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, or left out, got {getattr(self, name)}")
        for name in ("steps", "validate_every", "patience"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.cpu_minutes is not None and not self.cpu_minutes > 0:
            raise InputError(f"cpu_minutes must be more than 0, or left out, got {self.cpu_minutes}")

    @property
    def pins(self) -> dict[str, Any]:
        """The fields of a `Plan` that were asked for."""
        given = {"chunk": self.chunk, "threads": self.threads, "layout": self.layout, "precision": self.precision}
        return {k: v for k, v in given.items() if v is not None} | ({"recompute": True} if self.recompute else {})

    def done(self, step: int, spent: float) -> float:
        """How much of the training is done, from 0 to 1, after so many steps and seconds of processor time."""
        by_steps = step / self.steps if self.steps else 1.0
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


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; the run is saved at `step` and goes on from there when asked again."""

    def __init__(self, step: int):
        super().__init__(f"saved at step {step}")
        self.step = step


def meta_train(
    learner: Learner,
    sampler: Sampler,
    config: TrainConfig,
    out: str | Path | None = None,
    validation: Sampler | None = None,
    record: dict[str, Any] | None = None,
) -> Params:
    """Meta-train, or go on with the run in `out`: a resumed run equals an unbroken one bit for bit.

    Under `torchrun`, every process takes its share of each meta-batch and the first one keeps the run; see
    `docs/scale.md`.

    Args:
        learner: The algorithm.
        sampler: Meta-training tasks; step s takes episodes `s * meta_batch_size ..`.
        config: Steps, rates, schedules.
        out: Run folder; None keeps nothing.
        validation: Meta-validation tasks, needed for `validate_every`.
        record: Plain JSON kept in the run's config: where the tasks came from.

    Returns:
        The best parameters by validation, or the last.

    Raises:
        InputError: `out` cannot be written, or holds another run.
        FailedError: The loss became NaN or infinite.
        Interrupted: SIGINT or SIGTERM, in any process; saved first.
        LostError: Another process of the job is gone.
    """
    if config.validate_every and validation is None:
        raise InputError(f"validate_every={config.validate_every} needs a validation sampler")
    with distributed.join() as world:
        return _train(learner, sampler, config, None if out is None else Path(out), validation, record or {}, world)


def _train(
    learner: Learner,
    sampler: Sampler,
    config: TrainConfig,
    run: Path | None,
    validation: Sampler | None,
    record: dict[str, Any],
    world: distributed.World,
) -> Params:
    if run is not None:
        world.first(lambda: _open(run, learner, config, record))
    if world.size > 1 and config.cpu_minutes is not None:
        raise InputError("cpu_minutes is the budget of one process: leave it out under torchrun, or start without it")
    training = _Training(learner, config, run, world)
    if config.meta_batch_size < world.size and world.rank == 0:
        idle = f"{world.size - config.meta_batch_size} of {world.size} processes"
        print(f"innerloop: {idle} have nothing to do in a meta-batch of {config.meta_batch_size}", file=sys.stderr)
    feed = Feed(sampler, config.meta_batch_size)
    log = Log(run if world.rank == 0 else None, training.step)

    def keep() -> None:
        log.flush()  # before the checkpoint: lines past it are dropped, lines before it must be there
        training.save()

    name, shown = type(learner).__name__, world.rank == 0
    with _stop_signals() as stopped, progress(name, training.step, config.steps, shown) as bar:
        while not training.finished:
            started = time.perf_counter()
            metrics, stop = training.advance(feed, stopped)
            speed = config.meta_batch_size / (time.perf_counter() - started)
            log.add(step=training.step, **metrics, tasks_per_second=round(speed, 1))
            if config.validate_every and training.step % config.validate_every == 0 and validation is not None:
                scores = training.validate(validation)
                log.add(step=training.step, validation=scores)
                bar.best(f"validation {scores['mean']:.4g}")
            bar.advance(metrics | {"tasks/s": speed})
            if training.step % config.checkpoint_every == 0 or training.finished or stop:
                world.first(keep)  # nobody leaves before it is done: torchrun would end the others
            if stop and not training.finished:
                raise Interrupted(training.step)
    if run is not None:
        world.first(lambda: None if (run / "params.safetensors").exists() else training.save())
    return training.result


class _Training:
    """Everything that changes while a run trains, and nothing else."""

    def __init__(self, learner: Learner, config: TrainConfig, run: Path | None, world: distributed.World):
        self.learner, self.config, self.run, self.world = learner, config, run, world
        self.params = {k: v.requires_grad_() for k, v in learner.init(config.seed).items()}
        self.step, self.waited = 0, 0
        self.best: dict[str, Any] | None = None
        self.spent, self.started = 0.0, time.process_time()
        self.plan: plan.Plan | None = None if config.plan == "auto" else plan.Plan(config.plan, **config.pins)
        self.whole: WholeStep | None = None
        leaves = list(self.params.values())
        # An optimizer refuses an empty list: a learner without parameters (raw inputs) trains by standing still.
        make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
        self.optimizer = make(leaves, lr=config.meta_lr) if leaves else None
        # Only the first process needs to see the folder.
        state = None if run is None else world.first(lambda: checkpoint.read_state(run))
        if state is not None:
            self._restore(state)
        world.level(leaves)  # the same seed may draw other numbers on another machine

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        return self.config.done(self.step, self.spent) >= 1 or (patience > 0 and self.waited >= patience)

    @property
    def result(self) -> Params:
        self.settle()
        params = self.params if self.best is None else self.best["params"]
        return {k: v.detach() for k, v in params.items()}

    def advance(self, feed: Feed, stopped: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """One meta-step; returns what to log, and whether any process was asked to stop."""
        self.spent = time.process_time() - self.started
        size, self.world.step = self.config.meta_batch_size, self.step
        mine = self.world.share(size)
        # A process without tasks runs one that does not count, so that it knows the names of the metrics.
        tasks = mine or range(1)
        episodes = feed.episodes(self.step, tasks)
        if self.plan is None:
            self.plan = self._pick(episodes)
        if self.whole is None and self.world.size == 1 and self.optimizer and WholeStep.possible(self.plan, size):
            self.whole = WholeStep(self.learner, self.params, self.optimizer, self.plan, self.config.clip)
        if self.whole is not None:
            metrics, taken = self.whole(episodes, self.config.rate(self.step, self.spent))
            if not taken:
                raise FailedError(self._diverged(metrics))
            self.step += 1
            return {k: float(v) for k, v in metrics.items()}, stopped()
        gradient, metrics = meta_gradient(self.learner, self.params, episodes, self.plan)
        gradient, metrics, stop = self.world.mean(gradient, metrics, len(mine) / size, stopped())
        found = {k: float(v) for k, v in metrics.items()}
        if not math.isfinite(found["loss"]) or not all(bool(g.isfinite().all()) for g in gradient.values()):
            raise FailedError(self._diverged(metrics))
        self.descend(gradient)
        self.step += 1
        return found, stop

    def _pick(self, episodes: Episode) -> plan.Plan:
        # Within a budget of time nobody knows how many steps there will be: not worth compiling for.
        steps = 0 if self.config.cpu_minutes is not None else self.config.steps - self.step
        chosen = self.world.first(lambda: choose(self.learner, self.params, episodes, steps, **self.config.pins))
        if self.world.rank == 0:
            print(f"innerloop: {chosen.said}", file=sys.stderr)
        return chosen.plan

    def settle(self) -> None:
        """Bring what a recorded step holds to the parameters and the optimizer, before anyone looks at them."""
        if self.whole is not None:
            self.whole.store()

    def descend(self, gradient: Params) -> None:
        if self.optimizer is None:
            return
        for name, leaf in self.params.items():
            leaf.grad = gradient[name]
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.params.values(), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step, self.spent)
        self.optimizer.step()

    def validate(self, sampler: Sampler) -> dict[str, float]:
        """Score meta-validation episodes and keep the parameters if they are the best so far."""
        count = self.config.validation_episodes
        mine = self.world.share(count)
        tasks = mine or range(1)
        episodes = sampler.episodes(tasks.start, len(tasks))
        self.settle()
        scores = validation_scores(self.learner, self.params, episodes)
        scores = self.world.gather(scores[: len(mine)], mine, count)
        mean = float(scores.mean())
        better = float("-inf") if math.isnan(mean) else (-mean if _lower_is_better(episodes.query.y) else mean)
        if self.best is None or better > self.best["score"]:
            params = {k: v.detach().clone() for k, v in self.params.items()}
            self.best, self.waited = {"score": better, "step": self.step, "params": params}, 0
        else:
            self.waited += 1
        ci95 = 1.96 * float(scores.std()) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
        return {"mean": mean, "ci95": ci95, "episodes": len(scores)}

    def save(self) -> None:
        if self.run is None:
            return
        self.settle()
        state = {
            "step": self.step,
            "waited": self.waited,
            "params": {k: v.detach() for k, v in self.params.items()},
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "best": self.best,
            "plan": None if self.plan is None else asdict(self.plan),
            "world_size": self.world.size,
            "cpu_seconds": self.spent,
        }
        checkpoint.save_state(self.run, state)
        checkpoint.save_params(self.run, self.learner, self.result)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.waited, self.best = state["step"], state["waited"], state["best"]
        self.spent = state.get("cpu_seconds", 0.0)
        self.started -= self.spent
        with torch.no_grad():
            for name, leaf in self.params.items():
                leaf.copy_(state["params"][name])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        if state["plan"] is not None and state.get("world_size", 1) == self.world.size:
            self.plan = plan.Plan(**state["plan"])  # with other shares, other plans are good

    def _diverged(self, metrics: Metrics) -> str:
        kept = "nothing was saved" if self.run is None else f"the last good checkpoint is in {self.run}"
        return (
            f"{type(self.learner).__name__}: the loss or its gradient at step {self.step} is not finite "
            f"(loss {float(metrics['loss']):.4g}); {kept}. Likely causes: inner_lr or meta_lr too large (try a tenth), "
            "no gradient clipping (clip=10), NaN in the inputs, a norm or square root at 0 in the model"
        )


def _open(run: Path, learner: Learner, config: TrainConfig, record: dict[str, Any]) -> None:
    """Prove that the folder can be written, and that what it holds is this run or nothing."""
    files.writable(run)
    train = asdict(config)
    if not (run / "config.json").exists():
        checkpoint.write_config(run, learner, train, record)
        return
    found = checkpoint.read_config(run)
    ignored = set() if config.schedule in ("cosine", "linear") else {"steps", "cpu_minutes"}
    ignored |= {"checkpoint_every", "plan", "chunk", "threads", "layout", "recompute"}  # rounding apart, no difference
    pairs = {"learner": (found["learner"], encode(learner)), "record": (found["record"], record)}
    pairs |= {k: (found["train"].get(k), v) for k, v in train.items() if k not in ignored}
    for name, (old, new) in pairs.items():
        if old != new:
            raise InputError(
                f"{run} holds another run: its {name} is {_short(old)}, now {_short(new)} is asked for. "
                "Choose another folder, remove this one, or ask for the same to go on with it"
            )
    checkpoint.write_config(run, learner, train, record)


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM arrived; a second one is not held back."""
    arrived = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield arrived.is_set
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        arrived.set()
        signal.signal(number, before[signal.Signals(number)])

    for s in before:
        signal.signal(s, note)
    try:
        yield arrived.is_set
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _lower_is_better(y: Tensor) -> bool:
    return y.is_floating_point()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
