"""What a run on a stream kept of it, beside plain fine-tuning and beside the same rows in random order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any, NamedTuple

from torch import Tensor

from innerloop.continual.baselines import MIXED, asked, followed
from innerloop.continual.build import build
from innerloop.continual.hindsight import among_their_own, by_end, in_hindsight
from innerloop.continual.progress import matrix_of, size_of_state
from innerloop.continual.run import is_stream
from innerloop.continual.tracking import ANGLE
from innerloop.continual.within import within
from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.scores import Score, named
from innerloop.engine.checkpoint import read_config
from innerloop.engine.metrics import read_metrics
from innerloop.evaluate.continual import MEANINGS, Figure, Regret, figures, proficiency, regret
from innerloop.evaluate.result import finite

RESULT = "stream-test.json"
HINDSIGHT = "itself with all that it knew at the end"


@dataclass(frozen=True, kw_only=True)
class PartOptions(Checked):
    """Which tasks of a stream to look at alone."""

    first: Count | None = None
    """Tasks of a stream whose score is also told alone: at the end, and when the last of them had just ended, which is
    what fewer classes make easier. None: it is not asked for."""
    last: Count | None = None
    """Tasks of a stream, from its end, whose score when each had just been learned is told alone: what those before
    are to make easier. None: it is not asked for."""

    def check(self, stream: Mapping[str, Any]) -> None:
        """Refuse more tasks than there are.

        Raises:
            InputError: Naming both.
        """
        for name, count in vars(self).items():
            if name in ("first", "last") and count is not None and count > stream["tasks"]:
                raise InputError(
                    f"the stream has {stream['tasks']} tasks, and --{name} {count} asks for more: take fewer"
                )


@dataclass(frozen=True, kw_only=True)
class StreamTestOptions(PartOptions):
    """What to find out about a run on a stream."""

    threshold: float | None = None
    """Learning proficiency of a run on a stream: how many rows of a task it took until its held-out score reached this;
    the run was trained with --curve-every. None: it is not asked for."""


class Row(NamedTuple):
    """A learner that followed a stream to its end."""

    name: str
    run: Path
    matrix: Tensor
    """[1 + ends, tasks] R."""
    figures: dict[str, Figure]
    state: int
    """Bytes of what it knows at the end, memories and all."""

    def early(self, first: int) -> tuple[float, float | None]:
        """Score on the first tasks at the end, and when the last of them had ended; None: they were mixed with all."""
        then = self.matrix[first, :first].mean().item() if len(self.matrix) > self.matrix.shape[1] else None
        return self.matrix[-1, :first].mean().item(), then

    def early_by_end(self, first: int) -> list[tuple[int, float]]:
        """How many tasks had ended, from the first ones on, and the score on these then; nothing of mixed tasks."""
        if len(self.matrix) <= self.matrix.shape[1]:
            return []
        return list(enumerate(self.matrix[first:, :first].mean(1).tolist(), first))

    @property
    def learned(self) -> list[float]:
        """Score of every task when it had just been learned; nothing where they were mixed."""
        return self.matrix[1:].diagonal().tolist() if self.figures["LA"].over else []

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        about = {"name": self.name, "figures": {name: one.to_json() for name, one in self.figures.items()}}
        return about | {"state_bytes": self.state, "matrix": self.matrix.tolist()}


@dataclass(frozen=True, kw_only=True)
class StreamTested:
    """A run on a stream, and what stands beside it."""

    rows: tuple[Row, ...]
    """The run itself first."""
    score: Score
    stream: Mapping[str, Any]
    regret: Regret | None = None
    """Task by task, against `reference`."""
    reference: str = MIXED
    proficiency: Mapping[str, tuple[int | None, ...]] | None = None
    """Rows of each task until it reached the threshold, by learner, the run first; None: it never did."""
    angles: tuple[float, ...] = ()
    """Degrees from a learned subspace to that of every round; see `continual.tracking`."""
    alone: Mapping[str, float] = field(default_factory=dict)
    """Score of the first tasks at the end, judged among their own classes, by learner; empty: it was not asked for."""
    alone_by_end: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    """The same after every end from theirs on: how many tasks had ended, and the score then."""
    options: StreamTestOptions = StreamTestOptions()

    def __str__(self) -> str:
        words = [table(self.rows, self.score), *notes(self.rows[0].figures, self.score)]
        if self.regret is not None:
            factor = self.score.factor
            words.append(
                f"regret against {self.reference} when a task has been learned: mean {factor * self.regret.mean:.3g}, "
                f"slope {factor * self.regret.slope:+.3g} a task"
            )
        for name, rows in (self.proficiency or {}).items():
            reached = [count for count in rows if count is not None]
            mean = f", {fmean(reached):.3g} rows on average" if reached else ""
            words.append(
                f"proficiency of {name}: {len(reached)} of {len(rows)} tasks reached {self.options.threshold:g}{mean}"
            )
        words += [self._early(row) for row in self.rows] if self.options.first is not None else []
        words += [self._late(row) for row in self.rows if row.learned] if self.options.last is not None else []
        if self.angles:
            late = self.angles[len(self.angles) // 2 :]
            words.append(
                f"largest angle to the subspace of a round: {self.angles[-1]:.1f} degrees at the end; over the second "
                f"half of the rounds {fmean(late):.1f} on average, with variance {pvariance(late):.2f}"
            )
        return "\n".join(words)

    def _early(self, row: Row) -> str:
        assert self.options.first is not None
        at_end, then = row.early(self.options.first)
        alone = self.alone.get(row.name)
        among = "" if alone is None else f" ({spelled(alone, self.score, 'ACC')} among their own classes)"
        after = "" if then is None else f", {spelled(then, self.score, 'ACC')} when the last of them had just ended"
        words = f"{spelled(at_end, self.score, 'ACC')} at the end{among}{after}"
        return f"{row.name}, first {self.options.first} tasks: {words}"

    def _late(self, row: Row) -> str:
        late = row.learned[-(self.options.last or 0) :]
        mean = spelled(fmean(late), self.score, "LA")
        return f"{row.name}, last {len(late)} tasks: {mean} when each had just been learned"

    def save(self, run: str | Path) -> Path:
        """Write `stream-test.json` into a run's folder, whole or not at all."""
        files.write(Path(run) / RESULT, json.dumps(self.to_json(), allow_nan=False) + "\n")
        return Path(run) / RESULT

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        own, *others = [row.to_json() for row in self.rows]
        about = {"stream": dict(self.stream), "score": self.score.name, **own, "baselines": others}
        if self.regret is not None:
            about["regret"] = self.regret.to_json() | {"reference": self.reference}
        if self.proficiency is not None:
            own, *others = map(list, self.proficiency.values())
            beside = dict(zip(list(self.proficiency)[1:], others, strict=True))
            about["proficiency"] = {"threshold": self.options.threshold, "rows": own, "baselines": beside}
        if self.options.first is not None:
            early = {row.name: row.early(self.options.first) for row in self.rows}
            about["first"] = {
                name: {"at_end": end, "among_their_own": self.alone.get(name), "when_they_ended": then}
                | ({"among_their_own_by_end": self.alone_by_end[name]} if name in self.alone_by_end else {})
                for name, (end, then) in early.items()
            }
        if self.options.last is not None:
            about["last"] = {row.name: fmean(row.learned[-self.options.last :]) for row in self.rows if row.learned}
        if self.angles:
            about["angles"] = list(self.angles)
        return about


