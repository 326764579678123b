"""A data set in figures: its splits, and how hard its tasks are for someone who learned nothing."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.evaluate import Result, meta_test
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.problems import kind_of
from innerloop.problems.classes import CUT
from innerloop.tasks import EpisodeSampler, Pool


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
    difficulty: Result
    """Nearest centroid of examples as they are, 1 shot, on the meta-test classes."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        result = self.difficulty
        hardness = {"mean": result.mean, "ci95": result.ci95, "hash": result.protocol.hash}
        hardness |= {"protocol": result.protocol.to_json()}
        return {"dataset": self.dataset, "shape": list(self.shape), "splits": self.splits, "pixels": hardness}


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
        raise InputError(f"{data} is computed: it has no classes to count")
    # One example is learned from; the smallest class must have the others.
    queries = min(15, int(splits.test.counts.min()) - 1)
    ways = min(options.ways, len(splits.test))
    # The seed of every measurement, so that two people print the same difficulty.
    sampler = EpisodeSampler(pool=splits.test, ways=ways, shots=1, queries=queries, seed=77)
    name = f"nearest centroid of {problem.raw(splits.train.shape)}"
    difficulty = meta_test(NearestCentroid(), {}, sampler, options.episodes, name=name)
    return Description(
        dataset=splits.train.dataset,
        shape=splits.train.shape,
        splits={name: _figures(pool) for name, pool in splits.pools().items()},
        difficulty=difficulty,
    )


def _figures(pool: Pool) -> dict[str, Any]:
    return {
        "classes": len(pool),
        "examples": int(pool.counts.sum()),
        "fewest": int(pool.counts.min()),
        "most": int(pool.counts.max()),
        "groups": dict(Counter(pool.groups)),
        "class_hash": pool.class_hash,
    }
