"""Pools at another size, and tasks of one pool seen as another."""

import pytest
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.tasks import EpisodeSampler, Pool
from innerloop.tasks.resized import resized
from innerloop.tasks.seen import Seen


def pictures(size: int = 8, channels: int = 1, classes: int = 3, count: int = 6) -> Pool:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 255, (classes, count, channels, size, size), generator=generator, dtype=torch.uint8)
    return Pool(data=data, counts=torch.full((classes,), count), names=tuple("abc"[:classes]))


def test_grey_becomes_three_equal_channels_and_colour_its_brightness():
    pool = pictures()
    coloured = resized(pool, 8, 3)
    assert torch.equal(coloured.data, pool.data.expand(-1, -1, 3, -1, -1)) and coloured.preprocessing is not None
    assert torch.equal(resized(coloured, 8, 1).data, pool.data)
    red = pictures(channels=3).data
    red[:, :, 1:] = 0
    grey = resized(Pool(data=red, counts=torch.full((3,), 6), names=tuple("abc")), 8, 1)
    assert torch.allclose(grey.data.float(), 0.299 * red[:, :, :1].float(), atol=0.51)


def test_sizes_keep_the_mean():
    pool = pictures(size=16)
    for size in (8, 32):
        small = resized(pool, size, 1)
        assert small.shape == (1, size, size)
        assert abs(small.data.float().mean() - pool.data.float().mean()) < 1


def test_strokes_become_light():
    light = torch.zeros(1, 2, 1, 8, 8, dtype=torch.uint8)
    light[:, :, :, 2:6, 3:5] = 255
    dark = Pool(data=torch.cat([light, 255 - light], 1), counts=torch.tensor([4]), names=("a",))
    assert torch.equal(resized(dark, 8, 1, ink="light").data, light.repeat(1, 2, 1, 1, 1))


def test_what_is_no_picture_is_refused():
    rows = Pool(data=torch.zeros(2, 3, 5), counts=torch.tensor([3, 3]), names=("a", "b"), dataset="rows")
    with pytest.raises(InputError, match=r"rows: only pictures .* \[5\]"):
        resized(rows, 8, 1)


def test_seen_tasks_are_the_same_draws_and_describe_themselves_alike():
    pool = pictures()
    sampler = EpisodeSampler(pool=pool, ways=2, shots=2, queries=2, seed=3)
    seen = Seen(sampler=sampler, pool=resized(pool, 8, 3))
    own, other = sampler.episodes(0, 5), seen.episodes(0, 5)
    assert isinstance(own.query.x, Tensor) and isinstance(other.query.x, Tensor)
    assert torch.equal(other.query.x, own.query.x.expand(-1, -1, 3, -1, -1))
    assert torch.equal(other.query.y, own.query.y) and seen.describe() == sampler.describe()
    with pytest.raises(InputError, match="does not have the classes and examples"):
        Seen(sampler=sampler, pool=pool.take([0, 1]))
