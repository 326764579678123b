"""Several runs on the same unseen tasks, in one table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import is_file
from innerloop.evaluate import Comparison, Protocol, Result, compare
from innerloop.evaluate.compare import Cost, Row, refuse_unlike
from innerloop.evaluate.groups import Group, grouped
from innerloop.evaluate.kept import Kept, read
from innerloop.evaluate.learning import learning
from innerloop.evaluate.memory import peak_memory
from innerloop.runs.measure import Measurement, MetaTestOptions, prepare
from innerloop.runs.seeds import called, runs_of, seed_of, without_seed

_ADVICE = "say which tasks with --data, --ways, --shots and so on, which hold for all runs"


@dataclass(frozen=True, kw_only=True)
class CompareOptions(MetaTestOptions):
    """Which unseen tasks, the same for all, and how they are met."""

    baselines: bool = False
    """Also test pixels (nearest centroid) and each run's learner without training, on the same tasks."""
    again: bool = False
    """Test again what a run already holds the result of."""
    by: Literal["seed"] | None = None
    """seed: compare groups of runs that differ in their seed alone, in place of runs, corrected for several comparisons
    (Holm), with learning curves by steps and by processor seconds. None: runs, and groups above them."""


class _Entry(NamedTuple):
    """A row to be."""

    name: str
    protocol: Protocol
    kept: Kept[Result] | None
    """A result that was given as a file."""
    test: Measurement | None
    run: Path | None = None
    """The folder, where there is a whole run; of baselines that of the run that they stand beside."""
    label: str = ""
    """Label of a baseline that is measured beside every run."""


