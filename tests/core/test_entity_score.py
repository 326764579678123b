"""Entity F1 against seqeval, which has its own loops over tags."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from innerloop.core.scores import EntityF1, measured, named
from innerloop.core.types import Batch

_CLASSES = 4
_LABELS = st.integers(0, _CLASSES - 1)
_SENTENCE = st.lists(st.tuples(_LABELS, _LABELS), min_size=1, max_size=8)


def _flat(sentences: list[list[tuple[int, int]]], length: int) -> tuple[Tensor, Batch]:
    """Logits and a batch whose sentences have a masked row between; what stands in masked rows must not matter."""
    rows = [row for sentence in sentences for row in [*sentence, None]]
    rows += [None] * (length - len(rows))
    gold, predicted = (torch.tensor([1 if row is None else row[i] for row in rows]) for i in (0, 1))
    mask = torch.tensor([row is not None for row in rows])
    return torch.eye(_CLASSES)[predicted], Batch(torch.zeros(length, 1), gold, mask)


def _tags(sentences: list[list[tuple[int, int]]], which: int) -> list[list[str]]:
    return [[f"I-{row[which]}" if row[which] else "O" for row in sentence] for sentence in sentences]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(_SENTENCE, min_size=1, max_size=4), min_size=1, max_size=3))
def test_it_is_seqevals(episodes: list[list[list[tuple[int, int]]]]):
    score = EntityF1()
    length = max(sum(len(s) + 1 for s in sentences) for sentences in episodes)
    flat = [_flat(sentences, length) for sentences in episodes]
    outputs = torch.stack([logits for logits, _ in flat])
    x, y, mask = (torch.stack(leaves) for leaves in zip(*(batch[:3] for _, batch in flat), strict=True))
    counts = torch.vmap(lambda o, *leaves: score.of(o, Batch(*leaves)))(outputs, x, y, mask)  # type: ignore[arg-type]
    for number, (logits, batch) in enumerate(flat):
        assert torch.equal(counts[number], measured(score, logits, batch))
        gold, predicted = (set(get_entities(_tags(episodes[number], i))) for i in (0, 1))
        assert counts[number].tolist() == [len(gold & predicted), len(predicted), len(gold)]
    sentences = [sentence for episode in episodes for sentence in episode]
    if counts[:, 1:].sum() > 0:
        wanted = f1_score(_tags(sentences, 0), _tags(sentences, 1), zero_division=0)  # pyright: ignore[reportArgumentType]
        assert score.total(counts) == pytest.approx(wanted)


def test_nothing_to_find_and_nothing_found_is_zero_and_has_an_interval():
    score = named("entity_f1")
    assert score.total(torch.zeros(2, 3)) == 0.0
    counts = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, 4.0]])
    mean, ci95 = score.interval(counts)
    assert mean == pytest.approx(8 / 11) and ci95 > 0


def test_an_unlabelled_row_ends_a_run():
    outputs = torch.eye(2)[torch.ones(3, dtype=torch.long)]
    assert EntityF1().of(outputs, Batch(torch.zeros(3, 1), torch.tensor([1, -1, 1]))).tolist() == [2, 2, 2]
