"""Meta-training: resumable bit for bit, stopped by anything, never left half-written."""

import contextlib
import math
import signal
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
from innerloop.core.types import Metrics, Params, Sampler
from innerloop.engine import checkpoint, plan
from innerloop.engine.log import Log, progress
from innerloop.engine.step import meta_gradient, pick, validation_scores


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to meta-train."""

    steps: int = 1000
    """Meta-steps."""
    meta_batch_size: int = 4
    """Tasks a meta-step; their gradients are averaged, in chunks where the plan says so."""
    meta_lr: float = 1e-3
    """Rate of the meta-optimizer."""
    seed: int = 0
    """Of the initial parameters."""
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    """Of the meta-rate: to zero at the last step by a cosine or a line, or halved every `schedule_every` steps."""
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
    plan: Literal["auto", "loop", "vmap", "threads"] = "auto"
    """How tasks are run; see `engine.meta_gradient`."""
    chunk: int = 8
    """Tasks at once under `vmap`."""

    def __post_init__(self) -> None:
        for name in ("meta_batch_size", "checkpoint_every", "validation_episodes", "schedule_every", "chunk"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("steps", "validate_every", "patience"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")

    def rate(self, step: int) -> float:
        """The meta-rate of a step."""
        done = step / max(self.steps, 1)
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
        Interrupted: SIGINT or SIGTERM; saved first.
    """
    if config.validate_every and validation is None:
        raise InputError(f"validate_every={config.validate_every} needs a validation sampler")
    run = None if out is None else Path(out)
    if run is not None:
        _open(run, learner, config, record or {})
    training = _Training(learner, config, run)
    log = Log(run, training.step)
    with _stop_signals() as stopped, progress(type(learner).__name__, training.step, config.steps) as bar:
        while not training.finished:
            started = time.perf_counter()
            metrics = training.advance(sampler)
            speed = config.meta_batch_size / (time.perf_counter() - started)
            log.add(step=training.step, **metrics, tasks_per_second=round(speed, 1))
            if config.validate_every and training.step % config.validate_every == 0 and validation is not None:
                scores = training.validate(validation)
                log.add(step=training.step, validation=scores)
                bar.best(f"validation {scores['mean']:.4g}")
            bar.advance(metrics | {"tasks/s": speed})
            if training.step % config.checkpoint_every == 0 or training.finished or stopped():
                log.flush()  # before the checkpoint: lines past it are dropped, lines before it must be there
                training.save()
            if stopped() and not training.finished:
                raise Interrupted(training.step)
    if run is not None and not (run / "params.safetensors").exists():
        training.save()
    return training.result


class _Training:
    """Everything that changes while a run trains, and nothing else."""

    def __init__(self, learner: Learner, config: TrainConfig, run: Path | None):
        self.learner, self.config, self.run = learner, config, run
        self.params = {k: v.requires_grad_() for k, v in learner.init(config.seed).items()}
        self.step, self.waited = 0, 0
        self.best: dict[str, Any] | None = None
        self.plan: plan.Plan | None = None if config.plan == "auto" else plan.Plan(config.plan, config.chunk)
        leaves = list(self.params.values())
        # An optimizer refuses an empty list: a learner without parameters (raw inputs) trains by standing still.
        make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
        self.optimizer = make(leaves, lr=config.meta_lr) if leaves else None
        state = None if run is None else checkpoint.read_state(run)
        if state is not None:
            self._restore(state)

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        return self.step >= self.config.steps or (patience > 0 and self.waited >= patience)

    @property
    def result(self) -> Params:
        params = self.params if self.best is None else self.best["params"]
        return {k: v.detach() for k, v in params.items()}

    def advance(self, sampler: Sampler) -> dict[str, float]:
        """One meta-step; returns what to log."""
        size = self.config.meta_batch_size
        episodes = sampler.episodes(self.step * size, size)
        if self.plan is None:
            self.plan = pick(self.learner, self.params, episodes)
        gradient, metrics = meta_gradient(self.learner, self.params, episodes, self.plan)
        found = {k: float(v) for k, v in metrics.items()}
        if not math.isfinite(found["loss"]) or not all(bool(g.isfinite().all()) for g in gradient.values()):
            raise FailedError(self._diverged(metrics))
        self.descend(gradient)
        self.step += 1
        return found

    def descend(self, gradient: Params) -> None:
        if self.optimizer is None:
            return
        for name, leaf in self.params.items():
            leaf.grad = gradient[name]
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.params.values(), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step)
        self.optimizer.step()

    def validate(self, sampler: Sampler) -> dict[str, float]:
        """Score meta-validation episodes and keep the parameters if they are the best so far."""
        episodes = sampler.episodes(0, self.config.validation_episodes)
        scores = validation_scores(self.learner, self.params, episodes)
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
        state = {
            "step": self.step,
            "waited": self.waited,
            "params": {k: v.detach() for k, v in self.params.items()},
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "best": self.best,
            "plan": None if self.plan is None else asdict(self.plan),
        }
        checkpoint.save_state(self.run, state)
        checkpoint.save_params(self.run, self.learner, self.result)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.waited, self.best = state["step"], state["waited"], state["best"]
        with torch.no_grad():
            for name, leaf in self.params.items():
                leaf.copy_(state["params"][name])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self.plan = None if state["plan"] is None else plan.Plan(**state["plan"])

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
    ignored = set() if config.schedule in ("cosine", "linear") else {"steps"}
    ignored |= {"checkpoint_every"}
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
