"""`wordllama`: English sentences to 256 features: the mean of word vectors out of a language model (Miller 2024).

The vectors (MIT) and their tokenizer lie in the package `wordllama`, which is not imported: all that it would do here
is to add vectors up. https://github.com/dleemiller/WordLlama
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.core.objectives import normalize
from innerloop.core.texts import Kind, readable
from innerloop.encoders import named
from innerloop.encoders.base import Encoder, Raw
from innerloop.engine.checkpoint import read_tensors
from innerloop.evaluate.calibration import Calibration

KIND: Kind = "texts"
ABOUT = "English texts: means of WordLlama's word vectors, 256 features, the fastest"
PACKAGE = "wordllama"
EXTRA = "wordllama"
CALIBRATION = Calibration(temperature=0.053, source="meta-validation")
"""For tasks too small to be calibrated on themselves: fitted as that of `use_multilingual`; the error is 1 to 2% from 5
ways to 20 (`python -m benchmarks.encoders wordllama`)."""
_VECTORS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_EMPTY = [0]
"""What is seen of a text without words: the vector of what is unknown."""


class WordLlama:
    """The table of word vectors."""

    kind: Kind = KIND
    features: int = 256

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        try:
            self._vectors = read_tensors(folder / _VECTORS)[0]["embedding.weight"].float()
            self._tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        except Exception as error:  # of two libraries that say it each in its own way
            raise InputError(
                f"the package wordllama in {folder} is of another release ({error}): 0.4 is read"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name, and read once in each.
        return named, ("wordllama",)

    def encode(self, examples: Raw) -> Tensor:
        words = self._tokenizer.encode_batch(readable(examples), add_special_tokens=False)
        # One by one: a row does not depend on the other texts.
        rows = [self._vectors[one.ids or _EMPTY].mean(0) for one in words]
        return normalize(torch.stack(rows)) if rows else torch.zeros(0, self.features)


def load() -> Encoder:
    """Read the vectors.

    Raises:
        InputError: The package is missing, or of another release.
    """
    require(PACKAGE, "wordllama", EXTRA)
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    return WordLlama(Path(spec.submodule_search_locations[0]))
