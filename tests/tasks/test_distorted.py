"""Distorted tasks: the same classes and labels, other pictures, a function of `(seed, i)` alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import Augmentation, BatchSampler, Distorted, EpisodeSampler, Pool
from tests.tasks import pools

NOTHING = Augmentation(rotation=0, shift=0, scale=0)


PICTURES = pools.pictures(classes=6, instances=5, size=12)


def sampler(pool: Pool = PICTURES) -> EpisodeSampler:
    return EpisodeSampler(pool=pool, ways=3, shots=1, queries=2, seed=4)


def drawn(sampler: Any, first: int, count: int) -> Any:
    return sampler.episodes(first, count)


def test_a_task_is_the_same_whatever_is_drawn_with_it():
    distorted = Distorted(sampler=sampler())
    together, alone = drawn(distorted, 0, 3), drawn(distorted, 1, 1)
    assert torch.equal(together.support.x[1], alone.support.x[0])
    assert torch.equal(together.query.x[1], alone.query.x[0])


def test_only_pictures_change_and_each_on_its_own():
    plain = drawn(sampler(), 0, 2)
    distorted = drawn(Distorted(sampler=sampler()), 0, 2)
    undistorted = drawn(Distorted(sampler=sampler(), augmentation=NOTHING), 0, 2)
    for whole, copy, same in zip(plain, distorted, undistorted, strict=True):
        assert torch.equal(whole.y, copy.y) and torch.equal(whole.key, copy.key)
        assert torch.allclose(whole.x, same.x, atol=1e-5)
        assert (whole.x - copy.x).abs().flatten(2).amax(-1).min() > 1e-3
    one = replace(PICTURES, data=PICTURES.data[:, :1].expand_as(PICTURES.data).contiguous())
    support, query = drawn(Distorted(sampler=sampler(one)), 0, 1)
    first = query.x[0][query.y[0] == 0]
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], support.x[0][0])


def test_plain_batches_have_no_support_to_distort():
    batch = drawn(Distorted(sampler=BatchSampler(pool=PICTURES, batch_size=4)), 0, 2)
    assert batch.support.x.shape == (2, 0, 1, 12, 12) and batch.query.x.shape == (2, 4, 1, 12, 12)


def test_padding_stays_zero():
    uneven = EpisodeSampler(pool=PICTURES, ways=3, shots=(1, 3), queries=1, seed=4)
    support = drawn(Distorted(sampler=uneven), 0, 4).support
    assert not support.mask.all() and not support.x[~support.mask].any()


def test_what_is_no_picture_is_refused():
    with pytest.raises(InputError, match="distortion is for pictures"):
        Distorted(sampler=EpisodeSampler(pool=pools.tagged([4, 4]), ways=2, shots=1, queries=1))
