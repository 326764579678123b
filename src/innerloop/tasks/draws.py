"""What samplers draw: the numbers of `core.random`, bit for bit, in NumPy.

A meta-batch of episodes needs some 40,000 random integers through a dozen operations each. NumPy's unsigned 32-bit
integers wrap around by themselves, take half of the memory of the int64 that `core.random` needs to be traced and
compiled, and cost a tenth of the time.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.plain import is_whole, plain
from innerloop.tasks.pool import Pool

Keys = NDArray[np.uint32]
Numbers = NDArray[np.int64]

VERSION = 1
"""Counted up where a release draws other episodes from the same data."""
_MASK, _START = 0xFFFFFFFF, 0x2545F491


@functools.lru_cache(8)
def keys(seed: int, first: int, count: int) -> Keys:
    """As `random.mix`: [count] keys of `seed` and `first .. first + count - 1`, read-only.

    Raises:
        InputError: They are no whole numbers, or the count is negative.
    """
    if not is_whole(plain(seed)) or not is_whole(plain(first)) or not is_whole(plain(count), 0):
        raise InputError(
            f"episodes are asked for by whole numbers, got seed {seed!r}, first {first!r} and count {count!r}"
        )
    index = np.arange(first, first + count, dtype=np.int64)
    low, high = (index & _MASK).astype(np.uint32), (index >> 32 & _MASK).astype(np.uint32)
    key = fold(fold(np.full(1, _START, np.uint32), seed & _MASK), seed >> 32 & _MASK)
    key = fold(fold(key, low), high)
    key.setflags(write=False)  # it is handed out again
    return key


def fold(key: Keys, n: int | NDArray) -> Keys:
    """As `random.fold`: a new key from a key and a number, or an array of uint32."""
    return _scramble(_linear(key) + (_number(n) if isinstance(n, int) else _scramble(n.astype(np.uint32))))


def bits(key: Keys, count: int) -> Keys:
    """As `random.bits`: [*key.shape, count] uniform 32-bit integers."""
    return _scramble(_linear(key)[..., None] + _counters(count))


def uniform(key: Keys, count: int) -> NDArray[np.float32]:
    """As `random.uniform`: [*key.shape, count] numbers in [0, 1)."""
    return (bits(key, count) >> 8).astype(np.float32) * np.float32(2.0**-24)


def tensor(key: Keys) -> Tensor:
    """Keys as `core.random` takes them."""
    return from_numpy(key.astype(np.int64))


def permutation(key: Keys, n: int) -> Numbers:
    """As `random.permutation`: [*key.shape, n] a uniform permutation of `0 .. n-1`."""
    return _smallest(key, n, n, max(n - 1, 1).bit_length(), None)


def choose(key: Keys, size: int, k: int, among: NDArray | None = None) -> Numbers:
    """`k` of `0 .. among-1` in random order without replacement, [*key.shape, k].

    Args:
        key: [...] keys.
        size: Static bound of `among`.
        k: At most the least `among`.
        among: [...] how many there are to choose from; None: `size`.
    """
    return _smallest(key, size, k, size.bit_length(), among)


def between(key: Keys, low: int, high: int | Numbers) -> Numbers:
    """A uniform number of `low .. high` for each key."""
    return low + ((bits(key, 1)[..., 0].astype(np.int64) * (high - low + 1)) >> 32)


def _smallest(key: Keys, size: int, k: int, shift: int, among: NDArray | None) -> Numbers:
    """Positions of the `k` smallest of `size` random numbers, in their order; of equal ones the first."""
    position = np.arange(size)
    order = np.multiply(bits(key, size), 1 << shift, dtype=np.int64)
    order |= position
    if among is not None:
        order[position >= among[..., None]] = np.iinfo(np.int64).max
    if k < size // 2:
        order = np.partition(order, k - 1, axis=-1)[..., :k]
    order.sort(axis=-1)
    return order[..., :k] & ((1 << shift) - 1)


def _linear(key: Keys) -> Keys:
    return key * np.uint32(0x9E3779B1) + np.uint32(0x7F4A7C15)


@functools.lru_cache
def _number(n: int) -> Keys:
    return _scramble(np.full(1, n, np.uint32))


@functools.lru_cache
def _counters(count: int) -> Keys:
    return _scramble(np.arange(count, dtype=np.uint32))


def _scramble(x: Keys) -> Keys:
    """The finaliser of MurmurHash3, in place."""
    x ^= x >> 16
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> 13
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> 16
    return x


def drawn_from(pool: Pool) -> dict[str, object]:
    """What samplers of a pool say of it in `describe`, and of the version of these draws."""
    return {
        "dataset": pool.dataset,
        "split": pool.split,
        "class_hash": pool.class_hash,
        "data": pool.digest,
        "draws": VERSION,
        "classes": len(pool),
        "shape": list(pool.shape),
    }
