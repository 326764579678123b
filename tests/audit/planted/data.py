"""Tasks and splits with a mistake each; `BUGS` has them by name."""

import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from innerloop.core.scores import Mean
from innerloop.core.types import Batch, Episode
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import EpisodeSampler, Pool, Scored
from tests.audit.planted import Bug
from tests.audit.planted.learners import WAYS, Memorised, protonet, sampler
from tests.evaluate import tiny


def _x(batch: Batch) -> Tensor:
    assert isinstance(batch.x, Tensor)
    return batch.x


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryIsSupport(EpisodeSampler):
    """The same rows twice."""

    def episodes(self, first: int, count: int) -> Episode:
        support, _ = super().episodes(first, count)
        return Episode(support, support)


@dataclass(frozen=True, kw_only=True, eq=False)
class WithReplacement(EpisodeSampler):
    """One query of a task is a support row."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        x, y = _x(query).clone(), query.y.clone()
        x[:, 4], y[:, 4] = _x(support)[:, 1], support.y[:, 1]
        return Episode(support, query._replace(x=x, y=y))


@dataclass(frozen=True, kw_only=True, eq=False)
class AugmentedCopies(EpisodeSampler):
    """Queries are support rows, brighter and with a little noise, shuffled."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        order = torch.randperm(support.y.shape[1], generator=torch.Generator().manual_seed(0))
        x = _x(support)[:, order]
        keys = [torch.Generator().manual_seed(first + i) for i in range(count)]
        noise = torch.stack([torch.rand(x.shape[1:], generator=key) for key in keys])
        return Episode(support, query._replace(x=1.05 * x + 0.02 * noise, y=support.y[:, order]))


@dataclass(frozen=True, kw_only=True, eq=False)
class SortedClasses(EpisodeSampler):
    """Labels follow the number of the class."""

    def draw(self, first: int, count: int) -> Any:
        drawn = super().draw(first, count)
        return drawn._replace(classes=drawn.classes.sort(-1).values)


@dataclass(frozen=True, kw_only=True, eq=False)
class SortedQuery(EpisodeSampler):
    """Queries come in the order of their labels."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        order = query.y.argsort(dim=-1, stable=True)
        x = torch.stack([rows[i] for rows, i in zip(_x(query), order, strict=True)])
        return Episode(support, query._replace(x=x, y=query.y.gather(1, order)))


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelInAPixel(EpisodeSampler):
    """The label is written into a corner of every picture."""

    def episodes(self, first: int, count: int) -> Episode:
        return Episode(*(b._replace(x=self._written(_x(b).clone(), b.y)) for b in super().episodes(first, count)))

    def _written(self, x: Tensor, y: Tensor) -> Tensor:
        x[..., 0, 0, 0] += 0.3 * y
        return x


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelInTheSupport(LabelInAPixel):
    """The label is written into the support alone."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = EpisodeSampler.episodes(self, first, count)
        return Episode(support._replace(x=self._written(_x(support).clone(), support.y)), query)


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalDraws(EpisodeSampler):
    """Shuffles by torch's generator."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        order = torch.randperm(query.y.shape[1])
        return Episode(support, query._replace(x=_x(query)[:, order], y=query.y[:, order]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Streaming(EpisodeSampler):
    """Gives the next tasks, whichever are asked for."""

    numbers: ClassVar[Any] = itertools.count()

    def episodes(self, first: int, count: int) -> Episode:
        return super().episodes(1000 * next(self.numbers), count)


@dataclass(frozen=True, kw_only=True, eq=False)
class OneKey(EpisodeSampler):
    """All tasks have the key of the first."""

    def episodes(self, first: int, count: int) -> Episode:
        return Episode(*(b._replace(key=torch.zeros_like(b.y[:, 0])) for b in super().episodes(first, count)))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftedLabels(EpisodeSampler):
    """Queries are numbered from 1, the support from 0."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        classes = torch.ones(count, WAYS + 1, dtype=torch.bool)
        return Episode(support._replace(classes=classes), query._replace(y=query.y + 1, classes=classes))