def compare_runs(
    paths: Sequence[str | Path],
    options: CompareOptions,
    context: Context = Context(),
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Test every run on the same tasks, unless it holds the result already, and put them beside the first.

    Runs that differ in the seed of their training alone are also summed up as one.

    Args:
        paths: Run folders, folders of the runs of several seeds, or `test-*.json` files of runs, whose results are
            taken as they are.
        options: Which tasks.
        context: Where data sets lie, and what the runs may name.
        progress: Called with what is being tested.

    Raises:
        InputError: A run that cannot take the tasks, or tasks that are not the same; before anything is tested.
    """
    runs = [run for path in paths for run in (runs_of(path) or [path])]
    entries = list(_entries(runs, options, context))
    if options.by is not None:
        _refuse_single(entries)
    # Before the first test, which may take an hour: unlike tasks are refused at once.
    for entry in entries[1:]:
        refuse_unlike(entries[0].name, entries[0].protocol, entry.name, entry.protocol, _ADVICE)
    results, stored = [], []
    for entry in entries:
        kept, test = entry.kept, entry.test
        result = None if kept is None else kept.result
        if test is not None:
            result = None if options.again else test.stored()
        stored.append(result is not None)
        if result is None and test is not None:
            progress(f"testing {entry.name} on {test.protocol.episodes} tasks")
            result = test.result()
        assert result is not None
        # Rows are called after folders: two runs may be of one learner.
        results.append(replace(result, learner=entry.name))
    comparison = compare(*results)
    rows = zip(comparison.rows, entries, stored, strict=True)
    costed = tuple(_costed(row, entry, old) for row, entry, old in rows)
    comparison = replace(comparison, rows=costed, groups=_groups(entries, results))
    if options.by is None:
        return comparison
    curves = learning([(group.name, group.runs) for group in comparison.groups if group.runs])
    return replace(comparison, by_seed=True, learning=curves)


def _groups(entries: Sequence[_Entry], results: Sequence[Result]) -> tuple[Group, ...]:
    """The rows, with those that differ in the seed of their training alone as one."""
    whole = {entry.run: without_seed(entry.run) for entry in entries if entry.run is not None}
    members: dict[str, list[Path]] = {}
    for run, key in whole.items():
        members.setdefault(key, []).append(run)
    named = short_names([called([run.resolve() for run in runs]) for runs in members.values()]) if members else []
    of_group = dict(zip(members, named, strict=True))
    keys: list[Any] = []
    names: list[str] = []
    for entry in entries:
        key = None if entry.run is None else whole[entry.run]
        keys.append(entry.name if key is None else (key, entry.label))
        if key is None or len(members[key]) == 1:
            names.append(entry.name)
        else:
            names.append(", ".join(filter(None, (of_group[key], entry.label))))
    seeds = [None if entry.run is None else seed_of(entry.run) for entry in entries]
    folders = [None if entry.label else entry.run for entry in entries]
    return grouped(results, keys, names, seeds, folders)


def _refuse_single(entries: Sequence[_Entry]) -> None:
    """Refuse to compare groups where every one has a single run.

    Raises:
        InputError: That is so.
    """
    kinds = [without_seed(entry.run) for entry in entries if entry.run is not None and not entry.label]
    if len(set(kinds)) == len(kinds):
        raise InputError(
            "--by seed sums up runs that differ in their seed alone, and no two of these do: train each with several "
            "(--seeds 0 1 2), or leave out --by"
        )


def _entries(paths: Sequence[str | Path], options: CompareOptions, context: Context) -> Iterator[_Entry]:
    """The runs, then the baselines, each once."""
    if not paths:
        raise InputError("there is nothing to compare: name run folders")
    names, baselines = short_names([Path(path) for path in paths]), []
    first = None
    for name, path in zip(names, paths, strict=True):
        with _named(path):
            if is_file(Path(path)):
                # Not tested again: the file may be all that is left of its run.
                kept = read(path)
                assert kept.result is not None
                own = Path(path).parent if kept.own and is_file(Path(path).parent / "config.json") else None
                yield _Entry(kept.named(name), kept.result.protocol, kept, None, own)
                continue
            test, *others = prepare(path, options, context)
        if first is not None and first.protocol.hash == test.protocol.hash:
            test = test._replace(sampler=first.sampler)  # the same tasks: keep one copy of the data
        first = first or test
        yield _Entry(name, test.protocol, None, test, Path(path))
        for other in others:
            # Pixels answer alike beside every run, so one row will do; an untrained learner is the run's own.
            of_all = other.label == "pixels"
            name_of = str(other.name) if of_all else f"{name}, {other.label}"
            if not (of_all and any(name_of == entry.name for entry in baselines)):
                run = None if of_all else Path(path)
                test = other._replace(sampler=first.sampler)
                baselines.append(_Entry(name_of, other.protocol, None, test, run, other.label))
    # Last, so that the first row, to which differences are taken, is a run.
    yield from baselines


def _costed(row: Row, entry: _Entry, stored: bool) -> Row:
    test = entry.test
    # A file alone has no learner whose memory could be counted.
    if test is None:
        return row._replace(stored=stored, warning=None if entry.kept is None else entry.kept.warning)
    # One task will do: memory follows from shapes, not from values.
    episode = tree.slice(test.sampler.episodes(0, 1), 0)
    cost = Cost(
        learner=type(test.learner).__name__,
        parameters=sum(v.numel() for v in test.params.values()),
        memory=peak_memory(test.learner, test.params, episode),
    )
    return row._replace(cost=cost, stored=stored)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last part of every path that tells it from the others.

    Raises:
        InputError: One is given twice.
    """
    # Resolved, because one folder has many spellings.
    whole = [path.resolve() for path in paths]
    twice = [str(path) for i, path in enumerate(paths) if whole[i] in whole[:i]]
    if twice:
        raise InputError(f"{twice[0]} is given twice: name each run once")
    for depth in range(1, max(len(path.parts) for path in whole) + 1):
        names = [str(Path(*path.parts[-depth:])) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in whole]


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Say which run cannot."""
    try:
        yield
    except InputError as error:
        # Most messages name the run already.
        message = str(error)
        raise InputError(message if str(path) in message else f"{path}: {message}") from error
