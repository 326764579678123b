"""A learner that follows a stream from where it stopped to the end, kept in a run folder."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.continual.held_out import HeldOut
from innerloop.continual.progress import Progress
from innerloop.continual.tracking import tracked
from innerloop.core import files, tree
from innerloop.core.aligned import aligned
from innerloop.core.config import encode
from innerloop.core.errors import FailedError, InputError
from innerloop.core.fits import check_outputs
from innerloop.core.online import OnlineLearner
from innerloop.core.types import Batch, Params
from innerloop.engine import Interrupted, TrainConfig, checkpoint
from innerloop.engine.log import Bar, Log
from innerloop.engine.observe import Observe, recorded_observe
from innerloop.engine.open_run import plain_record, refuse_other, with_new
from innerloop.engine.signals import stop_signals
from innerloop.tasks.stream import Stream

_CHUNK = 100
"""Batches that are drawn at once."""


class Learned(NamedTuple):
    """What became of a stream."""

    state: Any
    """What the learner knows at its end."""
    matrix: Tensor
    """[rows, tasks] float64: R[0] before the first batch, and a row after every end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamRun:
    """A learner with the stream that it learns from.

    Raises:
        InputError: The learner waits for the ends of tasks, which the stream does not tell.
    """

    learner: OnlineLearner[Any]
    params: Params
    """What it begins with."""
    stream: Stream
    seed: int = 0
    """Seed of the parameters, for the folder."""
    record: dict[str, Any] = field(default_factory=dict)
    """Plain JSON kept with the run: where all that came from."""
    checkpoint_every: int = 500
    """Batches between checkpoints."""
    curve_every: int = 0
    """Batches between scores on the held-out rows of the task that is arriving; 0: only at ends, on those of all."""

    def __post_init__(self) -> None:
        if self.learner.needs_boundaries and not self.stream.told:
            raise InputError(
                f"{type(self.learner).__name__} with these fields learns at the ends of tasks, and this stream does "
                "not tell them: give one that does, or choose fields that need none"
            )

    @torch.no_grad()
    def learn(self, out: str | Path | None = None) -> Learned:
        """Follow the stream to its end, or go on where the folder stopped, bit for bit.

        Args:
            out: The run folder; None: nothing is kept.

        Raises:
            InputError: The folder holds another run, the network has fewer outputs than the stream has classes, or a
                row is not finite or of no known class: what was learned before it is kept.
            FailedError: The learner's answers are not finite any more.
            Interrupted: SIGINT or SIGTERM arrived; saved first.
        """
        run = None if out is None else Path(out)
        if run is not None:
            self._open(run)
        held, stream = HeldOut(self.stream), self.stream
        like = tree.slice(stream.batches(0, 1), 0)
        progress = Progress(state=self.learner.begin(self.params, like))
        check_outputs(self.learner.predict(self.params, progress.state, like.x), like, type(self.learner).__name__)
        progress = progress if run is None else progress.restored(run)
        observe = observer(self.learner, self.params)
        log, bar = Log(progress.batches), Bar(type(self.learner).__name__, progress.batches)
        for watcher in (log, bar):
            watcher.started(run, TrainConfig(steps=len(stream), seed=self.seed), self.record)

        def keep() -> None:
            if run is not None:
                log.saving(progress.batches)
                progress.save(run)

        def measure(**about: Any) -> None:
            row = held.of_all(self.learner, self.params, progress.state)
            if row.isnan().any():
                raise FailedError(
                    f"the answers of {type(self.learner).__name__} are not finite after batch {progress.batches}: "
                    "lower its rates or penalties"
                )
            progress.matrix.append(row)
            entry: Any = {**about, "mean": row.mean().item(), "scores": row.tolist()}
            log.step(progress.batches, entry)
            bar.step(progress.batches, {"mean": row.mean().item()})

        if not progress.matrix:
            measure(task=None)
        reason = "finished"
        try:
            with stop_signals() as stopped:
                for batch in self._batches(progress, keep):
                    progress.state = observe(progress.state, batch)
                    progress.batches += 1
                    ended = progress.batches == stream.ends[len(progress.matrix) - 1]
                    if ended:
                        task = (len(progress.matrix) - 1) % stream.tasks
                        # Before the learner is told: one that learns every round anew lets go of this one then.
                        measure(task=task, **tracked(stream, progress.state, task))
                        if stream.told:
                            progress.state = self.learner.boundary(self.params, progress.state)
                    elif self.curve_every and progress.batches % self.curve_every == 0 and len(stream.ends) > 1:
                        task = (len(progress.matrix) - 1) % stream.tasks
                        score = held.of_one(self.learner, self.params, progress.state, task)
                        log.step(progress.batches, {"task": task, "current": score})
                    if progress.batches % self.checkpoint_every == 0:
                        keep()
                    if stopped():
                        keep()
                        raise Interrupted(progress.batches)
            keep()
        except BaseException as error:
            reason = str(error)
            raise
        finally:
            bar.ended(reason)
        return Learned(progress.state, torch.stack(progress.matrix))

    def _batches(self, progress: Progress, keep: Callable[[], None]) -> Iterator[Batch]:
        """What is still to come, one at a time, each in memory of its own."""
        stream = self.stream
        while progress.batches < len(stream):
            first = progress.batches
            chunk = stream.batches(first, min(_CHUNK, len(stream) - first))
            good, refusal = _refusal(chunk, first, stream)
            for i in range(good):
                yield aligned(tree.slice(chunk, i))
            if refusal is not None:
                keep()
                raise refusal

    def _open(self, run: Path) -> None:
        """Prove that the folder can be written, and that what it holds is this run or nothing."""
        files.writable(run)
        about = self.stream.describe() | {"tasks": self.stream.tasks, "batches": len(self.stream)}
        record = plain_record(self.record | {"stream": about})
        train = {"seed": self.seed, "checkpoint_every": self.checkpoint_every, "curve_every": self.curve_every}
        if (run / "config.json").exists():
            kept = checkpoint.read_config(run)
            if not is_stream(kept):
                raise InputError(f"{run} holds a run that was trained on tasks: choose another folder")
            before = kept.get("train") or {}
            refuse_other(
                run,
                {
                    "learner": (kept["learner"], encode(self.learner)),
                    "stream": (with_new(kept["record"]["stream"], record["stream"]), record["stream"]),
                    "record": (with_new(kept["record"], record), record),
                    "seed": (before.get("seed"), self.seed),
                    "curve_every": (before.get("curve_every"), self.curve_every),
                },
            )
            if checkpoint.fingerprint(checkpoint.read_params(run)) != checkpoint.fingerprint(self.params):
                raise InputError(f"{run} was begun with other parameters: choose another folder, or the same --start")
            return
        checkpoint.save_params(run, self.learner, self.params)
        # Last: a folder that has it is a run, whose parameters are there.
        checkpoint.write_config(run, self.learner, train, record)


