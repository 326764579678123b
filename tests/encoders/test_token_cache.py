from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import TokenRows, readable
from innerloop.encoders.whitening import Whitened, Whitening


@dataclass
class Letters:
    """Rows of a word: its length and its first letters' numbers."""

    name: str = "letters:1"
    features: int = 3
    seen: list[int] = field(default_factory=list)

    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        words = [word for sentence in readable(sentences) for word in sentence]
        self.seen.extend(len(sentence) for sentence in sentences)
        rows = torch.tensor([[len(word), ord(word[0]), 1 / len(word)] for word in words]).reshape(-1, self.features)
        return TokenRows(rows, torch.tensor([len(sentence) for sentence in sentences]))


SENTENCES = [["the", "cat"], ["a"], [], ["one", "two", "three"]] * 40


def test_sentences_are_encoded_once_in_half_precision(tmp_path):
    context, encoder = Context(cache=tmp_path), Letters()
    first, again = rows_of(encoder, SENTENCES, context), rows_of(encoder, SENTENCES, context)
    assert len(encoder.seen) == len(SENTENCES)
    assert encoder.seen == sorted(encoder.seen)  # those of like length go through together
    assert torch.equal(first.rows, again.rows) and first.rows.dtype == torch.float32
    assert first.lengths.tolist() == [len(sentence) for sentence in SENTENCES] == again.lengths.tolist()
    assert torch.equal(first.rows, Letters().encode(SENTENCES).rows.half().float())
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("words-letters-1-") and file.suffix == ".npz"


def test_other_sentences_and_other_encoders_are_encoded_anew(tmp_path):
    context, encoder = Context(cache=tmp_path), Letters()
    others = [["a", "b"], ["c"]], [["a"], ["b", "c"]], [["a", "b", "c"]], [["ab"], ["c"]], [[], ["a", "b"], ["c"]]
    for number, sentences in enumerate(others, 1):
        rows_of(encoder, sentences, context)
        assert len(list(tmp_path.iterdir())) == number
    rows_of(Letters(name="letters:2"), others[0], context)
    rows_of(Letters(name="gliner:/a/folder"), others[0], context)
    assert len(list(tmp_path.iterdir())) == len(others) + 2


def test_whitened_rows_are_made_of_kept_ones(tmp_path):
    context, encoder = Context(cache=tmp_path), Letters()
    rows = rows_of(encoder, SENTENCES, context).rows
    whitening = Whitening.fit(rows, ["x" if row[0] > 2 else "y" for row in rows])
    whitened = rows_of(Whitened(encoder=encoder, whitening=whitening), SENTENCES, context).rows
    assert torch.equal(whitened, whitening.apply(rows)) and len(encoder.seen) == len(SENTENCES)


def test_nothing_is_kept_of_what_cannot_be_encoded(tmp_path):
    with pytest.raises(InputError, match="word 0 of sentence 1 is empty"):
        rows_of(Letters(), [["a"], [" "]], Context(cache=tmp_path))
    assert rows_of(Letters(), [], Context(cache=tmp_path)).rows.shape == (0, 3)
