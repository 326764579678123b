"""Checks of a sampler and of splits: label order, support against query, classes and pictures shared between splits."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from innerloop.audit.check import Check, rowwise
from innerloop.core import tree
from innerloop.core.types import Episode, Sampler
from innerloop.tasks import Pool, UnsupervisedSampler
from innerloop.tasks.pool import base_name

SHARED_ROWS = 1e-3
"""Part of the query rows that may equal a support row, and of a split's examples that may be in another split too.

Real data hold a few exact duplicates: Omniglot one pair in 32,460 drawings, 20,000 pictures of Tiny ImageNet one.
Bugs share more: drawing with replacement one row in the size of a class, `query = support` all."""
Z_LIMIT = 4.75
"""Limit of a standard normal: chance exceeds it once in a million."""
_EPISODES = 2000
_SPARE_CLASSES = 2


def label_order(sampler: Sampler) -> Check:
    """Whether every class gets every label: chi-square of class x label over many episodes, at p < 1e-6.

    The sampler draws from only a few of its classes, so that each is seen with each label often enough, and their
    examples are replaced by the number of the class: the episodes themselves tell which class has which label. They
    become one group, since a few classes are not enough for more.
    """
    name = "label order"
    pool = getattr(sampler, "pool", None)
    if not isinstance(pool, Pool) or not is_dataclass(sampler):
        return Check(name, None, None, "the sampler draws no classes from a pool")
    if isinstance(sampler, UnsupervisedSampler):
        return Check(name, None, None, "labels are those of pictures, in the order they were drawn")
    ways = len(tree.flatten(sampler.episodes(0, 1).support.classes)[0][0])
    if ways < 2:
        return Check(name, None, None, "one way has one order")
    wanted = ways + getattr(sampler, "distractors", 0) + _SPARE_CLASSES
    few = pool.take(range(min(len(pool), wanted)))
    numbers = torch.arange(len(few), dtype=torch.float32)[:, None, None].expand(-1, few.data.shape[1], 1)
    names = tuple(map(str, range(len(few))))
    few = replace(few, data=numbers, names=names, groups=("",) * len(few))
    numbered: Any = replace(sampler, pool=few)  # pyright: ignore[reportArgumentType]
    classes = _classes_by_label(numbered.episodes(0, _EPISODES), ways)
    if not len(classes):
        return Check(name, None, None, "no episode shows all of its labels")
    z = _chi_square(classes)
    if z > Z_LIMIT:
        message = (
            f"labels depend on the class ({z:.0f} standard deviations from chance): a network can learn the classes by "
            "heart. Labels must follow the random order in which an episode's classes were drawn"
        )
        return Check(name, False, z, message)
    message = f"classes and labels are independent over {len(classes)} episodes ({z:+.1f} standard deviations)"
    return Check(name, True, z, message)


def disjoint_episodes(episodes: Episode) -> Check:
    """Support against query of every episode, by content hash; rows of one repeated value are left out."""
    name = "support and query disjoint"
    if not rowwise(episodes.query):
        return Check("support and query disjoint", None, None, "tasks have no rows: both are of one function")
    shared = rows = 0
    for i in range(tree.length(episodes)):
        support, query = tree.slice(episodes, i)
        known = set(_hashes(support.x, support.mask)) - {None}
        digests = list(_hashes(query.x, query.mask))
        rows += len(digests)
        shared += sum(digest in known for digest in digests)
    part = shared / max(rows, 1)
    message = f"{shared} of {rows:,} query rows are in their own support"
    if part > SHARED_ROWS:
        message += (
            f" (at most {SHARED_ROWS:.1%} can be duplicates in the data): the sampler shows the answers. Draw support "
            "and query without replacement, and remove duplicates from the data"
        )
    return Check(name, part <= SHARED_ROWS, part, message)


def class_overlap(splits: Mapping[str, Pool]) -> Check:
    """Class names that two splits of one data set share; a rotation counts as the class it came from."""
    shared: list[str] = []
    count = 0
    for (first, a), (second, b) in combinations(splits.items(), 2):
        bases = [set(map(base_name, pool.names)) for pool in (a, b)]
        both = sorted(bases[0] & bases[1]) if a.dataset == b.dataset else []
        count += len(both)
        shared += [f"{len(both)} in {first} and {second}, such as '{both[0]}'"] if both else []
    sizes = ", ".join(f"{name} {len(pool.names)}" for name, pool in splits.items())
    message = f"no class is in two splits ({sizes} classes)"
    if shared:
        where = "; ".join(shared)
        message = (
            f"classes in two splits ({where}): the classes of meta-test must be new. Split by class, not by example"
        )
    return Check("split overlap", not shared, count, message)


def duplicate_images(splits: Mapping[str, Pool]) -> Check:
    """Examples that are, byte for byte, in two splits. Blank ones (a single value throughout) are counted apart.

    A few are allowed, as many as `SHARED_ROWS` of the smallest split, and any number within one split, whose harm
    `disjoint_episodes` bounds: both are reported.
    """
    places: dict[bytes, set[str]] = {}
    copies, blank = Counter[str](), 0
    for split, pool in splits.items():
        for digest in _pool_hashes(pool):
            if digest is None:
                blank += 1
                continue
            where = places.setdefault(digest, set())
            copies[split] += split in where
            where.add(split)
    shared = Counter(" and ".join(where) for where in map(sorted, places.values()) if len(where) > 1)
    total = sum(shared.values())
    notes = [f"{n} copies within {split}" for split, n in copies.items() if n] + ([f"{blank} blank"] if blank else [])
    aside = f" ({', '.join(notes)})" if notes else ""
    message = f"no example is in two splits{aside}"
    limit = SHARED_ROWS * min(int(pool.counts.sum()) for pool in splits.values())
    if total:
        where = ", ".join(f"{n} in {pair}" for pair, n in shared.items())
        advice = "remove them from one before testing" if total > limit else "few enough to be incidental"
        message = f"{total} examples are in two splits, {where}{aside}: {advice}"
    return Check("duplicate images", total <= limit, total, message)


def _classes_by_label(episodes: Episode, ways: int) -> Tensor:
    """[episodes, ways] the class that each label stands for, of the episodes that have all labels."""
    support = episodes.support
    number = tree.flatten(support.x)[0].flatten(1).round().long()  # [episodes, n]
    match = support.y[:, None, :] == torch.arange(ways)[:, None]  # [episodes, ways, n]
    return number.gather(1, match.long().argmax(-1))[match.any(-1).all(-1)]


def _chi_square(classes: Tensor) -> float:
    """How far the counts of class x label are from independence, in standard deviations.

    Labels of one episode exclude each other, so the statistic is not the textbook one: with C classes to draw from,
    the counts centred over labels have covariance `episodes / (C - 1)` times a projection of rank (C - 1)(ways - 1).
    That is a chi-square, brought to a normal by Wilson and Hilferty (1931).

    Args:
        classes: [episodes, ways] class of each label.
    """
    episodes, ways = classes.shape
    names, index = classes.unique(return_inverse=True)  # [C], [episodes, ways]
    if len(names) == 1:
        return 0.0
    cells = torch.bincount((index * ways + torch.arange(ways)).flatten(), minlength=len(names) * ways)
    table = cells.view(len(names), ways).double()
    freedom = (len(names) - 1) * (ways - 1)
    statistic = (table - table.mean(1, keepdim=True)).square().sum().item() * (len(names) - 1) / episodes
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / spread**0.5


def _pool_hashes(pool: Pool) -> Iterator[bytes | None]:
    for rows, count in zip(pool.data, pool.counts.tolist(), strict=True):
        yield from _hashes(rows[:count], None)


def _hashes(x: Tensor | dict[str, Tensor], mask: Tensor | None) -> Iterator[bytes | None]:
    """Content hash of every real row; None for rows of one repeated value."""
    leaves = [leaf.detach().cpu().numpy() for leaf in tree.flatten(x)]
    real = range(len(leaves[0])) if mask is None else mask.nonzero().flatten().tolist()
    for i in real:
        rows = [leaf[i] for leaf in leaves]
        if all(row.size > 1 and row.min() == row.max() for row in rows):
            yield None
        else:
            yield hashlib.blake2b(b"".join(row.tobytes() for row in rows), digest_size=16).digest()