def observer(learner: OnlineLearner[Any], params: Params) -> Observe:
    """The learner's `observe`, recorded where it can be: the same numbers, sooner."""
    recorded, plain = recorded_observe(learner, params), functools.partial(learner.observe, params)
    use = recorded

    def observe(state: Any, batch: Batch) -> Any:
        nonlocal use
        try:
            return use(state, batch)
        except Exception:  # tracing raises whatever a step that looks at values leads it to
            if use is plain:
                raise
            use = plain
            return use(state, batch)

    return observe


def is_stream(config: dict[str, Any]) -> bool:
    """Whether a run's `config.json` is of one that follows a stream."""
    return isinstance((config.get("record") or {}).get("stream"), dict)


def _refusal(chunk: Batch, first: int, stream: Stream) -> tuple[int, InputError | None]:
    """How many batches of a chunk can be learned from, and what is to be said of the next one, if not all can."""
    count, size = chunk.y.shape[:2]
    broken = torch.zeros(count, size, dtype=torch.bool)
    for leaf in [*tree.flatten(chunk.x), chunk.y]:
        if leaf.is_floating_point():
            broken |= ~leaf.isfinite().flatten(2).all(-1) if leaf.dim() > 2 else ~leaf.isfinite()
    strange = chunk.y >= stream.room if not chunk.y.is_floating_point() else torch.zeros_like(broken)
    wrong = (broken | strange).nonzero()
    if not len(wrong):
        return count, None
    i, j = wrong[0].tolist()
    place = f"row {j} of batch {first + i} of the stream"
    if broken[i, j]:
        what = f"{place} holds NaN or infinite values: mend or leave out what it came from"
    else:
        what = (
            f"{place} has class {int(chunk.y[i, j])}, and there is room for {stream.room}, 0 to {stream.room - 1}: "
            f"give the stream, and the head, room for {int(chunk.y[i, j]) + 1}"
        )
    return i, InputError(f"{what}. What was learned before it is kept")
