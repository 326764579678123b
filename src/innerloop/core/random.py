"""Counter-based randomness: every number is a function of a key, whatever the chunk, plan or rank.

Murmur3's 32-bit finaliser held in int64 (a 64-bit splitmix under `torch.compile` corrupts the heap), so the same
code runs eagerly, under `vmap` and compiled, on any device. Keys are [] int64 tensors below 2**32.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def _multiply(x: Any, factor: int) -> Any:
    """`x * factor mod 2**32` without leaving int64: a large factor is taken as the negative number it equals there."""
    return (x * (factor if factor < 2**31 else factor - 2**32)) & _MASK


def _scramble(x: Any) -> Any:
    """Murmur3's finaliser of a tensor, or as well of an int."""
    x = _multiply(x ^ (x >> 16), 0x85EBCA6B)
    x = _multiply(x ^ (x >> 13), 0xC2B2AE35)
    return x ^ (x >> 16)


def fold(key: Tensor, n: int | Tensor) -> Tensor:
    """A new key from a key and a number (or tensor of numbers); broadcasts."""
    return _scramble((_multiply(key, 0x9E3779B1) + (_scramble(n & _MASK) + 0x7F4A7C15)) & _MASK)


def mix(seed: int | Tensor, index: int | Tensor) -> Tensor:
    """The key of episode `index` of `seed`; both are read as 64-bit, in two 32-bit halves."""
    key = torch.full((), 0x2545F491, dtype=torch.int64)
    for number in (torch.as_tensor(seed), torch.as_tensor(index)):
        key = fold(fold(key, number & _MASK), (number >> 32) & _MASK)
    return key


def bits(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform 32-bit integers, [*key.shape, *shape] int64; with the shape () one for each key."""
    counter = torch.arange(math.prod(shape), dtype=torch.int64, device=key.device)
    return fold(key[..., None], counter).reshape((*key.shape, *shape))


def uniform(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform in [0, 1), 24 random bits each."""
    return (bits(key, shape) >> 8).to(dtype) * (2.0**-24)


def normal(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal by Box and Muller (1958)."""
    u = uniform(fold(key, 1), shape, torch.float64)
    v = uniform(fold(key, 2), shape, torch.float64)
    return (torch.sqrt(-2.0 * torch.log1p(-u)) * torch.cos(2.0 * math.pi * v)).to(dtype)


def symmetric_beta(key: Tensor, a: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A number of Beta(a, a) for each key, a > 0: without rejection, by Student's t (Devroye 1996, Bailey 1994)."""
    p = uniform(fold(key, 1), (), torch.float64) ** (1 / a)
    cosine = torch.cos(2.0 * math.pi * uniform(fold(key, 2), (), torch.float64))
    return (0.5 + 0.5 * torch.sqrt(1 - p) * cosine / torch.sqrt(p + (1 - p) * cosine.square())).to(dtype)


def permutation(key: Tensor, n: int) -> Tensor:
    """A uniform permutation of `0..n-1`, [*key.shape, n] int64; the position breaks ties."""
    shift = max(n - 1, 1).bit_length()
    position = torch.arange(n, dtype=torch.int64, device=key.device)
    return torch.argsort((bits(key, (n,)) << shift) | position, dim=-1)
