"""Linear and logistic tasks."""

import pytest
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.types import Batch
from innerloop.tasks.linear import LinearTasks


def x_of(batch: Batch) -> Tensor:
    assert isinstance(batch.x, Tensor)
    return batch.x


def test_values_are_those_of_the_weights():
    tasks = LinearTasks(mean=(1.0, -2.0, 0.5), spread=0.3, shots=4, queries=3)
    support, query = tasks.episodes(5, 6)
    weights = tasks.draw(5, 6)
    for part in (support, query):
        assert torch.allclose(part.y, x_of(part) @ weights[:, :2, None] + weights[:, 2:, None], atol=1e-5)
    assert torch.equal(x_of(support)[2:4], x_of(tasks.episodes(7, 2).support))


def test_weights_scatter_around_the_mean():
    weights = LinearTasks(mean=(3.0, -1.0), spread=0.5).draw(0, 4000)
    assert torch.allclose(weights.mean(0), torch.tensor([3.0, -1.0]), atol=0.05)
    assert torch.allclose(weights.std(0), torch.tensor([0.5, 0.5]), atol=0.03)


def test_classes_have_the_probability_of_the_sigmoid():
    tasks = LinearTasks(mean=(2.0, 1.0), spread=0.0, logistic=True, shots=1, queries=400)
    query = tasks.episodes(0, 20).query
    assert query.y.dtype == torch.int64 and query.classes is not None and query.classes.shape == (20, 2)
    expected = (2 * x_of(query)[..., 0] + 1).sigmoid()
    assert abs(float(query.y.float().mean() - expected.mean())) < 0.02


def test_repeated_tasks_come_again_points_and_all():
    tasks = LinearTasks(repeat=3)
    x = x_of(tasks.episodes(0, 6).support)
    assert torch.equal(x[:3], x[3:]) and not torch.equal(x[0], x[1])
    with pytest.raises(InputError, match="a weight for at least one input"):
        LinearTasks(mean=(1.0,))
