"""A data set in figures: its splits, and how hard its tasks are for someone who learned nothing."""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.names import printable
from innerloop.evaluate import Result, meta_test
from innerloop.evaluate.task_map import Encode, TaskMap, flat, task_map
from innerloop.fewshot.mapped import encoder_params
from innerloop.fewshot.rows import read
from innerloop.fewshot.sources import source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.problems import kind_of
from innerloop.problems.classes import CUT
from innerloop.tasks import EpisodeSampler, Pool, Splits

_SEEN = 100
"""Training classes that batch norms of a map's encoder see, about."""


@dataclass(frozen=True, kw_only=True)
class DescribeOptions:
    """What to find out about a data set."""

    split_scheme: Annotated[str | None, CUT] = None
    """How the classes are split, where a data set has several ways (omniglot: lake, vinyals, maml)."""
    text_column: str | None = None
    """Column of a table that holds the texts; None: the one that is called text, or the only one that looks so."""
    label_column: str | None = None
    """Column that holds the classes; None: the one that is called label, or the only one whose values come again."""
    encoding: str | None = None
    """What a table is in; None: UTF-8, UTF-16, GB18030 or Windows-1252, as its bytes say."""
    ways: int = 5
    """Classes of the tasks whose difficulty is measured; fewer where there are not as many."""
    episodes: int = 600
    """Tasks to measure the difficulty on."""
    map: Path | None = None
    """Map the classes, and draw them as this .html or .png: how hard those for tests are, how unlike those that are
    trained on, and which of those help."""
    features: str | None = None
    """What the map measures distances in: a run folder, a shipped run or a frozen encoder; None: examples as they are.
    Texts are always seen through the encoder that makes rows of them."""
    seed: int = 0
    """Decides which classes and examples a map is made of, where there are many."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Description:
    """What `describe` found."""

    dataset: str
    shape: tuple[int, ...]
    """Shape of one example."""
    splits: dict[str, dict[str, Any]]
    """Per split: classes, examples, the fewest and the most of a class, classes by group, hash of the class names."""
    difficulty: Result | None
    """Nearest centroid of examples as they are, 1 shot, on the meta-test classes; None: there are no tasks of these."""
    note: str | None = None
    """Why there are none."""
    mapped: TaskMap | None = None
    """The map, where one was asked for."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        about = {"dataset": self.dataset, "shape": list(self.shape), "splits": self.splits}
        about |= {} if self.mapped is None else {"map": self.mapped.to_json()}
        result = self.difficulty
        if result is None:
            return about | {"pixels": None, "note": self.note}
        hardness = {"mean": result.mean, "ci95": result.ci95, "hash": result.protocol.hash}
        hardness |= {"protocol": result.protocol.to_json()}
        return about | {"pixels": hardness}


def describe(data: str, options: DescribeOptions, context: Context = Context()) -> Description:
    """Load a data set, drawing or downloading it if need be, and look at it.

    Args:
        data: A name or a path, as `--data` takes it.
        options: What to find out.
        context: Where data sets lie.

    Raises:
        InputError: The data have no classes, or no map can be made or drawn of them as asked.
    """
    if options.map is not None:
        _check_place(options.map)
    elif options.features is not None:
        raise InputError("--features is what a map is made of: say where it goes with --map map.html")
    problem = kind_of(data)(data=data)
    asked = {name: getattr(options, name) for name in ("split_scheme", "text_column", "label_column", "encoding")}
    problem = problem.changed({name: value for name, value in asked.items() if value is not None})
    splits = problem.splits(problem.load(context))
    if splits is None:
        raise InputError(f"{data} has no classes of single examples to count: name data that has")
    # What cannot encode them is told before a long measurement.
    encode = flat if options.features is None else features_of(options.features, splits.train, context)
    note = _no_tasks(splits.test, options.ways)
    # One example is learned from; the smallest class must have the others.
    queries = min(15, int(splits.test.counts.min()) - 1)
    ways = min(options.ways, len(splits.test))
    difficulty = None
    if note is None:
        # The seed of every measurement, so that two people print the same difficulty.
        sampler = EpisodeSampler(pool=splits.test, ways=ways, shots=1, queries=queries, seed=77)
        name = f"nearest centroid of {problem.raw(splits.train.shape, splits.train.preprocessing)}"
        difficulty = meta_test(NearestCentroid(), {}, sampler, options.episodes, name=name)
    return Description(
        dataset=splits.train.dataset,
        shape=splits.train.shape,
        splits={name: _figures(pool) for name, pool in splits.pools().items()},
        difficulty=difficulty,
        note=note,
        mapped=None if options.map is None else _map(data, splits, options, problem.raw, encode),
    )


