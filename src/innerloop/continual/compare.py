"""Several runs on the same stream in one table, with differences paired by seed, and what each holds in memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from innerloop.continual.measure import PartOptions, Row, aligned, notes, row_of, spelled
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
_ALL = PartOptions()


class Group(NamedTuple):
    """Runs that differ in their seed alone."""

    name: str
    rows: Mapping[int, Row]
    """By seed."""
    difference: Interval | None
    """The headline less that of the first group, over the seeds that both have; None: it is the first, or there is
    none."""
    headline: str = "ACC"
    """The figure that is compared: of rounds that are each learned anew it is LA."""

    def mean(self, figure: str) -> float:
        """Mean of a figure over seeds."""
        return fmean(row.figures[figure].value for row in self.rows.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation of the headline between seeds; None of one."""
        values = [row.figures[self.headline].value for row in self.rows.values()]
        return stdev(values) if len(values) > 1 else None

    @property
    def state(self) -> float:
        """Bytes of what is known at the end."""
        return fmean(row.state for row in self.rows.values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        gap = None if self.difference is None else {k: finite(v) for k, v in self.difference._asdict().items()}
        means = {name: finite(self.mean(name)) for name in MEANINGS}
        about = {"name": self.name, "seeds": list(self.rows), "means": means, "headline": self.headline}
        about |= {"spread": self.spread, "difference": gap}
        return about | {"state_bytes": self.state, "runs": [row.to_json() for row in self.rows.values()]}


@dataclass(frozen=True)
class StreamComparison:
    """Learners on the same stream."""

    groups: tuple[Group, ...]
    score: Score
    stream: Mapping[str, Any]
    parts: PartOptions = _ALL
    """Tasks that are also looked at alone."""

    @property
    def cells(self) -> list[list[str]]:
        """The table for people, a line for each group below the heads."""
        first = self.groups[0]
        heads = [
            "learner",
            "seeds",
            *(name if name != first.headline else f"{name} ± between seeds" for name in MEANINGS),
            "state, kB",
            *([] if self.parts.first is None else [f"first {self.parts.first} at end", "when they ended"]),
            *([] if self.parts.last is None else [f"last {self.parts.last} when each had ended"]),
            f"{first.headline} against {first.name}",
        ]
        return [heads, *([group.name, str(len(group.rows)), *self._cells(group)] for group in self.groups)]

    @property
    def notes(self) -> list[str]:
        """What the table shows, a line each."""
        lines = notes(next(iter(self.groups[0].rows.values())).figures, self.score)
        lines.append(
            "± over seeds, paired: 95% interval of Student; the stream and the parameters are those of the seed"
        )
        sizes = [group.state for group in self.groups]
        if max(sizes) > _ALIKE * min(sizes):
            lines.append(
                "attention: memories differ, see the state of each: learners that hold more are not compared at equal "
                "memory"
            )
        return lines

    def __str__(self) -> str:
        return "\n".join([aligned(self.cells), *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        groups = [group.to_json() for group in self.groups]
        about = {name: count for name, count in vars(self.parts).items() if count is not None}
        return {"stream": dict(self.stream), "score": self.score.name, **about, "groups": groups}

    def _cells(self, group: Group) -> list[str]:
        figures = {name: spelled(group.mean(name), self.score, name) for name in MEANINGS}
        if group.spread is not None:
            figures[group.headline] += f" ± {spelled(group.spread, self.score, 'ACC')}"
        gap = "" if group.difference is None else spelled(group.difference.mean, self.score, "gap")
        if group.difference is not None and finite(group.difference.ci95) is not None:
            gap += f" ± {spelled(group.difference.ci95, self.score, 'ACC')}"
        return [*figures.values(), f"{group.state / 1000:.1f}", *self._early(group), *self._late(group), gap]

    def _late(self, group: Group) -> list[str]:
        if self.parts.last is None:
            return []
        known = [fmean(row.learned[-self.parts.last :]) for row in group.rows.values() if row.learned]
        return [spelled(fmean(known), self.score, "LA") if known else "–"]

    def _early(self, group: Group) -> list[str]:
        if self.parts.first is None:
            return []
        at_end, then = zip(*(row.early(self.parts.first) for row in group.rows.values()), strict=True)
        known = [value for value in then if value is not None]
        return [spelled(fmean(at_end), self.score, "ACC"), spelled(fmean(known), self.score, "ACC") if known else "–"]


def any_stream(paths: Sequence[str | Path]) -> bool:
    """Whether one of these is a run on a stream, or a folder of such."""
    runs = [Path(run) for path in paths for run in (runs_of(path) or [path])]
    return any(is_file(run / "config.json") and is_stream(read_config(run)) for run in runs)


def compare(paths: Sequence[str | Path], options: PartOptions = _ALL) -> StreamComparison:
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
    stream = read_config(runs[0])["record"]["stream"]
    headline = "LA" if stream.get("anew") else "ACC"
    groups: list[Group] = []
    for name, group in zip(names, members.values(), strict=True):
        rows = {read_config(run)["train"]["seed"]: row_of(run, name) for run in group}
        gap = _gap(rows, groups[0].rows, headline) if groups else None
        groups.append(Group(name, rows, gap, headline))
    options.check(stream)
    return StreamComparison(tuple(groups), named(stream.get("score")), stream, options)


def _gap(rows: Mapping[int, Row], first: Mapping[int, Row], headline: str) -> Interval | None:
    seeds = [seed for seed in rows if seed in first]
    if not seeds:
        return None
    ours, theirs = ([of[seed].figures[headline].value for seed in seeds] for of in (rows, first))
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
