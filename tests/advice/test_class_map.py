"""Maps of classes: who is near, who helps."""

import torch

from innerloop.advice.class_map import class_map


def test_a_map_says_which_classes_are_near_and_who_helps():
    means = torch.tensor([[1.0, 0.0, 0.0], [0.96, 0.28, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    labels = torch.arange(4).repeat_interleave(5)
    rows = means[labels] + 0.02 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    found = class_map(rows, labels, ("a", "b", "c", "d"), held=[1])
    assert set(found.hardest) == {"a", "b"}
    assert found.rivals[:2] == ("b", "a")
    assert found.helpers == (("b", "a"),)
    assert found.unlike is not None
    assert found.unlike < found.apart
    assert found.rival < found.apart
    assert class_map(rows, labels, ("a", "b", "c", "d"), held=[]).unlike is None
