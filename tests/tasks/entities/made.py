"""Sentences that hypothesis makes."""

from hypothesis import strategies as st

from innerloop.tasks.entities.sentences import Sentence, Span

_WORD = st.one_of(
    st.sampled_from(["Ada", "met", "#", "# x", "O", "B-x", "-DOCSTART-", "don't", "\u200d", "a b", "\ufeff", "北"]),
    st.text(min_size=1, max_size=4),
)
_TYPE = st.sampled_from(["person", "place", "field of study", "x-y", "O"])


@st.composite
def sentence(draw: st.DrawFn) -> Sentence:
    """Words with entities that do not overlap; some have no words."""
    words, spans, start = draw(st.lists(_WORD, max_size=6)), list[Span](), 0
    while start < len(words):
        end = draw(st.integers(start + 1, len(words)))
        if draw(st.booleans()):
            spans.append(Span(start, end, draw(_TYPE)))
        start = end
    return Sentence(tuple(words), tuple(spans))


def sentences() -> st.SearchStrategy[list[Sentence]]:
    """A file of them."""
    return st.lists(sentence(), min_size=1, max_size=4)