class LongScore(Mean):
    """Returns two numbers and declares one."""

    name, title, higher_is_better, of_classes = "tests.audit.planted.data:LONG", "right", True, True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        right = (outputs.argmax(-1) == batch.y).to(outputs.dtype)
        return torch.stack([right.mean(), right.std()])


class PaddedScore(Mean):
    """Counts padding as questions."""

    name, title, higher_is_better, of_classes = "tests.audit.planted.data:PADDED", "right", True, True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        return (outputs.argmax(-1) == batch.y).to(outputs.dtype).mean()[None]


LONG, PADDED = LongScore(), PaddedScore()


def splits() -> dict[str, Pool]:
    """Honest ones."""
    return {s: tiny.pool(6, 8, i, s) for i, s in enumerate(("train", "validation", "test"))}


def changed(**pools: Pool) -> dict[str, Any]:
    return {"learner": NearestCentroid(), "splits": splits() | pools}


def _with_rows(pool: Pool, rows: Tensor, each: int = 1) -> Pool:
    """The pool with its first class's first rows replaced."""
    data = pool.data.clone()
    data[0, : len(rows)] = rows
    return replace(pool, data=data)


def tagged() -> Pool:
    """Every picture of a class has the class's number in a corner."""
    pool = tiny.pool()
    data = pool.data.clone()
    data[..., 0, 0, 0] = torch.arange(len(pool))[:, None] / len(pool)
    return replace(pool, data=data)


def _data() -> dict[str, Bug]:
    train, test = splits()["train"], splits()["test"]
    noise = torch.rand(train.data.shape[1:], generator=torch.Generator().manual_seed(0))
    renamed = _with_rows(test, 0.9 * train.data[2] + 0.02 * noise)
    few = _with_rows(splits()["validation"], 0.5 * train.data[3, :3] + 0.3)
    kinds = {
        "query is support": ("support and query disjoint", QueryIsSupport),
        "drawn with replacement": ("support and query disjoint", WithReplacement),
        "queries are augmented support rows": ("support and query apart", AugmentedCopies),
        "labels follow the class": ("label order", SortedClasses),
        "queries sorted by label": ("query order", SortedQuery),
        "label in a pixel": ("labels in inputs", LabelInAPixel),
        "label in the support": ("labels in inputs", LabelInTheSupport),
        "tasks from torch's generator": ("tasks repeat", GlobalDraws),
        "tasks from a stream": ("tasks repeat", Streaming),
        "one key for all tasks": ("tasks repeat", OneKey),
        "labels of the query shifted": ("query classes", ShiftedLabels),
    }
    bugs = {k: Bug(check, {"learner": protonet(), "sampler": sampler(kind)}) for k, (check, kind) in kinds.items()}
    few_classes = sampler(SortedClasses, pool=tiny.pool().take(range(3)))
    return bugs | {
        "labels known by heart": Bug("label permutation", {"learner": Memorised(), "sampler": few_classes}),
        "class in a pixel": Bug("class tags", {"learner": protonet(), "sampler": sampler(pool=tagged())}),
        "score of another length": Bug("score", {"learner": protonet(), "sampler": Scored(sampler(), LONG.name)}),
        "score counts padding": Bug("score", {"learner": protonet(), "sampler": Scored(sampler(), PADDED.name)}),
        "class in two splits": Bug(
            "split overlap", changed(test=replace(test, names=(train.names[0], *test.names[1:])))
        ),
        "rotated class in two splits": Bug(
            "split overlap", changed(test=replace(test, names=(f"{train.names[0]}/rot090", *test.names[1:])))
        ),
        "pictures in two splits": Bug("duplicate images", changed(test=_with_rows(test, train.data[1, :2]))),
        "class under another name": Bug("near-duplicates", changed(test=renamed)),
        "darker copies in two splits": Bug("near-duplicates", changed(validation=few)),
    }


BUGS = _data()
