"""An encoder of words in the place of `minilm:3`, in which capitals and endings are what a type shows."""

import pytest
import torch

from innerloop.apps.ner import sources
from innerloop.encoders import tokens
from innerloop.encoders.tokens import TokenRows, readable

TYPES = ("org", "person", "place")
_MARKS = ("org", "son", "burg")
FEATURES = 8


class Endings:
    """Rows say how a word ends, a little how it is written, and a little which word comes before."""

    name = "minilm:3"
    features = FEATURES

    def encode(self, sentences):
        rows = []
        for words in readable(sentences):
            before = 0.0
            for word in words:
                own = [3.0 * word.lower().endswith(mark) for mark in _MARKS]
                own += [float(word[0].isupper()), len(word) / 20, 1.0, before, sum(map(ord, word)) % 7 / 20]
                before = 0.3 * word[0].isupper()
                rows.append(own)
        lengths = torch.tensor([len(words) for words in sentences], dtype=torch.int64)
        return TokenRows(torch.tensor(rows).reshape(-1, FEATURES), lengths)


@pytest.fixture
def endings(monkeypatch):
    """The encoder under the name of the real one, which is not loaded."""
    encoder = Endings()
    monkeypatch.setattr(tokens, "named", lambda name: encoder)
    monkeypatch.setattr(sources, "SOURCE", "minilm:3")  # the shipped run takes longer rows
    monkeypatch.setattr(tokens, "names", lambda: {"minilm:3": "words by their endings", "minilm:6": "likewise"})
    return encoder


SENTENCES = (
    ["Anderson", "Peterson", "left", "Hamburg", "for", "Salzburg", "."],
    ["the", "Megaorg", "of", "Wilson", "is", "in", "Freiburg"],
    ["nothing", "is", "here", "."],
)
TAGS = (
    ["B-person", "I-person", "O", "B-place", "O", "B-place", "O"],
    ["O", "B-org", "O", "B-person", "O", "O", "B-place"],
    ["O", "O", "O", "O"],
)
ASKED = ["in", "Magdeburg", "Jackson", "Ericson", "met", "Miniorg"]
ANSWER = ["O", "B-place", "B-person", "I-person", "O", "B-org"]
