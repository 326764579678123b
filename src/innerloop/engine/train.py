"""Meta-training: resumable bit for bit, stopped by anything, never left half-written."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from innerloop.core import fits, scores, tree
from innerloop.core.config import identify
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params, Sampler
from innerloop.engine import checkpoint, distributed, plan
from innerloop.engine.choose import Length, Stopped, choose
from innerloop.engine.config import TrainConfig
from innerloop.engine.episode_buffer import Feed
from innerloop.engine.exactness import verify
from innerloop.engine.log import Bar, Log
from innerloop.engine.open_run import PLAN, open_run, plain_record
from innerloop.engine.page_faults import PageFaults
from innerloop.engine.signals import stop_signals
from innerloop.engine.slow_steps import SlowSteps
from innerloop.engine.unroll_gradients import PES, PLANS, Estimator, TruncatedBPTT
from innerloop.engine.updates import Descent, NotFiniteError, Own, Update, leaves_of, refuse_settings, restored
from innerloop.engine.validation import Validation, normalisation, score_of, validate
from innerloop.engine.watchers import Watcher, Watchers

_TASKS = 32
"""Tasks of meta-training that a learner completes its parameters from."""
_WORTH_RECORDING = 200
"""Meta-steps, for pieces of an unroll."""
_EVERY, _APART = 100, 2.0
"""Meta-steps, and seconds, between two checkpoints where nothing else was asked for."""


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
    update: Update | None = None,
    cache: str | Path | None = None,
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
        update: What a meta-step does to the parameters; None: the gradient, clipped, then Adam or SGD. One of yours
            (see `engine.updates.Update`) gets the whole meta-batch, and so trains in one process.
        cache: Folder where chosen plans are remembered; None: the environment's INNERLOOP_CACHE, else the user's.

    Returns:
        The best parameters by validation, or the last.

    Raises:
        InputError: `out` cannot be written, or holds another run; validation is on meta-test classes; or the update
            cannot be used.
        FailedError: The loss became NaN or infinite.
        Interrupted: SIGINT or SIGTERM, in any process; saved first.
        LostError: Another process of the job is gone.
    """
    if torch.is_inference_mode_enabled():
        raise InputError("meta_train is inside torch.inference_mode(), where nothing can be trained: call it outside")
    fits.check_learner(learner)
    if config.validate_every:
        if validation is None:
            raise InputError(f"validate_every={config.validate_every} needs a validation sampler")
        score_of(learner, validation, config)  # refused before any work
        scores.refuse_tests(validation, "the checkpoint must not be chosen")
    record = plain_record(record or {})
    with distributed.join() as world:
        run = None if out is None else Path(out)
        return _train(learner, sampler, config, run, validation, record, world, start or {}, watchers, update, cache)


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
    update: Update | None,
    cache: str | Path | None,
) -> Params:
    if world.size > 1 and config.cpu_minutes is not None:
        raise InputError("cpu_minutes is the budget of one process: leave it out under torchrun, or start without it")
    if world.size > 1 and config.estimator != "exact":
        raise InputError(f"estimator='{config.estimator}' holds its problems in one process: start without torchrun")
    training = _Training(learner, sampler, config, run, world, start, cache)
    feed, alone = Feed(sampler, config.meta_batch_size, learner), world.size == 1
    identity = None if update is None else training.use(update, feed)
    if run is not None:
        before = world.on_rank_zero(lambda: open_run(run, learner, config, record, identity))
        training.same_plan = before is None or all(before.get(k) == getattr(config, k) for k in PLAN)
    training.restore()
    if config.meta_batch_size < world.size and world.rank == 0:
        idle = f"{world.size - config.meta_batch_size} of {world.size} processes"
        print(f"innerloop: {idle} have nothing to do in a meta-batch of {config.meta_batch_size}", file=sys.stderr)
    own = (Log(training.step), Bar(type(learner).__name__, training.step), PageFaults(), SlowSteps())
    heard = Watchers(own, watchers) if world.rank == 0 else Watchers()
    heard.number = training.step

    def keep() -> None:
        with heard.saving():
            training.save()

    with heard.watching(run, config, record), stop_signals() as stopped:
        while not training.finished and not (alone and heard.stop is not None):
            begun = time.perf_counter()
            try:
                metrics, stop = training.advance(feed, lambda: stopped() or heard.stop is not None)
            except Stopped:  # while plans were timed: there is no step to finish
                keep()
                raise Interrupted(training.step) from None
            speed = config.meta_batch_size / (time.perf_counter() - begun)
            heard.step(training.step, metrics | {"tasks_per_second": round(speed, 1)})
            if config.validate_every and training.step % config.validate_every == 0 and validation is not None:
                heard.validated(training.validate(validation))
            stop = stop or (alone and heard.stop is not None)
            if training.due or training.finished or stop:
                world.on_rank_zero(keep)  # nobody leaves before it is done: torchrun would end the others
            if stop and not training.finished:
                if world.on_rank_zero(lambda: None if stopped() else heard.stop) is None:
                    raise Interrupted(training.step)
                break
    if run is not None:
        world.on_rank_zero(lambda: None if checkpoint.is_current(run) else training.save())
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
        cache: str | Path | None,
    ):
        self.learner, self.sampler, self.config, self.run, self.world = learner, sampler, config, run, world
        self.cache = cache
        self.now = learner  # as it is at this step
        initial = learner.init(config.seed)
        fits.check_start(start, initial)
        initial |= tree.map(torch.clone, start)
        self.params = {k: v.detach() for k, v in initial.items()}
        self.step, self.waited = 0, 0
        self.best: dict[str, Any] | None = None
        self.spent, self.started = 0.0, time.process_time()
        self.plan: plan.Plan | None = None if config.plan == "auto" else plan.Plan(config.plan, **config.pins)
        self.plan_until: int | None = None  # where it was chosen for so few steps alone
        self.update: Update | None = None  # the default one is made when there are tasks to choose a plan on
        self.state: Any = None
        self.resumed: Params | None = None  # the leaves of the state by path, as a checkpoint had them
        self.alike: dict[tuple[torch.Size, ...], bool] = {}  # by shape, whether tasks have the parameters' type
        self.same_plan = True  # as asked for when the checkpoint was made
        self.stop = False
        self.saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether there should be a checkpoint after this step."""
        if self.config.checkpoint_every is not None:
            return self.step % self.config.checkpoint_every == 0
        # A checkpoint takes as long as a few steps of a small network. Several processes must take one decision.
        late = self.world.size > 1 or time.monotonic() - self.saved >= _APART
        return self.step % _EVERY == 0 and late

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        return self.config.done(self.step, self.spent) >= 1 or (patience > 0 and self.waited >= patience)

    @property
    def result(self) -> Params:
        return self.complete(self.params if self.best is None else self.best["params"])

    def complete(self, params: Params) -> Params:
        """With what the learner computes from the first tasks."""
        tasks = (tree.slice(self.sampler.episodes(i, 1), 0) for i in range(_TASKS))
        return self.learner.complete(tree.map(torch.clone, params), tasks)

    def use(self, update: Update, feed: Feed) -> Any:
        """Train by another update than the default one; returns what tells it from others, as plain JSON."""
        own, name = Own(update), type(update).__name__
        if self.world.size > 1:
            raise InputError(
                f"{name} gets whole meta-batches, and nothing averages over processes what it does with a share of "
                "them: start without torchrun, or leave out update="
            )
        refuse_settings(update, self.config)
        identity = None if self.run is None else identify(update)
        self._begin(own, feed.episodes(0, range(self.config.meta_batch_size)))
        return identity

    def _begin(self, update: Update, episodes: Episode) -> Update:
        self.update, self.state = update, update.begin(self.now, self.params, episodes)
        return update

    def advance(self, feed: Feed, stopped: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """One meta-step; returns what to log, and whether any process was asked to stop."""
        self.spent = time.process_time() - self.started
        size, self.world.step = self.config.meta_batch_size, self.step
        mine = self.world.share(size)
        # A process without tasks runs one that does not count, so that it knows the names of the metrics.
        tasks = mine or range(1)
        episodes = feed.episodes(self.step, tasks)
        if (shapes := tuple([leaf.shape for leaf in tree.flatten(episodes)])) not in self.alike:
            self.alike[shapes] = self._look(episodes)
        episodes = episodes if self.alike[shapes] else fits.fitting(episodes, self.params)
        now = self.learner.annealed(self.config.done(self.step, self.spent))
        self.now = now if now != self.now else self.now  # what is recorded holds for one object
        self._stopped, self._weight = stopped, len(mine) / size
        update = self.update or self._begin(self._descent(episodes), episodes)
        if self.resumed is not None:
            self.state, self.resumed = restored(self.state, self.resumed), None
        rate = self.config.rate(self.step, self.spent)
        try:
            result = update.step(self.now, self.params, self.state, episodes, self.step, rate)
            self.params, self.state, metrics = result
        except NotFiniteError as error:
            raise FailedError(self._diverged(error)) from None
        self.step += 1
        return {k: float(v) for k, v in metrics.items()}, self.stop if self.world.size > 1 else stopped()

    def _look(self, episodes: Episode) -> bool:
        """Check tasks of a shape that was not seen before; returns whether they have the parameters' type."""
        fitting = fits.fitting(episodes, self.params)
        fits.check_task(self.now, self.params, fitting)
        if self.alike and self.plan is not None and self.checked:  # those of the first shape are checked in `_descent`
            verify(self.now, self.params, fitting, self.plan)
        return fitting is episodes

    @property
    def checked(self) -> bool:
        """Whether a pinned plan is compared with the loop; one that is chosen was compared by then."""
        return self.config.plan != "auto" and self.config.estimator == "exact" and not self.config.unchecked

    def _mean(self, gradient: Params, metrics: Metrics) -> tuple[Params, Metrics]:
        """Over all tasks; the wish to stop travels with it."""
        gradient, metrics, self.stop = self.world.mean(gradient, metrics, self._weight, self._stopped())
        return gradient, metrics

    def _descent(self, episodes: Episode) -> Descent:
        config = self.config
        if self.plan is None:
            self.plan = self._pick(episodes)
        elif self.checked:
            pinned = self.plan
            self.world.on_rank_zero(lambda: verify(self.now, self.params, episodes, pinned))
        estimator: Estimator | None = None
        if config.estimator != "exact":
            # Pieces run all problems at once; loop and threads would run one after another.
            how = self.plan if self.plan.name in PLANS else plan.Plan("vmap")
            if config.estimator == "truncated":
                estimator = TruncatedBPTT(length=config.unroll_length, plan=how)
            else:
                estimator = PES(length=config.unroll_length, sigma=config.pes_sigma, seed=config.seed, plan=how)
        mean = self._mean if self.world.size > 1 else None
        return Descent(optimizer=config.optimizer, clip=config.clip, plan=self.plan, estimator=estimator, mean=mean)

    def _pick(self, episodes: Episode) -> plan.Plan:
        if self.config.estimator != "exact":
            return plan.Plan("replay" if self.config.steps - self.step > _WORTH_RECORDING else "vmap")
        minutes = self.config.cpu_minutes
        left = None if minutes is None else max(0.0, 60 * minutes - self.spent)
        length = Length(steps=self.config.steps - self.step, cpu_seconds=left)
        # Several processes must take one decision, so that they hear of a signal after the step.
        stopped = self._stopped if self.world.size == 1 else lambda: False
        chosen = self.world.on_rank_zero(
            lambda: choose(
                *(self.now, self.params, episodes, length, stopped, self.config.retime, self.cache), **self.config.pins
            )
        )
        if self.world.rank == 0:
            print(f"innerloop: {chosen.message}", file=sys.stderr)
        self.plan_until = self.config.steps if chosen.only_now else None
        return chosen.plan

    def validate(self, sampler: Sampler) -> Validation:
        """Score meta-validation episodes and keep the parameters if they are the best so far."""
        result = self._validation(sampler, self.params)
        if self.best is not None and self.best["normalisation"] != result.normalisation:
            # Chosen by an earlier release in the mode of training, whose scores are not to be compared with these.
            again = self._validation(sampler, self.best["params"])
            self.best |= {"score": again.better, "normalisation": again.normalisation}
        if self.best is None or result.better > self.best["score"]:
            params = {k: v.detach().clone() for k, v in self.params.items()}
            about = {"step": self.step, "normalisation": result.normalisation}
            self.best, self.waited = {"score": result.better, "params": params} | about, 0
        else:
            self.waited += 1
        return result._replace(cpu_seconds=round(time.process_time() - self.started, 3))

    def _validation(self, sampler: Sampler, params: Params) -> Validation:
        return validate(self.learner, self.complete(params), sampler, self.config, self.world)

    def save(self) -> None:
        if self.run is None:
            return
        begun = self.resumed is None and self.update is not None
        state = {
            "step": self.step,
            "waited": self.waited,
            "params": self.params,
            "update": dict(tree.items(self.state)) if begun else self.resumed,
            "best": self.best,
            "plan": None if self.plan is None else asdict(self.plan),
            "plan_until": self.plan_until,
            "world_size": self.world.size,
            "cpu_seconds": self.spent,
        }
        checkpoint.save(self.run, self.learner, state, self.result)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the checkpoint in the run folder, where there is one; only the first process needs to see it."""
        run = self.run
        state = None if run is None else self.world.on_rank_zero(lambda: checkpoint.read_state(run))
        if state is not None:
            self._restore(state)
        self.world.broadcast(list(self.params.values()))  # the same seed may draw other numbers on another machine

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.waited, self.best = state["step"], state["waited"], state["best"]
        if self.best is not None:
            self.best = {"normalisation": normalisation(self.learner.transductive)} | self.best
        self.spent = state.get("cpu_seconds", 0.0)
        self.started -= self.spent
        try:
            self.resumed = leaves_of(state)
            for params in (state["params"], *(() if self.best is None else (self.best["params"],))):
                fits.check_params(self.learner, params)
            until = state.get("plan_until")
            same = self.same_plan and (until is None or self.config.steps <= until)
            if same and state["plan"] is not None and state.get("world_size", 1) == self.world.size:
                self.plan, self.plan_until = plan.Plan(**state["plan"]), until  # with other shares, others are good
        except (InputError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.run}: state.pt is of another run, or damaged ({error}): remove it to start again, keeping "
                "params.safetensors"
            ) from error
        self.params = {k: state["params"][k].to(v.device) for k, v in self.params.items()}

    def _diverged(self, error: NotFiniteError) -> str:
        kept = "nothing was saved" if self.run is None else f"the last good checkpoint is in {self.run}"
        loss = f" (loss {float(error.metrics['loss']):.4g})" if "loss" in error.metrics else ""
        return (
            f"{type(self.learner).__name__}: {error.what} at step {self.step} is not finite{loss}; {kept}. "
            "Likely causes: inner_lr or meta_lr too large (try a tenth), no gradient clipping (clip=10), NaN in the "
            "inputs or targets, a norm or square root at 0 in the model"
        )
