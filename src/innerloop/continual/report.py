"""The report of a run on a stream, and the command that makes the run again."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.continual.build import FollowOptions, own_fields, usual_fields
from innerloop.continual.compare import Group, StreamComparison
from innerloop.continual.measure import Row, StreamTested, StreamTestOptions, measure, notes, row_of, spelled
from innerloop.continual.progress import part_of_state
from innerloop.continual.streams import kind_of
from innerloop.continual.tracking import ANGLE
from innerloop.continual.within import within
from innerloop.core.complaints import complain
from innerloop.core.config import decode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.scores import Score, named
from innerloop.engine.checkpoint import read_config
from innerloop.engine.metrics import read_metrics
from innerloop.evaluate.continual import MEANINGS
from innerloop.problems.networks import NetworkOptions
from innerloop.runs.record import allowed, changed
from innerloop.runs.report import kept


def refresh(run: str | Path, tested: StreamTested | None = None) -> Path | None:
    """Write `report.html`; None, said on standard error, where its packages are missing.

    Args:
        run: The folder of a run that came to the end of its stream.
        tested: What was found out about it; None: nothing yet.
    """
    # Matplotlib and jinja2 are an extra, and a run must not be lost for want of a drawing.
    try:
        from innerloop.report.lifelong import Curves, Shown, write_stream
    except InputError as error:
        complain(f"{Path(run) / 'report.html'} was not written: {error}")
        return None
    config = read_config(run)
    own, stream = row_of(Path(run), config["record"]["learner"]), config["record"]["stream"]
    score = named(stream.get("score"))
    rows = [
        Shown(
            row.name,
            _cells(row, score),
            row.matrix.tolist(),
            _curve(row.run, "mean", stream["batch_size"]),
            list(enumerate(row.learned, 1)) if stream.get("anew") else (),
            _on_average(row.run, stream) if stream.get("anew") else (),
        )
        for row in ((own,) if tested is None else tested.rows)
    ]
    lost = None if tested is None else tested.regret
    heads = ["learner", *MEANINGS, "state, kB"]
    curves = Curves(
        current=() if stream.get("anew") else _curve(own.run, "current", stream["batch_size"]),
        regret=() if lost is None else list(enumerate(lost.rounds, 1)),
        angles=list(enumerate((y for _, y in _curve(own.run, ANGLE, 1)), 1)),
        rates=_by_layer(part_of_state(run, "rates")),
        early={} if tested is None else early(tested),
    )
    settings = {"learner": config["learner"], "stream": stream, "network": config["record"].get("network")}
    return write_stream(run, rows, heads, notes(own.figures, score), curves, score, settings, command(config))


def write_comparison(file: str | Path, comparison: StreamComparison, arguments: Sequence[str]) -> Path:
    """Write one page with a comparison of runs on a stream, its curves and its matrices.

    Args:
        file: To write; what it holds is replaced.
        comparison: The first group is what the others are compared with.
        arguments: Of `innerloop compare`, which made it.

    Raises:
        InputError: It cannot be written, or the packages of drawings are missing.
    """
    from innerloop.report.lifelong import Shown, write_comparison

    heads, *cells = comparison.cells
    stream, first = comparison.stream, comparison.parts.first
    rows, curves = [], {}
    for group, (name, *figures) in zip(comparison.groups, cells, strict=True):
        anew = [list(enumerate(row.learned, 1)) for row in group.rows.values()] if stream.get("anew") else []
        within_rounds = [_on_average(row.run, stream) for row in group.rows.values()] if stream.get("anew") else []
        means = [_curve(row.run, "mean", stream["batch_size"]) for row in group.rows.values()]
        rows.append(Shown(name, figures, _mean_matrix(group), *map(_mean_line, (means, anew, within_rounds))))
        if first is not None:
            curves[name] = _mean_line([row.early_by_end(first) for row in group.rows.values()])
    again = shlex.join(["innerloop", "compare", *arguments])
    return write_comparison(file, rows, heads, comparison.notes, curves, comparison.score, {"stream": stream}, again)


def _mean_matrix(group: Group) -> list[list[float]]:
    return torch.stack([row.matrix for row in group.rows.values()]).mean(0).tolist()


def _mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean of lines of several seeds, up to where the shortest ends."""
    return [(at[0][0], fmean(y for _, y in at)) for at in zip(*lines, strict=False)]


def early(tested: StreamTested) -> dict[str, list[tuple[int, float]]]:
    """Score of the first tasks after every end, among all classes and among their own; nothing if it was not asked for.

    What lies between the two is what more classes explain; what the lower of them loses besides was forgotten.
    """
    first, curves = tested.options.first, {}
    for row in tested.rows if first is not None else ():
        if (alone := tested.alone_by_end.get(row.name)) and first is not None:
            curves[f"{row.name}, among all"] = row.early_by_end(first)
            curves[f"{row.name}, among their own"] = alone
    return curves


def command(config: Mapping[str, Any]) -> str | None:
    """The `innerloop train` command of a run's `config.json`; None for runs that `build` did not make."""
    record, train = config["record"], config["train"] or {}
    try:
        usual, fields = usual_fields(record["learner"]), own_fields(config)
        stream = kind_of(record["options"]["stream"])(stream="")
        arguments = [
            *changed(asdict(stream), record["options"]),
            *changed(asdict(NetworkOptions()), record["network"]),
            *changed(usual, {k: decode(fields[k]) for k in usual if k in fields}),
            *changed(asdict(FollowOptions()), {**train, "room": record["room"]}),
            *allowed(record["network"].get("network", "")),
        ]
    except (InputError, LookupError, TypeError):  # no command is better than a wrong one
        return None
    return shlex.join(["innerloop", "train", record["learner"], *arguments])


def _cells(row: Row, score: Score) -> list[str]:
    return [*(spelled(row.figures[name].value, score, name) for name in MEANINGS), f"{row.state / 1000:.1f}"]


def _curve(run: Path, name: str, size: int) -> list[tuple[float, float]]:
    return [(size * entry["step"], entry[name]) for entry in read_metrics(run / "metrics.jsonl") if name in entry]


def _on_average(run: Path, stream: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Rows of a round that had arrived, and the score then, as the mean over rounds; nothing without its curve."""
    curves = within(run, stream).values()
    points = [(fmean(x), fmean(y)) for x, y in (zip(*at, strict=True) for at in zip(*curves, strict=True))]
    return points if len(points) > 1 else []


def _by_layer(rates: Mapping[str, Tensor]) -> dict[str, list[float]]:
    layers: dict[str, list[float]] = {}
    for name, values in rates.items():
        layers.setdefault(name.rpartition(".")[0] or name, []).extend(values.flatten().tolist())
    return layers


class Reported(NamedTuple):
    """What was measured, and the files it is in."""

    tested: StreamTested
    file: Path
    report: Path | None

    def __str__(self) -> str:
        return f"{self.tested}\n{kept('matrix', self.file, self.report)}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.tested.to_json() | {"file": str(self.file), "report": self.report and str(self.report)}


def reported(
    run: str | Path, options: StreamTestOptions, baselines: bool = True, context: Context = Context()
) -> Reported:
    """`measure`, kept in the run's folder and shown in its report; arguments and errors as of there."""
    tested = measure(run, options, baselines, context)
    return Reported(tested, tested.save(run), refresh(run, tested))
