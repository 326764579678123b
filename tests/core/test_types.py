import pytest
import torch

from innerloop.core.types import Batch, joined, picked
from tests.problems import inputs

SIX = Batch(torch.arange(6.0)[:, None], torch.tensor([0, 1, 2, 0, 1, 2]), key=torch.tensor(7))
TWO = Batch(torch.ones(2, 1), torch.tensor([1, -1]), key=torch.tensor(8))


def test_rows_come_one_after_another_and_the_first_key_stays():
    rows = joined(SIX, TWO)
    assert inputs(rows).shape == (8, 1) and rows.y.tolist() == [0, 1, 2, 0, 1, 2, 1, -1]
    assert rows.mask is None and rows.classes is None and rows.key == 7


@pytest.mark.parametrize("first", [True, False])
def test_rows_without_a_mask_are_real(first):
    masked = TWO._replace(mask=torch.tensor([True, False]))
    rows = joined(masked, SIX) if first else joined(SIX, masked)
    assert rows.mask is not None
    assert rows.mask.tolist() == [True, False] + [True] * 6 if first else [True] * 7 + [False]


def test_classes_are_those_of_both():
    some, others = torch.tensor([True, False, True]), torch.tensor([False, False, True])
    classes = joined(SIX._replace(classes=some), TWO._replace(classes=others)).classes
    assert classes is not None and classes.tolist() == [True, False, True]
    assert joined(SIX, TWO._replace(classes=others)).classes is others


def test_inputs_of_several_parts_are_joined_part_by_part():
    six, two = ({"a": inputs(batch), "b": inputs(batch)[:, 0]} for batch in (SIX, TWO))
    x = joined(SIX._replace(x=six), TWO._replace(x=two)).x
    assert isinstance(x, dict)
    assert {k: tuple(v.shape) for k, v in x.items()} == {"a": (8, 1), "b": (8,)}


@pytest.mark.parametrize("rows", [torch.tensor([0, 4]), torch.tensor([True, False, False, False, True, False])])
def test_some_rows_are_picked_with_all_that_is_said_of_each(rows):
    batch = SIX._replace(mask=torch.arange(6) > 0, weight=torch.arange(6.0) + 1)
    two = picked(batch, rows)
    assert inputs(two).flatten().tolist() == [0, 4] and two.y.tolist() == [0, 1] and two.key == 7
    assert two.mask is not None and two.mask.tolist() == [False, True]
    assert two.weight is not None and two.weight.tolist() == [1, 5]
    assert picked(SIX, rows).weight is None
