"""Tasks as other libraries hand them out, to episodes and back.

Three shapes: pairs of tensors `(x, y)`, as learn2learn's tasks; torchmeta's batches, which call support and query
`train` and `test`; and the five of easyfsl's `TaskSampler`. An `Episode` of them goes into `learner.adapt` and
`learner.loss`, stacked ones into `innerloop.engine.meta_gradient`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode

Pair = tuple[Tensor, Tensor]
"""Examples [n, ...] and their classes [n], or targets [n, d]."""


def from_pairs(support: Sequence[Tensor], query: Sequence[Tensor], seed: int = 0, index: int = 0) -> Episode:
    """An episode of two pairs (x, y).

    Args:
        support: What is adapted to.
        query: What the adaptation is measured on.
        seed: With `index`, where the randomness of learners that draw comes from.
        index: The episode's number.

    Returns:
        With whole numbers as y: classes, numbered from 0 among those of the support; with others: targets, [n, d].

    Raises:
        InputError: No pairs, lengths that differ, classes or targets of other shapes, a query of a class that the
            support does not have, or values that are not finite.
    """
    x, y = _pair(support, "support")
    query_x, query_y = _pair(query, "query")
    if x.shape[1:] != query_x.shape[1:]:
        raise InputError(
            f"support examples are {list(x.shape[1:])}, and query examples {list(query_x.shape[1:])}: give one shape"
        )
    key = random.mix(seed, index).to(x.device)
    if y.is_floating_point() or query_y.is_floating_point():
        targets, query_targets = _targets(y), _targets(query_y)
        if targets.ndim != 2 or targets.shape[1] != query_targets.shape[1]:
            shapes = f"{list(y.shape)} in the support and {list(query_y.shape)} in the query"
            raise InputError(f"targets are [n] or [n, d], of the same d in support and query, and these are {shapes}")
        return Episode(Batch(x, targets, key=key), Batch(query_x, query_targets, key=random.fold(key, 1)))
    if y.ndim > 1 or query_y.ndim > 1:
        shape = list((y if y.ndim > 1 else query_y).shape)
        raise InputError(f"classes are one whole number an example, and these are {shape}; targets need float numbers")
    y, query_y = y.long(), query_y.long()
    labels = torch.unique(y)
    place = torch.searchsorted(labels, query_y).clamp(max=len(labels) - 1)
    strange = query_y[labels[place] != query_y]
    if len(strange):
        raise InputError(
            f"the query has class {int(strange[0])}, and the support has {labels.tolist()}: give queries of its classes"
        )
    present = torch.ones(len(labels), dtype=torch.bool, device=y.device)
    return Episode(
        Batch(x, torch.searchsorted(labels, y), classes=present, key=key),
        Batch(query_x, place, classes=present, key=random.fold(key, 1)),
    )


def to_pairs(episode: Episode) -> tuple[Pair, Pair]:
    """The (x, y) of support and query, without padding; of one episode.

    Raises:
        InputError: Inputs are several tensors by name, or episodes are stacked.
    """
    if episode.support.y.ndim > (2 if episode.support.y.is_floating_point() else 1):
        raise InputError("these are several episodes: take one, by innerloop.core.tree.slice(episodes, i)")
    return _rows(episode.support), _rows(episode.query)


def from_torchmeta(batch: Mapping[str, Sequence[Tensor]], seed: int = 0, first: int = 0) -> Episode:
    """Stacked episodes of a batch with `train` and `test`, each (x [tasks, n, ...], y [tasks, n]).

    Args:
        batch: As from torchmeta's `BatchMetaDataLoader` behind its `ClassSplitter`.
        seed: As in `from_pairs`.
        first: Number of the first episode.

    Raises:
        InputError: There is no `train` or `test`, they have different numbers of tasks, tasks have different numbers of
            classes, or as of `from_pairs`.
    """
    for name in ("train", "test"):
        if name not in batch:
            raise InputError(f"a batch of torchmeta has train and test, got {', '.join(batch) or 'nothing'}")
    parts = [tensor for name in ("train", "test") for tensor in _pair(batch[name], name)]
    counts = sorted({len(tensor) for tensor in parts})
    if any(tensor.ndim < 2 for tensor in parts):
        raise InputError(
            "train and test are x [tasks, n, ...] and y [tasks, n], and these have no axis of tasks: stack them"
        )
    if len(counts) > 1:
        raise InputError(f"train and test need x and y of the same tasks, got {counts[0]} and {counts[-1]} of them")
    x, y, query_x, query_y = parts
    tasks = range(len(x))
    episodes = [from_pairs((x[i], y[i]), (query_x[i], query_y[i]), seed, first + i) for i in tasks]
    ways = {None if e.support.classes is None else len(e.support.classes) for e in episodes}
    if len(ways) > 1:
        raise InputError(f"tasks of a batch need the same number of classes, got {sorted(map(str, ways))}")
    return tree.stack(episodes)


def to_torchmeta(episodes: Episode) -> dict[str, Pair]:
    """`train` and `test` of stacked episodes, each (x, y).

    Raises:
        InputError: Episodes are padded, which such a batch cannot say, inputs are several tensors by name, or this is
            one episode that is not stacked.
    """
    if episodes.support.y.ndim < (3 if episodes.support.y.is_floating_point() else 2):
        raise InputError(
            "this is one episode, and a batch holds tasks: stack it, by innerloop.core.tree.stack([episode])"
        )
    if episodes.support.mask is not None or episodes.query.mask is not None:
        raise InputError("a batch of torchmeta cannot say which rows are padding: episodes need equal sizes")
    return {name: (_plain(part), part.y) for name, part in zip(("train", "test"), episodes, strict=True)}


def from_easyfsl(batch: Sequence[Any], seed: int = 0, index: int = 0) -> tuple[Episode, list[int]]:
    """The episode of a batch of easyfsl's `TaskSampler`, and which classes of the data set it has.

    Args:
        batch: Support x and y, query x and y, class ids: as from its `episodic_collate_fn`.
        seed: As in `from_pairs`.
        index: The episode's number.

    Raises:
        InputError: The batch does not have five parts, the support has not one class for each class id, or as of
            `from_pairs`.
    """
    if len(batch) != 5:
        raise InputError(
            f"a batch of easyfsl has support x and y, query x and y and class ids; this one has {len(batch)} parts"
        )
    *parts, classes = batch
    episode = from_pairs(parts[:2], parts[2:], seed, index)
    ways = 0 if episode.support.classes is None else len(episode.support.classes)
    if ways != len(classes):
        raise InputError(f"the support has {ways} classes, and {len(classes)} class ids are named: give one for each")
    return episode, [int(c) for c in classes]


def to_easyfsl(episode: Episode, classes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor, list[int]]:
    """Support x and y, query x and y and class ids, as easyfsl's methods are trained and evaluated on.

    Args:
        episode: One episode.
        classes: The class of the data set behind each label.

    Raises:
        InputError: There is not one class a label, or as of `to_pairs`.
    """
    (x, y), (query_x, query_y) = to_pairs(episode)
    ways = len(torch.unique(y)) if episode.support.classes is None else len(episode.support.classes)
    if len(classes) != ways:
        raise InputError(f"the episode has {ways} ways, and {len(classes)} classes are named: give one for each")
    return x, y, query_x, query_y, list(classes)


def _pair(pair: Sequence[Tensor], name: str) -> Pair:
    if len(pair) != 2 or not all(isinstance(t, Tensor) for t in pair):
        raise InputError(f"{name} is a pair of tensors (x, y), got {[type(t).__name__ for t in pair]}")
    x, y = pair
    if not x.ndim or not y.ndim:
        raise InputError(f"{name} is examples [n, ...] and their classes [n], or targets; got one number alone")
    if not len(x) or len(x) != len(y):
        raise InputError(f"{name} needs as many examples as labels, at least one; got {len(x)} and {len(y)}")
    if not bool(torch.isfinite(x).all() & torch.isfinite(y).all()):
        raise InputError(f"{name} holds NaN or infinite values: remove or fill them")
    return x, y


def _targets(y: Tensor) -> Tensor:
    """[n, d] of [n, d], or of [n]."""
    return (y[:, None] if y.ndim == 1 else y).to(y.dtype if y.is_floating_point() else torch.get_default_dtype())


def _rows(batch: Batch) -> Pair:
    x = _plain(batch)
    return (x, batch.y) if batch.mask is None else (x[batch.mask], batch.y[batch.mask])


def _plain(batch: Batch) -> Tensor:
    if isinstance(batch.x, dict):
        raise InputError(
            f"inputs are several tensors, {', '.join(batch.x)}, and such a batch holds one: leave them as an Episode"
        )
    return batch.x
