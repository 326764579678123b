"""The table of a suite: our numbers beside the paper's and others', with what differs and what it cost."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.names import reason
from innerloop.evaluate.groups import Group, grouped
from innerloop.evaluate.result import Result, finite
from innerloop.runs.measure import MetaTestOptions
from innerloop.runs.options import Options
from innerloop.runs.paper import Figure, Row
from innerloop.studies.reproduce import Job, SuiteOptions, jobs, known

_LEAST = 0.5
"""Share of the paper's training from which on a gap is not put down to a shorter one."""
_MISSING = "not run"
_HEAD = """# Reproductions

Numbers of papers, made again by `innerloop reproduce`: what we get, what the paper has, what others got, what differs.

"""


class Line(NamedTuple):
    """A row with what became of its trainings."""

    row: Row
    jobs: tuple[Job, ...]
    outcomes: tuple[Mapping[str, Any], ...]
    """What became of those trainings that are over."""
    fair: Group | None
    """The fair test of all trainings that have one; None: none has."""
    as_paper: Group | None

    @property
    def hours(self) -> float:
        """Processor hours of trainings and tests."""
        return sum(one["cpu_seconds"] + one["test_cpu_seconds"] for one in self.outcomes) / 3600

    @property
    def gap(self) -> float | None:
        """Ours less the paper's, by its own protocol, in the unit that tables print."""
        if self.as_paper is None or self.row.paper is None:
            return None
        return self.as_paper.score.factor * self.as_paper.tasks.mean - self.row.paper.value

    def why(self, options: SuiteOptions) -> str:
        """The gap, with what it is put down to."""
        group, paper, gap = self.as_paper, self.row.paper, self.gap
        if group is None:
            return _MISSING
        if paper is None or gap is None:
            return "the paper has no number"
        size = f"{gap:+.1f} points" if group.score.percent else f"{gap:+.2g}"
        size += " to a number from memory" if paper.read_at is None else ""
        tasks = group.score.factor * (group.tasks.ci95 + 2 * (group.spread or 0.0))
        if abs(gap) <= tasks + (paper.spread or 0.0):
            return f"{size}: within the intervals"
        if (gap > 0) == group.score.higher_is_better:
            return f"{size}: ours is better"
        trained = self.row.options(options.budget, minutes=options.minutes)
        ours, theirs = self.trained_on(trained), self.row.full.train.steps * self.row.full.train.meta_batch_size
        if ours < _LEAST * theirs:
            most = "up to " if self.row.full.train.patience else ""
            smaller = f"{ours:,} training tasks, the full size has {most}{theirs:,}"
            return f"{size}: {smaller}{_narrower(trained, self.row.full)}"
        return f"{size}: open"

    def trained_on(self, options: Options) -> int:
        """Training tasks of a training, on average over seeds."""
        return round(options.train.meta_batch_size * statistics.mean(one["steps"] for one in self.outcomes))

    def to_json(self, options: SuiteOptions) -> dict[str, Any]:
        """Plain JSON values; numbers as they are, shares from 0 to 1, but for those that others report."""
        about: dict[str, Any] = {"row": self.row.name, "of": len(self.jobs), "trainings": len(self.outcomes)}
        for name, group in (("fair", self.fair), ("as_paper", self.as_paper)):
            about[name] = None
            if group is not None:
                ours = {"mean": finite(group.tasks.mean), "ci95": finite(group.tasks.ci95), "spread": group.spread}
                about[name] = ours | {"means": list(map(finite, group.means)), "seeds": list(group.seeds)}
        about |= {
            "paper": self.row.paper and self.row.paper._asdict(),
            "others": [f._asdict() for f in self.row.others],
        }
        failed = [one["reason"] for one in self.outcomes if one["reason"]]
        return about | {"gap": self.why(options), "cpu_hours": round(self.hours, 5), "failed": failed}