def table(rows: tuple[Row, ...], score: Score) -> str:
    """Figures of each row, and how much it holds in the end."""
    heads = ["learner", *MEANINGS, "state, kB"]
    cells = [
        [row.name, *(spelled(row.figures[name].value, score, name) for name in MEANINGS), f"{row.state / 1000:.1f}"]
        for row in rows
    ]
    return aligned([heads, *cells])


def aligned(cells: list[list[str]]) -> str:
    """A table for people, its first line the heads."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def spelled(value: float, score: Score, name: str) -> str:
    """A figure as tables print it; gains and losses with their sign."""
    if finite(value) is None:
        return "–"
    sign = "" if name in ("ACC", "LA") else "+"
    return f"{100 * value:{sign}.1f}%" if score.percent else f"{value:{sign}.3g}"


def notes(about: Mapping[str, Figure], score: Score) -> list[str]:
    """What figures mean and how many tasks they are means of, a line each."""
    lines = [f"{name}: {MEANINGS[name]}; mean of {one.over}" for name, one in about.items() if one.over]
    return [f"scores are {score.title} on held-out rows", *lines]


def measure(
    run: str | Path, options: StreamTestOptions, baselines: bool = True, context: Context = Context()
) -> StreamTested:
    """Say what a run kept of its stream; baselines follow it too, at the same seed, in folders inside of the run's.

    Args:
        run: The folder.
        options: What to find out.
        baselines: Whether plain fine-tuning, and fine-tuning on the same rows in random order, stand beside it.
        context: Where data sets lie.

    Raises:
        InputError: Not a run on a stream, or it has not come to the end of it.
    """
    run = Path(run)
    config = read_config(run)
    own = row_of(run, config["record"]["learner"])
    stream = config["record"]["stream"]
    score = named(stream.get("score"))
    options.check(stream)
    folders = followed(run, config, context) if baselines else {}
    others = {name: row_of(folder, name) for name, folder in folders.items()}
    lost, reference = None, MIXED
    alone: dict[str, float] = {}
    alone_by_end: dict[str, list[tuple[int, float]]] = {}
    first = options.first
    for row in (own, *others.values()) if first is not None else ():
        again = build(asked(read_config(row.run)), context)
        if first is not None and (at_end := among_their_own(again, row.run, first)) is not None:
            alone[row.name] = at_end
        if first is not None and (curve := by_end(again, first)):
            alone_by_end[row.name] = curve
    if stream.get("anew"):  # nothing is lost of it by what comes after, so that mixing it teaches nothing
        lost, reference = regret(own.learned, in_hindsight(build(asked(config), context), run), score), HINDSIGHT
    elif MIXED in others and own.learned:
        lost = regret(own.learned, others[MIXED].matrix[-1].tolist(), score)
    rows, proficiencies = (own, *others.values()), None
    if options.threshold is not None:
        curves = {row.name: within(row.run, stream) for row in (rows if stream.get("anew") else rows[:1])}
        proficiencies = {
            name: tuple(proficiency(curve.get(task, []), options.threshold, score) for task in range(stream["tasks"]))
            for name, curve in curves.items()
        }
    return StreamTested(
        rows=rows,
        score=score,
        stream=stream,
        regret=lost,
        reference=reference,
        proficiency=proficiencies,
        alone=alone,
        alone_by_end=alone_by_end,
        angles=tuple(entry[ANGLE] for entry in read_metrics(run / "metrics.jsonl") if ANGLE in entry),
        options=options,
    )


def follows_stream(run: str | Path) -> bool:
    """Whether a folder is of a run on a stream; False of what is no run at all."""
    return files.is_file(Path(run) / "config.json") and is_stream(read_config(run))


def row_of(run: Path, name: str) -> Row:
    """A run that came to the end of its stream.

    Raises:
        InputError: It did not, or is none.
    """
    config = read_config(run)
    if not is_stream(config):
        raise InputError(f"{run} is no run on a stream: it was trained on tasks")
    (matrix, batches), stream = matrix_of(run), config["record"]["stream"]
    if batches != stream["batches"]:
        raise InputError(
            f"{run} has seen {batches} of {stream['batches']} batches of its stream: the same `innerloop train` "
            "command goes on"
        )
    return Row(name, run, matrix, figures(matrix, named(stream.get("score"))), size_of_state(run))
