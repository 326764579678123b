"""What a run on a stream kept of it, beside plain fine-tuning and beside the same rows in random order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from innerloop.continual.build import FollowOptions, Options, build, own_fields
from innerloop.continual.progress import matrix_of, size_of_state
from innerloop.continual.run import is_stream
from innerloop.continual.streams import of_record
from innerloop.core import files
from innerloop.core.config import decode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.scores import Score, named
from innerloop.engine.checkpoint import read_config
from innerloop.engine.log import read_metrics
from innerloop.evaluate.continual import MEANINGS, Figure, Regret, figures, proficiency, regret
from innerloop.evaluate.result import finite
from innerloop.problems.networks import NetworkOptions

RESULT = "stream-test.json"
PLAIN, MIXED = "fine_tune_online", "i.i.d."
_FOLDERS = {PLAIN: "fine-tuning", MIXED: "shuffled"}


@dataclass(frozen=True, kw_only=True)
class EarlyOptions(Checked):
    """Which tasks of a stream to look at alone."""

    first: Count | None = None
    """Tasks of a stream whose score is also told alone: at the end, and when the last of them had just ended, which is
    what fewer classes make easier. None: it is not asked for."""

    def check(self, stream: Mapping[str, Any]) -> None:
        """Refuse more tasks than there are.

        Raises:
            InputError: Naming both.
        """
        if self.first is not None and self.first > stream["tasks"]:
            raise InputError(f"the stream has {stream['tasks']} tasks, and --first {self.first} asks for more")


@dataclass(frozen=True, kw_only=True)
class StreamTestOptions(EarlyOptions):
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
    """Against the same rows in random order, task by task."""
    proficiency: tuple[int | None, ...] | None = None
    """Rows of each task until it reached the threshold; None: it never did."""
    options: StreamTestOptions = StreamTestOptions()

    def __str__(self) -> str:
        words = [table(self.rows, self.score), *notes(self.rows[0].figures, self.score)]
        if self.regret is not None:
            factor = self.score.factor
            words.append(
                f"regret against {MIXED} when a task has been learned: mean {factor * self.regret.mean:.3g}, slope "
                f"{factor * self.regret.slope:+.3g} a task"
            )
        if self.proficiency is not None:
            reached = [rows for rows in self.proficiency if rows is not None]
            mean = f", {sum(reached) / len(reached):.0f} rows on average" if reached else ""
            words.append(
                f"proficiency: {len(reached)} of {len(self.proficiency)} tasks reached {self.options.threshold:g}{mean}"
            )
        words += [self._early(row) for row in self.rows] if self.options.first is not None else []
        return "\n".join(words)

    def _early(self, row: Row) -> str:
        assert self.options.first is not None
        at_end, then = row.early(self.options.first)
        after = "" if then is None else f", {spelled(then, self.score, 'ACC')} when the last of them had just ended"
        return f"{row.name}, first {self.options.first} tasks: {spelled(at_end, self.score, 'ACC')} at the end{after}"

    def save(self, run: str | Path) -> Path:
        """Write `stream-test.json` into a run's folder, whole or not at all."""
        files.write(Path(run) / RESULT, json.dumps(self.to_json(), allow_nan=False) + "\n")
        return Path(run) / RESULT

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        own, *others = [row.to_json() for row in self.rows]
        about = {"stream": dict(self.stream), "score": self.score.name, **own, "baselines": others}
        if self.regret is not None:
            about["regret"] = self.regret.to_json()
        if self.proficiency is not None:
            about["proficiency"] = {"threshold": self.options.threshold, "rows": list(self.proficiency)}
        if self.options.first is not None:
            early = {row.name: row.early(self.options.first) for row in self.rows}
            about["first"] = {name: {"at_end": end, "when_they_ended": then} for name, (end, then) in early.items()}
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
    others = _baselines(run, config, own, context) if baselines else {}
    lost = None
    if MIXED in others and own.figures["LA"].over:
        learned = own.matrix[1:].diagonal().tolist()
        lost = regret(learned, others[MIXED].matrix[-1].tolist(), score)
    return StreamTested(
        rows=(own, *others.values()),
        score=score,
        stream=stream,
        regret=lost,
        proficiency=None if options.threshold is None else _proficiency(run, stream, options.threshold, score),
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


def asked(config: Mapping[str, Any]) -> Options:
    """The options that a run on a stream was built from.

    Raises:
        InputError: Its record is damaged.
    """
    record, train = config["record"], config["train"] or {}
    try:
        known = {name: decode(value) for name, value in own_fields(config).items() if _plain(value)}
        network = NetworkOptions(**record["network"])
        follow = FollowOptions(seed=train["seed"], room=record["room"], curve_every=train["curve_every"])
        return Options(
            learner=record["learner"], stream=of_record(record["options"]), network=network, fields=known, follow=follow
        )
    except (TypeError, LookupError) as error:
        raise InputError(f"the config.json of this run is damaged ({error}): restore it, or train again") from error


def _plain(value: Any) -> bool:
    return not isinstance(value, dict) or set(value) == {"tuple"}


def _baselines(run: Path, config: Mapping[str, Any], own: Row, context: Context) -> dict[str, Row]:
    options = asked(config)
    # With its own rate: what differs is how it learns, not how fast.
    fields = {k: v for k, v in options.fields.items() if k == "inner_lr"}
    plain = replace(options, learner=PLAIN, fields=fields, follow=replace(options.follow, curve_every=0))
    if options.network.start is not None:  # the run has the parameters that it was begun with
        plain = replace(plain, network=replace(plain.network, start=str(run)))
    mixed = options.stream.shuffled()
    streams = {PLAIN: options.stream} | ({} if mixed is None else {MIXED: mixed})
    rows = {}
    for name, stream in streams.items():
        if options.learner == PLAIN and stream == options.stream:
            continue  # it is this one
        folder = run / "baselines" / _FOLDERS[name]
        build(replace(plain, stream=stream), context).learn(folder)
        rows[name] = row_of(folder, name)
    return rows


def _proficiency(run: Path, stream: Mapping[str, Any], threshold: float, score: Score) -> tuple[int | None, ...]:
    entries, size, starts = read_metrics(run / "metrics.jsonl"), stream["batch_size"], {}
    curves: dict[int, list[tuple[int, float]]] = {}
    end = 0
    for entry in entries:
        if "current" in entry:
            starts.setdefault(entry["task"], end)
            if starts[entry["task"]] == end:  # its first visit
                curves.setdefault(entry["task"], []).append((size * (entry["step"] - end), entry["current"]))
        elif "scores" in entry:
            if entry["task"] is not None and starts.get(entry["task"], end) == end:
                value = entry["scores"][entry["task"]]
                curves.setdefault(entry["task"], []).append((size * (entry["step"] - end), value))
                starts.setdefault(entry["task"], end)
            end = entry["step"]
    return tuple(proficiency(curves.get(task, []), threshold, score) for task in range(stream["tasks"]))
