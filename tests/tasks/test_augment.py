from typing import Any

import pytest
import torch
from scipy.ndimage import affine_transform, rotate

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.tasks import Augmentation

NOTHING = {"rotation": 0.0, "shift": 0.0, "scale": 0.0}


def keys(n: int, seed: int = 0) -> torch.Tensor:
    return random.fold(random.mix(seed, 0), torch.arange(n))


def pictures(n: int = 6, channels: int = 1, size: int = 12) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_nothing_allowed_changes_nothing():
    x = pictures(channels=3)
    assert torch.allclose(Augmentation(**NOTHING)(x, keys(6)), x, atol=1e-6)


def test_a_copy_depends_on_its_picture_and_key_only():
    augment, x, key = Augmentation(shear=0.2, drop=0.3), pictures(), keys(6)
    together = augment(x, key)
    for i in range(6):
        assert torch.equal(augment(x[i : i + 1], key[i : i + 1])[0], together[i])
    assert not torch.equal(augment(x, keys(6, seed=1)), together)
    state = torch.get_rng_state()
    augment(x, key)
    assert torch.equal(state, torch.get_rng_state())


def test_the_bounds_are_kept_and_used():
    """A dot is moved as far as the shift, and a bar turned as far as the rotation, allows."""
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 10] = 1
    n = 400
    copies = Augmentation(**NOTHING | {"shift": 3.0})(dot.expand(n, 1, 21, 21), keys(n))
    place = torch.arange(21).float() - 10
    for axis in (-1, -2):
        moved = (copies.sum(axis)[:, 0] * place).sum(-1)
        assert moved.abs().max() <= 3.001 and moved.min() < -2.7 and moved.max() > 2.7
    bar = torch.zeros(1, 1, 41, 41)
    bar[..., 20, 5:36] = 1
    copies = Augmentation(**NOTHING | {"rotation": 15.0})(bar.expand(n, 1, 41, 41), keys(n))[:, 0]
    u = torch.arange(41).float() - 20
    slope = torch.rad2deg(
        torch.atan2((copies * u[:, None] * u).sum((1, 2)), (copies * u.square()).sum((1, 2)))
    )  # of the principal axis, for a thin bar
    assert slope.abs().max() < 15.3 and slope.min() < -13 and slope.max() > 13


@pytest.mark.parametrize("part", ["rotation", "scale", "shift"])
def test_it_is_scipys_bilinear_map(part):
    """With one part allowed and its drawn value read off, SciPy makes the same copy."""
    bounds = {"rotation": 30.0, "scale": 0.3, "shift": 3.0}
    augment = Augmentation(**NOTHING | {part: bounds[part]})
    x, key = pictures(1, size=15).double(), keys(1)
    drawn = (2 * random.uniform(random.fold(key, 1), (5,), torch.float64) - 1)[0]
    copy, picture = augment(x, key)[0, 0].numpy(), x[0, 0].numpy()
    if part == "rotation":
        expected = rotate(picture, 30 * drawn[0].item(), reshape=False, order=1, mode="grid-constant")
    elif part == "scale":
        factor = 1 / (1 + 0.3 * drawn[3].item())
        expected = affine_transform(picture, [factor] * 2, 7 * (1 - factor), order=1, mode="grid-constant")
    else:
        across, down = (3 * drawn[1:3]).tolist()
        offset: Any = [-down, -across]  # SciPy's default, 0, reads like a number
        expected = affine_transform(picture, [1, 1], offset, order=1, mode="grid-constant")
    assert abs(expected - copy).max() < 1e-6


def test_dropped_pixels():
    copies = Augmentation(**NOTHING | {"drop": 0.4})(torch.ones(300, 2, 20, 20), keys(300))
    share = (copies < 0.5).float().mean((1, 2, 3))
    assert torch.equal(copies[:, 0] > 0.5, copies[:, 1] > 0.5), "of all channels at once"
    assert share.max() < 0.46 and share.mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("wrong", [{"rotation": -1.0}, {"scale": 1.0}, {"drop": 1.5}, {"shift": float("nan")}])
def test_impossible_bounds_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
        Augmentation(**wrong)