class Table(NamedTuple):
    """All rows of a suite."""

    suite: str
    options: SuiteOptions
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        hours = round(sum(line.hours for line in self.lines), 5)
        rows = [line.to_json(self.options) for line in self.lines]
        return {"suite": self.suite, **self.options.common, "cpu_hours": hours, "rows": rows}

    def __str__(self) -> str:
        """Markdown: a paragraph, the table, what differs, and the sources."""
        sources = _Sources()
        body = [_cells(line, self.options, sources) for line in self.lines]
        head = ["row", "ours, fair", "between seeds", "ours, as the paper measures", "paper", "others"]
        table = [[*head, "gap, and why", "processor hours"], ["---"] * 8, *body]
        rows = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
        return "\n\n".join(filter(None, (self._about(), rows, self._differences(), str(sources))))

    def _about(self) -> str:
        of, over = sum(len(line.jobs) for line in self.lines), sum(len(line.outcomes) for line in self.lines)
        command = f"innerloop reproduce {self.suite} --budget {self.options.budget}"
        command += "".join(f" --{k} {v}" for k in ("minutes", "episodes") if (v := getattr(self.options, k)))
        seeds = " ".join(map(str, self.options.seeds))
        machines = {_machine(one["machine"]) for line in self.lines for one in line.outcomes}
        where = "; ".join(sorted(machines)) or "no machine yet"
        days = sorted({one["date"] for line in self.lines for one in line.outcomes if "date" in one})
        when = " to ".join(map(_day, dict.fromkeys(days[:1] + days[-1:]))) or "No date yet"
        hours = sum(line.hours for line in self.lines)
        return (
            f"`{command} --seeds {seeds}`: {over} of {of} trainings, {hours:.2f} processor hours with their tests. "
            f"{when}, {where}.\n\n"
            "± is the 95% interval over tasks, of the mean of the trainings; between seeds stands their standard "
            "deviation (lowest to highest). Fair: inductive, 15 queries a class (100 points of a curve). Numbers in "
            "brackets are sources, below."
        )

    def _differences(self) -> str:
        methods = {line.row.method: line.row.differs for line in self.lines}
        what = "\n".join(f"- **{method}**: {differs}." for method, differs in methods.items())
        return f"What differs from the papers even at their own size (`--budget paper`):\n\n{what}"


class Listed(NamedTuple):
    """A row before anything is trained: what it is and what is reported of it."""

    row: str
    paper: str
    others: tuple[str, ...]
    as_paper: str
    """How the paper tests."""
    small: str
    """How much is trained under `cpu-hour`."""
    full: str

    def __str__(self) -> str:
        others = "".join(f"\n  others: {one}" for one in self.others)
        reported = f"{self.row}\n  paper: {self.paper}\n  its test: {self.as_paper}{others}"
        return f"{reported}\n  trained: {self.small}; {self.full}"


def listed(rows: Sequence[Row]) -> list[Listed]:
    """Rows as `--list` prints them."""

    def reported(figure: Figure) -> str:
        return f"{figure} ({figure.provenance})"

    def trained(options: Options, budget: str) -> str:
        train = options.train
        many = f"{train.meta_batch_size} task{'s' * (train.meta_batch_size != 1)}"
        time = "" if train.cpu_minutes is None else f"{train.cpu_minutes:g} processor minutes, at most "
        return f"{time}{train.steps:,} steps of {many} ({budget})"

    return [
        Listed(
            row.name,
            "no number" if row.paper is None else reported(row.paper),
            tuple(map(reported, row.others)),
            protocol(row.as_paper, row),
            trained(row.small, "cpu-hour"),
            trained(row.full, "paper"),
        )
        for row in rows
    ]


