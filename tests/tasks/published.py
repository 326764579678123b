"""Tiny files in the formats of MNIST and SVHN, as their publishers write them."""

import gzip
import struct
from pathlib import Path

import numpy as np

PARTS = {"train": "train", "test": "t10k"}


def digits(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures of each digit, a bright block where that digit has it, and noise; [n, size, size] and [n]."""
    rng, y = np.random.default_rng(seed), np.repeat(np.arange(10), count)
    x = rng.integers(0, 60, (len(y), size, size))
    for row, digit in zip(x, y, strict=True):
        top, left = divmod(int(digit), 5)
        row[size // 8 + top * size // 2 :, left * size // 5 :][: size // 4, : size // 5] += 180
    order = rng.permutation(len(y))
    return x[order].astype(np.uint8), y[order]


def idx(path: Path, array: np.ndarray, packed: bool = True) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def mnist(folder: Path, part: str, count: int = 6, packed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """One part of MNIST in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = digits(count, 28, len(part))
    end = ".gz" if packed else ""
    idx(folder / f"{PARTS[part]}-images-idx3-ubyte{end}", x, packed)
    idx(folder / f"{PARTS[part]}-labels-idx1-ubyte{end}", y.astype(np.uint8), packed)
    return x, y


def svhn(folder: Path, part: str, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """One part of SVHN in a folder; as there, 0 is written as 10, and labels are a column."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    grey, y = digits(count, 32, 7)
    x = np.stack([255 - grey, grey, grey // 2], -1).transpose(1, 2, 3, 0)
    savemat(folder / f"{part}_32x32.mat", {"X": x, "y": np.where(y == 0, 10, y).astype(np.uint8)[:, None]})
    return x, y
