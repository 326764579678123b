"""Meta-training: resumable bit for bit, stopped by anything, never left half-written."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from innerloop.core import files, scores, tree
from innerloop.core.config import encode
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params, Sampler
from innerloop.engine import checkpoint, distributed, plan
from innerloop.engine.choose import choose
from innerloop.engine.config import TrainConfig
from innerloop.engine.episode_buffer import Feed
from innerloop.engine.log import Bar, Log
from innerloop.engine.signals import stop_signals
from innerloop.engine.step import meta_gradient, validation_scores
from innerloop.engine.train_step import WholeStep
from innerloop.engine.unroll_gradients import PES, PLANS, Estimator, TruncatedBPTT
from innerloop.engine.watchers import Watcher, Watchers

_TASKS = 32
"""Of meta-training, that a learner completes its parameters from."""
_WORTH_RECORDING = 200
"""Meta-steps, for pieces of an unroll."""


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
    start: Params | None = None,
    watchers: Sequence[Watcher] = (),
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
        start: Parameters to begin from; those it does not name are the learner's own, from the seed.
        watchers: Who hears of every step, validation and checkpoint, and may end training early; see `Watcher`.

    Returns:
        The best parameters by validation, or the last.

    Raises:
        InputError: `out` cannot be written, or holds another run.
        FailedError: The loss became NaN or infinite.
        Interrupted: SIGINT or SIGTERM, in any process; saved first.
        LostError: Another process of the job is gone.
    """
    if config.validate_every:
        if validation is None:
            raise InputError(f"validate_every={config.validate_every} needs a validation sampler")
        scores.of_sampler(validation)  # refused before any work
    with distributed.join() as world:
        run = None if out is None else Path(out)
        return _train(learner, sampler, config, run, validation, record or {}, world, start or {}, watchers)


def _train(
    learner: Learner,
    sampler: Sampler,
    config: TrainConfig,
    run: Path | None,
    validation: Sampler | None,
    record: dict[str, Any],
    world: distributed.World,
    start: Params,
    watchers: Sequence[Watcher],
) -> Params:
    if run is not None:
        world.on_rank_zero(lambda: _open(run, learner, config, record))
    if world.size > 1 and config.cpu_minutes is not None:
        raise InputError("cpu_minutes is the budget of one process: leave it out under torchrun, or start without it")
    if world.size > 1 and config.estimator != "exact":
        raise InputError(f"estimator='{config.estimator}' holds its problems in one process: start without torchrun")
    training = _Training(learner, sampler, config, run, world, start)
    if config.meta_batch_size < world.size and world.rank == 0:
        idle = f"{world.size - config.meta_batch_size} of {world.size} processes"
        print(f"innerloop: {idle} have nothing to do in a meta-batch of {config.meta_batch_size}", file=sys.stderr)
    feed, alone = Feed(sampler, config.meta_batch_size), world.size == 1
    own = (Log(training.step), Bar(type(learner).__name__, training.step))
    heard = Watchers(own, watchers) if world.rank == 0 else Watchers()
    heard.number = training.step

    def keep() -> None:
        with heard.saving():
            training.save()

    with heard.watching(run, config, record), stop_signals() as stopped:
        while not training.finished and not (alone and heard.stop is not None):
            begun = time.perf_counter()
            metrics, stop = training.advance(feed, lambda: stopped() or heard.stop is not None)
            speed = config.meta_batch_size / (time.perf_counter() - begun)
            heard.step(training.step, metrics | {"tasks_per_second": round(speed, 1)})
            if config.validate_every and training.step % config.validate_every == 0 and validation is not None:
                heard.validated(training.validate(validation))
            stop = stop or (alone and heard.stop is not None)
            if training.step % config.checkpoint_every == 0 or training.finished or stop:
                world.on_rank_zero(keep)  # nobody leaves before it is done: torchrun would end the others
            if stop and not training.finished:
                if world.on_rank_zero(lambda: None if stopped() else heard.stop) is None:
                    raise Interrupted(training.step)
                break
    if run is not None:
        world.on_rank_zero(lambda: None if (run / "params.safetensors").exists() else training.save())
    return training.result