class _Sources:
    """Sources by the order in which they come up."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, figure: Figure) -> str:
        """A number with that of its source."""
        return f"{figure} [{self._numbers.setdefault(figure.provenance, len(self._numbers) + 1)}]"

    def __str__(self) -> str:
        lines = "\n".join(f"{number}. {provenance}" for provenance, number in self._numbers.items())
        return f"Sources:\n\n{lines}" if lines else ""


def table_of(suite: str, options: SuiteOptions, out: str | Path) -> Table:
    """The table of a suite's trainings, whether they are over or not; all rows, whichever were asked for.

    Args:
        suite: A data set.
        options: As of `reproduce`.
        out: Folder of the runs.

    Raises:
        InputError: There is no such suite or row, the folder holds another suite, or a result was edited or is damaged.
    """
    known(suite, options, Path(out))
    jobs(suite, options, out)  # rows that there are not are refused, though all are shown
    every = jobs(suite, replace(options, rows=()), out)
    rows = {job.row.name: job.row for job in every}
    by_row = {name: tuple(job for job in every if job.row.name == name) for name in rows}
    return Table(suite, options, tuple(_line(row, by_row[name]) for name, row in rows.items()))


def write_table(path: str | Path, table: Table) -> None:
    """Put a table into a page: in the place of that suite's, or at the end of the page.

    Raises:
        InputError: The file cannot be read or written.
    """
    path = Path(path)
    begin, end = f"<!-- reproduce {table.suite} -->", f"<!-- end of {table.suite} -->"
    section = f"{begin}\n\n## {table.suite}\n\n{table}\n\n{end}"
    try:
        page = path.read_text(encoding="utf-8") if files.is_file(path) else _HEAD
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({reason(error)}): name another file by --table") from error
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    there = bool(found and closed)
    files.writable(path.parent)
    files.write(path, before + section + after if there else page.rstrip("\n") + f"\n\n{section}\n")


def _line(row: Row, jobs: tuple[Job, ...]) -> Line:
    over = [(job, outcome) for job in jobs if (outcome := job.outcome) is not None]

    def group(test: str) -> Group | None:
        tested = [(job, Result.load(job.folder / one["tests"][test])) for job, one in over if test in one["tests"]]
        if not tested:
            return None
        seeds, results = [job.seed for job, _ in tested], [result for _, result in tested]
        return grouped(results, [row.name] * len(tested), [row.name] * len(tested), seeds)[0]

    return Line(row, jobs, tuple(outcome for _, outcome in over), group("fair"), group("paper"))


def _cells(line: Line, options: SuiteOptions, sources: _Sources) -> list[str]:
    row, fair = line.row, line.fair
    name = (
        row.name
        if len(line.outcomes) in (0, len(line.jobs))
        else f"{row.name} ({len(line.outcomes)} of {len(line.jobs)} seeds)"
    )
    paper = "–" if row.paper is None else sources.mark(row.paper)
    others = ", ".join(map(sources.mark, row.others)) or "–"
    failed = sum(bool(one["reason"]) for one in line.outcomes)
    if fair is None or line.as_paper is None:
        what = f"{failed} failed" if failed else _MISSING
        return [name, what, what, what, paper, others, what, f"{line.hours:.2f}" if failed else "–"]
    ours, spread = fair.cells[2], fair.cells[3]
    ours += f", {failed} failed" if failed else ""
    how = protocol(row.tests(options.most)["paper"], row)
    same = line.as_paper.results[0].protocol.hash == fair.results[0].protocol.hash
    measured = "the same test" if same else f"{line.as_paper.cells[2]} ({how})"
    return [name, ours, spread, measured, paper, others, line.why(options), f"{line.hours:.2f}"]


def protocol(test: MetaTestOptions, row: Row) -> str:
    """How a test is made, in words such as "600 tasks, 1 query a class, 3 inner steps, transductive"."""
    queries = f"{test.queries} {'query' if test.queries == 1 else 'queries'} a class"
    parts = [f"{test.episodes} tasks", f"{test.queries} points" if row.ways is None else queries]
    if test.steps is not None:
        parts.append(f"{test.steps} inner step{'s' * (test.steps != 1)}")
    if row.ways is not None:
        parts.append("transductive" if test.transductive else "inductive")
    return ", ".join(parts)


def _day(iso: str) -> str:
    day = date.fromisoformat(iso)
    return f"{day.day} {day:%B %Y}"


def _machine(about: Mapping[str, Any]) -> str:
    parts = [f"{about['cores']} cores", about["processor"], about["gpu"], f"torch {about['torch']}"]
    return ", ".join(filter(None, parts))


def _narrower(ours: Options, paper: Options) -> str:
    """What of the network is smaller."""
    widths = getattr(ours.network, "width", None), getattr(paper.network, "width", None)
    return f", width {widths[0]} instead of {widths[1]}" if widths[0] != widths[1] else ""
