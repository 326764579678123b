"""What turns the words of sentences into rows, one row a word, beside `Encoder`, which makes one row a sentence."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class TokenRows(NamedTuple):
    """Rows of sentences that lie one after another."""

    rows: Tensor  # [words, features] float32
    lengths: Tensor  # [sentences] int64, how many words each has

    def split(self) -> tuple[Tensor, ...]:
        """The rows of each sentence, [words, features]."""
        return self.rows.split(self.lengths.tolist())


class TokenEncoder(Protocol):
    """A frozen network. `encode` may be called from many threads at once."""

    @property
    def name(self) -> str:
        """How it is asked for again, such as `minilm:3`: network and layer."""
        ...

    @property
    def features(self) -> int:
        """Length of a row."""
        ...

    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words in their sentence.

        Raises:
            InputError: A word is empty or cannot be read.
        """
        ...
