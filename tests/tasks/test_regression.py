import math

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks import Sinusoid


def test_points_lie_on_the_drawn_sine():
    sampler = Sinusoid(shots=5, queries=7, seed=3)
    episodes = sampler.episodes(10, 4)
    amplitude, phase = sampler.draw(10, 4)
    for batch, n in zip(episodes, (5, 7), strict=True):
        assert isinstance(batch.x, torch.Tensor) and batch.x.shape == batch.y.shape == (4, n, 1)
        assert torch.allclose(batch.y, amplitude[:, None, None] * torch.sin(batch.x - phase[:, None, None]))
        assert batch.classes is None and batch.mask is None
    assert not torch.equal(episodes.support.y[0, :5], episodes.query.y[0, :5])


def test_ranges_of_the_paper():
    sampler = Sinusoid(shots=10, queries=10)
    amplitude, phase = sampler.draw(0, 4000)
    x = sampler.episodes(0, 4000).support.x
    assert isinstance(x, torch.Tensor)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, math.pi), (x.flatten(), -5.0, 5.0)):
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert torch.corrcoef(torch.stack([amplitude, phase]))[0, 1].abs() < 0.06


def test_an_episode_depends_on_seed_and_index_only():
    together, alone = Sinusoid(seed=1).episodes(0, 8), Sinusoid(seed=1).episodes(5, 1)
    for a, b in zip(tree.flatten(tree.slice(together, slice(5, 6))), tree.flatten(alone), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(Sinusoid(seed=2).episodes(5, 1).support.y, alone.support.y)


def test_needs_points():
    with pytest.raises(InputError, match="at least 1"):
        Sinusoid(shots=0)
