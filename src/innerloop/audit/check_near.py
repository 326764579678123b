"""Checks for examples that are nearly the same: across splits, and in support and query of one task.

What "nearly" means is read off the data: an example is a near-duplicate of another where their distance is a small
part of what usually lies between an example and its nearest neighbour that it may have.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.audit.check import Check
from innerloop.core import tree
from innerloop.core.types import Batch, Episode, Sampler
from innerloop.tasks import Pool, UnsupervisedSampler
from innerloop.tasks.pool import base_name

RATIO = 0.2
"""Largest distance of near-duplicates, as a part of the usual distance to the nearest neighbour."""
SHARED_ROWS = 1e-3
"""Part of the rows that may be near-duplicates by accident."""
_SIDE = 12
"""Pictures are compared at this size, at which compression and noise are averaged away."""
_ENTRIES = 8
"""Rows of fewer numbers are near each other by chance."""
_PAIRS = 4e7
_CHUNK = 512


class _Rows(NamedTuple):
    features: Tensor  # [n, entries] float32
    owner: Tensor  # [n] class
    names: tuple[str, ...]


def near_duplicates(splits: Mapping[str, Pool]) -> Check:
    """Examples of one split that are nearly an example of another one, against what lies between classes of a split."""
    name = "near-duplicates"
    parts = {split: _of_pool(pool) for split, pool in splits.items()}
    width = {rows.features.shape[1] for rows in parts.values()}
    if len(width) > 1 or min(width) < _ENTRIES:
        return Check(name, None, None, "rows of so few numbers, or of unlike shapes, are not compared")
    share, total, places, classes, looked = 0.0, 0, Counter[str](), dict[str, str](), 0
    for first, second in combinations(splits, 2):
        # The smaller split asks, since it is the one that is tested on.
        small, large = sorted((first, second), key=lambda split: len(parts[split].owner))
        ours, theirs = _thinned(parts[small], parts[large])
        if not len(ours.owner) or not len(theirs.owner) or len(ours.owner.unique()) < 2:
            continue
        other, _ = _nearest(ours, ours, of_other_classes=True)
        usual = other.median().item()
        distance, index = _nearest(ours, theirs)
        near = distance < RATIO * usual
        # Data of few dimensions have such neighbours among honest classes as well.
        chance = (other < RATIO * usual).double().mean().item()
        matches = int(near.sum())
        looked += len(distance)
        if matches and matches / len(distance) > SHARED_ROWS + 3 * chance:
            share = max(share, matches / len(distance))
        total += matches
        if matches:
            places[f"{small} and {large}"] += matches
        for i in near.nonzero().flatten().tolist():
            ours_name, theirs_name = ours.names[int(ours.owner[i])], theirs.names[int(theirs.owner[index[i]])]
            classes.setdefault(f"'{ours_name}' ({small})", f"'{theirs_name}' ({large})")
    if not total:
        return Check(name, True, 0, f"none of {looked:,} examples is nearly one of another split")
    some = ", ".join(f"{a} and {b}" for a, b in list(classes.items())[:3])
    where = ", ".join(f"{n} in {pair}" for pair, n in places.items())
    message = (
        f"{total} of {looked:,} examples, of {len(classes)} classes, are nearly one of another split ({where}; such as "
        f"{some})"
    )
    details = {"classes": dict(list(classes.items())[:100])}
    if share > 0:
        return Check(
            name, False, total, f"{message}: copies of training examples are no unseen classes. Remove them", details
        )
    return Check(name, True, total, f"{message}: no more than chance or accident", details)


def near_support(sampler: Sampler, episodes: Episode) -> Check:
    """Query rows that are nearly a row of their own support, against what lies between examples of a class."""
    name = "support and query apart"
    if isinstance(sampler, UnsupervisedSampler):
        return Check(name, None, None, "support and query are distorted copies of the same pictures by design")
    pool = getattr(sampler, "pool", None)
    shape = tuple(episodes.support.x.shape[2:]) if isinstance(episodes.support.x, Tensor) else ()
    if not isinstance(pool, Pool) or pool.shape != shape or int(pool.counts.max()) < 2:
        return Check(name, None, None, "the sampler draws no examples from a pool")
    few = pool.take(range(0, len(pool), max(1, len(pool) // 64)))
    rows = _of_pool(few)
    if rows.features.shape[1] < _ENTRIES:
        return Check(name, None, None, "rows of so few numbers are not compared")
    inside = _within(rows)
    if not len(inside):
        return Check(name, None, None, "no class has two examples that are not blank")
    usual = inside.median().item()
    chance = (inside < RATIO * usual).double().mean().item()
    near = count = 0
    for i in range(tree.length(episodes)):
        support, query = (_features(_real(batch), pool) for batch in tree.slice(episodes, i))
        distance = torch.cdist(query, support).amin(1)
        distance = distance[query.any(1)]  # a blank one is as near to every other
        near += int((distance < RATIO * usual).sum())
        count += len(distance)
    share = near / max(count, 1)
    message = f"{near} of {count:,} query rows are nearly a row of their own support"
    if share > SHARED_ROWS + 3 * chance:
        message += (
            " (copies, or the same example under an augmentation): the sampler shows the answers. Draw examples once"
        )
        return Check(name, False, share, message)
    return Check(name, True, share, message)


def _real(batch: Batch) -> Tensor:
    """Rows of one task that are no padding, with a label or without."""
    assert isinstance(batch.x, Tensor)
    return batch.x if batch.mask is None else batch.x[batch.mask]


def _of_pool(pool: Pool) -> _Rows:
    real = torch.arange(pool.data.shape[1]) < pool.counts[:, None]
    owner = torch.arange(len(pool))[:, None].expand_as(real)[real]
    parts = zip(pool.data, pool.counts.tolist(), strict=True)
    features = torch.cat([_features(pool.as_float(rows[:n]), pool) for rows, n in parts])
    filled = features.any(1)  # blank ones are as near to every other
    names = tuple(map(base_name, pool.names))
    return _Rows(features[filled].cpu(), owner[filled.cpu()], names)


def _features(x: Tensor, pool: Pool) -> Tensor:
    """[n, entries]: pictures small, grey, and of one brightness and contrast; anything else as it is."""
    x = x.float()
    if len(pool.shape) == 3 and pool.shape[0] in (1, 3) and min(pool.shape[1:]) > 1:
        grey = x.mean(1, keepdim=True)
        height, width = (min(_SIDE, n) for n in pool.shape[1:])
        x = F.adaptive_avg_pool2d(grey, (height, width)).flatten(1)
        x = x - x.mean(1, keepdim=True)
        size = x.norm(dim=1, keepdim=True)
        return torch.where(size > 1e-4, x / size.clamp_min(1e-12), 0)
    return x.flatten(1)


def _thinned(small: _Rows, large: _Rows) -> tuple[_Rows, _Rows]:
    """Every n-th row, so that comparing takes about a second."""
    budget = _PAIRS * 64 / max(64, small.features.shape[1])
    ours = small
    if len(small.owner) * len(large.owner) > budget:
        ours = _every(small, max(1, round(len(small.owner) * len(large.owner) / budget)))
    if len(ours.owner) < 512:
        ours = _every(small, max(1, len(small.owner) // 512))
        large = _every(large, max(1, round(len(ours.owner) * len(large.owner) / budget)))
    return ours, large


def _every(rows: _Rows, n: int) -> _Rows:
    return _Rows(rows.features[::n], rows.owner[::n], rows.names)


def _nearest(ours: _Rows, theirs: _Rows, of_other_classes: bool = False) -> tuple[Tensor, Tensor]:
    """Distance of every row to the nearest of others, and its number."""
    distances, indices = [], []
    for start in range(0, len(ours.owner), _CHUNK):
        part = slice(start, start + _CHUNK)
        gaps = torch.cdist(ours.features[part], theirs.features)
        if of_other_classes:
            gaps.masked_fill_(ours.owner[part, None] == theirs.owner, torch.inf)
        distance, index = gaps.min(1)
        distances.append(distance)
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def _within(rows: _Rows) -> Tensor:
    """Distance of every row to the nearest other one of its class; empty where there is none."""
    return torch.cat([torch.empty(0), *_each(rows)])


def _each(rows: _Rows) -> Iterator[Tensor]:
    for owner in rows.owner.unique():
        own = rows.features[rows.owner == owner]
        if len(own) > 1:
            gaps = torch.cdist(own, own)
            yield gaps.fill_diagonal_(torch.inf).amin(1)
