import pytest
import torch
from torch.nn.functional import avg_pool2d

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.tasks.coarse import Coarse

STILL = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "shear": 0.0}
SAME = {**STILL, "least": 1.0, "wider": 0.0, "higher": 0.0}


@pytest.fixture
def x():
    return random.uniform(torch.tensor(5), (6, 3, 32, 32), torch.float32)


KEYS = random.fold(torch.tensor(7), torch.arange(6))


def test_a_copy_is_a_function_of_the_picture_and_its_key(x):
    copies = Coarse()(x, KEYS)
    assert copies.shape == x.shape and bool(((copies >= 0) & (copies <= 1)).all())
    for i in range(6):
        assert torch.allclose(Coarse()(x[i : i + 1], KEYS[i : i + 1])[0], copies[i], atol=1e-6)
    assert not torch.allclose(Coarse()(x, KEYS.flip(0)), copies, atol=0.01)


def test_without_any_change_it_is_the_picture_and_cells_are_means(x):
    assert torch.allclose(Coarse(**SAME, grids=(32,))(x, KEYS), x, atol=1e-5)
    coarse = Coarse(**SAME, grids=(8,))(x, KEYS)
    # Between the middles of two cells it is on the line from one mean to the other.
    cells = avg_pool2d(x, 4)
    assert torch.allclose(avg_pool2d(coarse, 2)[..., 1:-1:2, 1:-1:2].mean(), cells.mean(), atol=0.02)
    assert torch.allclose(coarse[..., 0, 0], cells[..., 0, 0], atol=1e-5)


def test_it_zooms_more_in_width_than_in_height(x):
    dot = torch.zeros(200, 1, 32, 32)
    dot[:, :, 12:20, 12:20] = 1
    copies = Coarse(**STILL, grids=(32,))(dot, random.fold(torch.tensor(3), torch.arange(200)))
    across, down = copies.amax(2).sum(-1).mean(), copies.amax(3).sum(-1).mean()
    assert 8 * 1.2 < float(down) < float(across) < 8 * 1.6


def test_every_grid_is_drawn(x):
    many = x[:1].expand(60, -1, -1, -1)
    copies = Coarse(**SAME, grids=(2, 32))(many, random.fold(torch.tensor(1), torch.arange(60)))
    sharp = (copies - many).abs().amax((1, 2, 3)) < 1e-4
    assert 15 < int(sharp.sum()) < 45
    with pytest.raises(InputError, match="at least 1"):
        Coarse(grids=(0,))