class _Training:
    """Everything that changes while a run trains, and nothing else."""

    def __init__(
        self,
        learner: Learner,
        sampler: Sampler,
        config: TrainConfig,
        run: Path | None,
        world: distributed.World,
        start: Params,
    ):
        self.learner, self.sampler, self.config, self.run, self.world = learner, sampler, config, run, world
        self.now = learner  # as it is at this step
        initial = learner.init(config.seed) | tree.map(torch.clone, start)
        self.params = {k: v.requires_grad_() for k, v in initial.items()}
        self.step, self.waited = 0, 0
        self.best: dict[str, Any] | None = None
        self.spent, self.started = 0.0, time.process_time()
        self.plan: plan.Plan | None = None if config.plan == "auto" else plan.Plan(config.plan, **config.pins)
        self.whole: WholeStep | None = None
        self.estimator: Estimator | None = None
        self.held: Any = None  # the estimator's, in mid-unroll
        self.resumed: Params | None = None  # its leaves by path, as a checkpoint had them
        leaves = list(self.params.values())
        # An optimizer refuses an empty list: a learner without parameters (raw inputs) trains by standing still.
        make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
        self.optimizer = make(leaves, lr=config.meta_lr) if leaves else None
        # Only the first process needs to see the folder.
        state = None if run is None else world.on_rank_zero(lambda: checkpoint.read_state(run))
        if state is not None:
            self._restore(state)
        world.broadcast(leaves)  # the same seed may draw other numbers on another machine

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        return self.config.done(self.step, self.spent) >= 1 or (patience > 0 and self.waited >= patience)

    @property
    def result(self) -> Params:
        self.settle()
        return self.complete(self.params if self.best is None else self.best["params"])

    def complete(self, params: Params) -> Params:
        """With what the learner computes from the first tasks."""
        tasks = (tree.slice(self.sampler.episodes(i, 1), 0) for i in range(_TASKS))
        return self.learner.complete({k: v.detach() for k, v in params.items()}, tasks)

    def advance(self, feed: Feed, stopped: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """One meta-step; returns what to log, and whether any process was asked to stop."""
        self.spent = time.process_time() - self.started
        size, self.world.step = self.config.meta_batch_size, self.step
        mine = self.world.share(size)
        # A process without tasks runs one that does not count, so that it knows the names of the metrics.
        tasks = mine or range(1)
        episodes = feed.episodes(self.step, tasks)
        self._anneal()
        if self.plan is None:
            self.plan = self._pick(episodes)
        if self.config.estimator != "exact":
            return self._piece(episodes), stopped()
        if self.whole is None and self.world.size == 1 and self.optimizer and WholeStep.possible(self.plan, size):
            self.whole = WholeStep(self.now, self.params, self.optimizer, self.plan, self.config.clip)
        if self.whole is not None:
            metrics, taken = self.whole(episodes, self.config.rate(self.step, self.spent))
            if not taken:
                raise FailedError(self._diverged(metrics))
            self.step += 1
            return {k: float(v) for k, v in metrics.items()}, stopped()
        gradient, metrics = meta_gradient(self.now, self.params, episodes, self.plan)
        gradient, metrics, stop = self.world.mean(gradient, metrics, len(mine) / size, stopped())
        return self._taken(gradient, metrics), stop

    def _taken(self, gradient: Params, metrics: Metrics) -> dict[str, float]:
        found = {k: float(v) for k, v in metrics.items()}
        if not math.isfinite(found["loss"]) or not all(bool(g.isfinite().all()) for g in gradient.values()):
            raise FailedError(self._diverged(metrics))
        self.descend(gradient)
        self.step += 1
        return found

    def _piece(self, episodes: Episode) -> dict[str, float]:
        """A meta-step on a piece of every problem's unroll."""
        config = self.config
        if self.estimator is None:
            # Pieces run all problems at once; loop and threads would run one after another.
            how = self.plan if self.plan is not None and self.plan.name in PLANS else plan.Plan("vmap")
            if config.estimator == "truncated":
                self.estimator = TruncatedBPTT(length=config.unroll_length, plan=how)
            else:
                self.estimator = PES(length=config.unroll_length, sigma=config.pes_sigma, seed=config.seed, plan=how)
        if self.held is None:
            self.held = self.estimator.begin(self.now, self.params, episodes)
            if self.resumed is not None:
                self.held = tree.rebuild(self.held, self.resumed)
        gradient, held, metrics = self.estimator.gradient(self.now, self.params, self.held, episodes, self.step)
        found = self._taken(gradient, metrics)
        self.held = held
        return found

    def _anneal(self) -> None:
        now = self.learner.annealed(self.config.done(self.step, self.spent))
        if now != self.now:
            self.settle()
            self.now, self.whole = now, None  # a recorded step holds for one learner

    def _pick(self, episodes: Episode) -> plan.Plan:
        if self.config.estimator != "exact":
            return plan.Plan("replay" if self.config.steps - self.step > _WORTH_RECORDING else "vmap")
        # Within a budget of time nobody knows how many steps there will be: not worth compiling for.
        steps = 0 if self.config.cpu_minutes is not None else self.config.steps - self.step
        chosen = self.world.on_rank_zero(lambda: choose(self.now, self.params, episodes, steps, **self.config.pins))
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

    def validate(self, sampler: Sampler) -> dict[str, Any]:
        """Score meta-validation episodes and keep the parameters if they are the best so far."""
        count = self.config.validation_episodes
        mine = self.world.share(count)
        tasks = mine or range(1)
        episodes = sampler.episodes(tasks.start, len(tasks))
        self.settle()
        score = scores.of_sampler(sampler)
        values = validation_scores(self.learner, self.complete(self.params), episodes, score)
        total, ci95 = score.interval(self.world.gather(values[: len(mine)], mine, count).cpu().double())
        better = score.better(total)
        if self.best is None or better > self.best["score"]:
            params = {k: v.detach().clone() for k, v in self.params.items()}
            self.best, self.waited = {"score": better, "step": self.step, "params": params}, 0
        else:
            self.waited += 1
        return {"mean": total, "ci95": ci95, "episodes": count, "score": score.name}

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
            "held": None if self.held is None else dict(tree.items(self.held)),
        }
        checkpoint.save_state(self.run, state)
        checkpoint.save_params(self.run, self.learner, self.result)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.waited, self.best = state["step"], state["waited"], state["best"]
        self.spent, self.resumed = state.get("cpu_seconds", 0.0), state.get("held")
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
            entry, was, now = _where(name, old, new)
            raise InputError(
                f"{run} holds another run: its {entry} is {_short(was)}, now {_short(now)} is asked for. "
                "Choose another folder, remove this one, or ask for the same to go on with it"
            )
    checkpoint.write_config(run, learner, train, record)


def _where(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first entry in which nested JSON differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(k for k in (*new, *old) if old.get(k) != new.get(k))
        return _where(f"{name}.{key}", old.get(key), new.get(key))
    return name, old, new


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
