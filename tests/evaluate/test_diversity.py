import math

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.diversity import alike, diverse

VECTORS = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.9, 0.1]])
SCORES = torch.tensor([3.0, 2.9, 1.0, 2.0])


def test_without_weight_it_is_the_order_of_the_scores():
    assert diverse(SCORES, VECTORS, 3, 0.0) == [0, 1, 3] and diverse(SCORES, VECTORS, 9, 0.0) == [0, 1, 3, 2]


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.8])
def test_each_is_the_best_of_what_is_left_by_the_rule_written_out(weight):
    generator = torch.Generator().manual_seed(3)
    scores, vectors = torch.rand(12, generator=generator), torch.randn(12, 4, generator=generator)
    units, worth = vectors / vectors.norm(dim=1, keepdim=True), (scores - scores.min()) / (scores.max() - scores.min())
    chosen = []
    for _ in range(5):
        rest = [i for i in range(12) if i not in chosen]
        nearest = {i: max((float(units[i] @ units[j]) for j in chosen), default=0.0) for i in rest}
        chosen.append(max(rest, key=lambda i: (1 - weight) * float(worth[i]) - weight * nearest[i]))
    assert diverse(scores, vectors, 5, weight) == chosen


def test_weight_buys_variety():
    assert diverse(SCORES, VECTORS, 2, 0.6) == [0, 2]
    assert alike(VECTORS[[0, 2]]) == pytest.approx(0, abs=1e-5) and alike(VECTORS[[0, 1]]) > 0.99
    assert math.isnan(alike(VECTORS[:1]))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="from 0 to 1"):
            diverse(SCORES, VECTORS, 2, wrong)