def _check_place(path: Path) -> None:
    """Refuse a file that no map can be drawn as, as soon as it is asked for.

    Raises:
        InputError: Its name ends otherwise, its folder is missing, or what draws is not installed.
    """
    from innerloop.report.task_map import check_place as check_name  # matplotlib, which may be missing

    check_name(path)
    if not files.is_folder(files.expanded(path).parent):
        raise InputError(f"there is no folder {path.parent} for {path.name}: make it, or name another file")


def _map(data: str, splits: Splits, options: DescribeOptions, raw: Callable[..., str], encode: Encode) -> TaskMap:
    """The map that was asked for, drawn."""
    from innerloop.report.task_map import write_task_map

    assert options.map is not None
    words = raw(splits.train.shape, splits.train.preprocessing)
    if options.features is not None:
        words = f"the features of {options.features}"
    mapped = task_map(splits.train, splits.test, encode, options.seed)
    names = ("features", "split_scheme", "text_column", "label_column", "encoding", "seed")
    asked = [(name.replace("_", "-"), getattr(options, name)) for name in names]
    words_again = [f"--{name} {shlex.quote(str(value))}" for name, value in asked if value not in (None, 0)]
    again = " ".join(["innerloop data", shlex.quote(data), "--map", shlex.quote(str(options.map)), *words_again])
    write_task_map(files.expanded(options.map), mapped, dataset=splits.train.dataset, features=words, command=again)
    return mapped


def features_of(name: str, train: Pool, context: Context = Context()) -> Encode:
    """What a run's encoder, or a frozen one, makes of examples as a pool has them.

    Batch norms see a few examples of many training classes together, the same for every class.

    Args:
        name: A run folder, a shipped run or a frozen encoder.
        train: Training classes.
        context: Which foreign code a run may name.

    Raises:
        InputError: There is no such thing, it has no encoder, or it takes other examples.
    """
    taught = source(name, context.allow)
    encoder = getattr(taught.learner, "encoder", None)
    if taught.encoder is None and not isinstance(encoder, Model):
        raise InputError(
            f"{name} has no encoder that makes features of examples: name a run of protonet or another learner with "
            "an encoder, or a frozen encoder"
        )

    def rows(x: Tensor) -> Tensor:
        return read(x, taught)[0]

    try:
        rows(train.rows(torch.zeros(1, dtype=torch.int64)))
    except InputError as error:
        raise InputError(
            f"{name} takes other examples than those of {train.dataset}, which are {list(train.shape)}: name a run "
            "that was trained on such ones, or leave out --features to map them as they are"
        ) from error
    if not isinstance(encoder, Model):
        return lambda x: rows(x).flatten(1)
    own, some = encoder_params(taught.learner, taught.params), range(0, len(train), max(1, len(train) // _SEEN))
    index = torch.tensor([i * train.data.shape[1] for i in some])
    known = encoder.with_statistics(own, rows(train.rows(index)))
    return lambda x: encoder.apply(known, rows(x)).flatten(1)


def _no_tasks(pool: Pool, ways: int) -> str | None:
    """Why no task can be made of some classes that tells anything; None: one can."""
    if len(pool) < 2 and ways > 1:
        return (
            f"its meta-test split is a single class ('{printable(pool.names[0])}'), and a task of one class is always "
            "right; 10 classes give two for tests, 25 give five"
        )
    fewest = int(pool.counts.min())
    if fewest < 2:
        name = printable(pool.names[int(pool.counts.argmin())])
        return f"'{name}' has a single example, and a task needs one to learn from and one to ask"
    return None


def _figures(pool: Pool) -> dict[str, Any]:
    return {
        "classes": len(pool),
        "examples": int(pool.counts.sum()),
        "fewest": int(pool.counts.min()),
        "most": int(pool.counts.max()),
        "groups": dict(Counter(pool.groups)),
        "class_hash": pool.class_hash,
    }
