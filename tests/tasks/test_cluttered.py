"""Clean pictures as they might look in a street."""

import torch

from innerloop.core import random
from innerloop.tasks import Distorted, EpisodeSampler, Pool
from innerloop.tasks.cluttered import Clutter


def test_a_copy_is_a_function_of_its_picture_and_key_alone():
    x = torch.zeros(4, 3, 16, 16)
    x[:, :, 4:12, 7:9] = 1
    keys = random.fold(torch.tensor(7), torch.arange(4))
    copies = Clutter()(x, keys)
    assert torch.equal(copies[2:3], Clutter()(x[2:3], keys[2:3]))
    assert copies.min() >= 0 and copies.max() <= 1 and (copies[0] - copies[1]).abs().mean() > 0.05


def test_without_clutter_ground_and_ink_are_told_apart():
    plain = Clutter(rotation=0, shift=0, scale=0, shear=0, neighbours=0, gradient=0, noise=0)
    x = torch.zeros(64, 3, 16, 16)
    x[:, :, :, 6:10] = 1
    copies = plain(x, random.fold(torch.tensor(1), torch.arange(64)))
    ink, ground = copies[..., 7:9].mean((1, 2, 3)), copies[..., :5].mean((1, 2, 3))
    assert ((ink - ground).abs() > 0.15).all() and 0.2 < (ink > ground).float().mean() < 0.8


def test_neighbours_come_in_at_the_sides_only():
    x = torch.zeros(32, 3, 20, 20)
    x[:, :, 4:16, 4:16] = 1
    quiet = {"rotation": 0, "shift": 0, "scale": 0, "shear": 0, "gradient": 0, "noise": 0}
    keys = random.fold(torch.tensor(2), torch.arange(32))
    alone, among = Clutter(neighbours=0, **quiet)(x, keys), Clutter(neighbours=1, **quiet)(x, keys)
    changed = (alone - among).abs().amax((0, 1, 2)) > 0.05  # [20] columns
    assert changed[:2].any() and changed[-2:].any() and not changed[4:16].any()


def test_it_distorts_the_pictures_of_tasks():
    data = torch.randint(0, 255, (3, 4, 3, 16, 16), dtype=torch.uint8)
    sampler = EpisodeSampler(
        pool=Pool(data=data, counts=torch.full((3,), 4), names=tuple("abc")), ways=2, shots=1, queries=1
    )
    distorted = Distorted(sampler=sampler, augmentation=Clutter())
    one, two = distorted.episodes(1, 1).query.x, distorted.episodes(0, 2).query.x
    assert isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor) and torch.equal(one[0], two[1])
    assert "neighbours" in str(distorted.describe())
