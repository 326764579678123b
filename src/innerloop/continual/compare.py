"""Several runs on the same stream in one table, with differences paired by seed, and what each holds in memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from innerloop.continual.measure import EarlyOptions, Row, aligned, notes, row_of, spelled
from innerloop.continual.run import is_stream
from innerloop.core.errors import InputError
from innerloop.core.files import is_file
from innerloop.core.interval import Interval, paired
from innerloop.core.scores import Score, named
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate.continual import MEANINGS
from innerloop.evaluate.result import finite
from innerloop.runs.compare import short_names
from innerloop.runs.seeds import called, runs_of

_BY_SEED = ("seed", "order_seed")
_HOW = ("order", "boundaries", "visits", "batches")
"""In what of a stream runs of a comparison may differ: seeds, and how the same rows come."""
_ALIKE = 1.01
_ALL = EarlyOptions()


class Group(NamedTuple):
    """Runs that differ in their seed alone."""

    name: str
    rows: Mapping[int, Row]
    """By seed."""
    difference: Interval | None
    """ACC less that of the first group, over the seeds that both have; None: it is the first, or there is none."""

    def mean(self, figure: str) -> float:
        """Mean of a figure over seeds."""
        return fmean(row.figures[figure].value for row in self.rows.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation of ACC between seeds; None of one."""
        values = [row.figures["ACC"].value for row in self.rows.values()]
        return stdev(values) if len(values) > 1 else None

    @property
    def state(self) -> float:
        """Bytes of what is known at the end."""
        return fmean(row.state for row in self.rows.values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        gap = None if self.difference is None else {k: finite(v) for k, v in self.difference._asdict().items()}
        means = {name: finite(self.mean(name)) for name in MEANINGS}
        about = {"name": self.name, "seeds": list(self.rows), "means": means, "spread": self.spread, "difference": gap}
        return about | {"state_bytes": self.state, "runs": [row.to_json() for row in self.rows.values()]}


@dataclass(frozen=True)
class StreamComparison:
    """Learners on the same stream."""

    groups: tuple[Group, ...]
    score: Score
    stream: Mapping[str, Any]
    first: int | None = None
    """Tasks that are also looked at alone."""

    def __str__(self) -> str:
        first = self.groups[0]
        heads = [
            "learner",
            "seeds",
            "ACC",
            "between seeds",
            *list(MEANINGS)[1:],
            "state, kB",
            *([] if self.first is None else [f"first {self.first} at end", "when they ended"]),
            f"ACC against {first.name}",
        ]
        cells = [[group.name, str(len(group.rows)), *self._cells(group)] for group in self.groups]
        lines = [aligned([heads, *cells]), *notes(next(iter(first.rows.values())).figures, self.score)]
        lines.append(
            "± over seeds, paired: 95% interval of Student; the stream and the parameters are those of the seed"
        )
        sizes = [group.state for group in self.groups]
        if max(sizes) > _ALIKE * min(sizes):
            lines.append(
                "attention: memories differ, see the state of each: learners that hold more are not compared at equal "
                "memory"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        groups = [group.to_json() for group in self.groups]
        about = {} if self.first is None else {"first": self.first}
        return {"stream": dict(self.stream), "score": self.score.name, **about, "groups": groups}

    def _cells(self, group: Group) -> list[str]:
        figures = [spelled(group.mean(name), self.score, name) for name in MEANINGS]
        spread = "–" if group.spread is None else spelled(group.spread, self.score, "ACC")
        gap = "" if group.difference is None else spelled(group.difference.mean, self.score, "gap")
        if group.difference is not None and finite(group.difference.ci95) is not None:
            gap += f" ± {spelled(group.difference.ci95, self.score, 'ACC')}"
        return [figures[0], spread, *figures[1:], f"{group.state / 1000:.1f}", *self._early(group), gap]

    def _early(self, group: Group) -> list[str]:
        if self.first is None:
            return []
        at_end, then = zip(*(row.early(self.first) for row in group.rows.values()), strict=True)
        known = [value for value in then if value is not None]
        return [spelled(fmean(at_end), self.score, "ACC"), spelled(fmean(known), self.score, "ACC") if known else "–"]


def any_stream(paths: Sequence[str | Path]) -> bool:
    """Whether one of these is a run on a stream, or a folder of such."""
    runs = [Path(run) for path in paths for run in (runs_of(path) or [path])]
    return any(is_file(run / "config.json") and is_stream(read_config(run)) for run in runs)


def compare(paths: Sequence[str | Path], options: EarlyOptions = _ALL) -> StreamComparison:
    """Put runs on the same stream beside the first.

    Args:
        paths: Run folders, and folders of the runs of several seeds.
        options: Which tasks to look at alone.

    Raises:
        InputError: One is no run on a stream, did not come to the end of it, or followed another one.
    """
    runs = [Path(run) for path in paths for run in (runs_of(path) or [path])]
    short_names(runs)  # which refuses one that is given twice
    members: dict[str, list[Path]] = {}
    for run in runs:
        config = read_config(run)
        if not is_stream(config):
            raise InputError(f"{run} was trained on tasks, and others followed a stream: compare them apart")
        _refuse_other_stream(runs[0], run, config)
        members.setdefault(_without_seed(config), []).append(run)
    names = short_names([called([run.resolve() for run in group]) for group in members.values()])
    groups: list[Group] = []
    for name, group in zip(names, members.values(), strict=True):
        rows = {read_config(run)["train"]["seed"]: row_of(run, name) for run in group}
        groups.append(Group(name, rows, _gap(rows, groups[0].rows) if groups else None))
    stream = read_config(runs[0])["record"]["stream"]
    options.check(stream)
    return StreamComparison(tuple(groups), named(stream.get("score")), stream, options.first)


def _gap(rows: Mapping[int, Row], first: Mapping[int, Row]) -> Interval | None:
    seeds = [seed for seed in rows if seed in first]
    if not seeds:
        return None
    ours, theirs = ([of[seed].figures["ACC"].value for seed in seeds] for of in (rows, first))
    return paired(ours, theirs)


def _refuse_other_stream(first: Path, run: Path, config: Mapping[str, Any]) -> None:
    ours, theirs = (
        {k: v for k, v in c["record"]["stream"].items() if k not in (*_BY_SEED, *_HOW)}
        for c in (config, read_config(first))
    )
    other = next((k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)), None)
    if other is not None:
        raise InputError(
            f"{run} and {first} did not follow the same stream: {other.replace('_', ' ')} is {ours.get(other)!r} and "
            f"{theirs.get(other)!r}"
        )


def _without_seed(config: Mapping[str, Any]) -> str:
    stream = {k: v for k, v in config["record"]["stream"].items() if k not in _BY_SEED}
    options = {k: v for k, v in config["record"].items() if k not in ("stream", "start")}
    return json.dumps([config["learner"], stream, options], sort_keys=True)
