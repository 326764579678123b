import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.rows import Rows
from tests.fewshot.test_heads import rows, words


def blurred(shots, seed):
    x, y = rows(ways=5, shots=shots, seed=seed, loud=1.0)
    return x + 2.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1000 + seed)), y


@pytest.mark.parametrize("coverage", [0.7, 0.9])
def test_sets_hold_the_right_class_as_often_as_promised_and_are_small(coverage):
    held, sizes, rejoined = [], [], []
    for seed in range(6):
        x, y = blurred(shots=16, seed=seed)
        queries, truth = blurred(shots=40, seed=100 + seed)
        task = FewShotClassifier(words(), head="linear").fit(Rows(x), y)
        sets = task.predict_sets(Rows(queries), coverage)
        held.append(np.mean([label in some for label, some in zip(truth, sets, strict=True)]))
        sizes += map(len, sets)
        rejoined.append([some[0] for some in sets] == task.predict(Rows(queries)).tolist())
    assert coverage - 0.05 <= np.mean(held) <= coverage + 0.1
    assert min(sizes) == 1 and np.mean(sizes) < 5 and all(rejoined)


def test_too_few_examples_are_told_by_number_before_anything_is_asked():
    x, y = rows(ways=4, shots=2)
    task = FewShotClassifier(words(), head="centroid").fit(Rows(x), y)
    with pytest.raises(InputError, match=r"in 90% of cases takes 9 examples.*there are 8"):
        task.predict_sets(["never read"], 0.9)
    assert all(task.predict_sets(Rows(x), 0.8)) and task.predict_sets(Rows(torch.zeros(0, 24)), 0.8) == []
