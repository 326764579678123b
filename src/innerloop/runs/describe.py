"""A data set in figures: its splits, and how hard its tasks are for someone who learned nothing."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.names import printable
from innerloop.evaluate import Result, meta_test
from innerloop.evaluate.class_map import ClassMap, class_map
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.problems import kind_of
from innerloop.problems.classes import CUT
from innerloop.tasks import EpisodeSampler, Pool

_CLASSES, _EXAMPLES = 200, 10
"""Classes of a split, and examples of each, that are mapped."""


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
    map: ClassMap | None = None
    """How unlike classes of meta-training and meta-test are, by examples as they are; None: there are no two."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        about = {"dataset": self.dataset, "shape": list(self.shape), "splits": self.splits}
        about["map"] = None if self.map is None else self.map.to_json()
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
    """
    problem = kind_of(data)(data=data)
    asked = {name: getattr(options, name) for name in ("split_scheme", "text_column", "label_column", "encoding")}
    problem = problem.changed({name: value for name, value in asked.items() if value is not None})
    splits = problem.splits(problem.load(context))
    if splits is None:
        raise InputError(f"{data} has no classes of single examples to count")
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
        map=_map(splits.train, splits.test),
    )


def _map(train: Pool, test: Pool) -> ClassMap | None:
    """Some classes of both, with some examples of each, as they are."""
    pools = [pool.take(range(min(len(pool), _CLASSES))) for pool in (train, test)]
    count, names = len(pools[0]), (*pools[0].names, *pools[1].names)
    if len(names) < 2:
        return None
    rows, labels = [], []
    for c in range(len(names)):
        pool, i = (pools[0], c) if c < count else (pools[1], c - count)
        rows.append(pool.data[i, : min(_EXAMPLES, int(pool.counts[i]))])
        labels += [c] * len(rows[-1])
    return class_map(torch.cat(rows), torch.tensor(labels), names, list(range(count, len(names))))


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
