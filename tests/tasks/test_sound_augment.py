import pytest
import torch

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.audio import sound_folder
from innerloop.tasks.distorted import Distorted
from innerloop.tasks.log_mel import levels
from innerloop.tasks.sound_augment import SoundAugmentation
from tests.tasks import sounds

NONE = {"shift": 0, "rate": 0, "pitch": 0, "gain": 0, "noise": 0, "bands": 0, "columns": 0}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return sound_folder(sounds.folder(tmp_path_factory.mktemp("sounds"), 4))


@pytest.fixture(scope="module")
def x(pool):
    return pool.rows(torch.arange(16))


def keys(n: int) -> torch.Tensor:
    return random.fold(torch.tensor(3), torch.arange(n))


def test_a_copy_is_a_function_of_picture_and_key(x):
    copies = SoundAugmentation()(x, keys(16))
    assert copies.shape == x.shape and copies.dtype == x.dtype
    assert bool(((copies >= 0) & (copies <= 1)).all()) and not torch.allclose(copies, x, atol=0.05)
    torch.testing.assert_close(SoundAugmentation()(x[5:6], keys(16)[5:6])[0], copies[5])


def test_without_any_part_a_copy_is_the_picture(x):
    torch.testing.assert_close(SoundAugmentation(**NONE)(x, keys(16)), x, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "part",
    [{"shift": 4.0}, {"rate": 0.3}, {"pitch": 0.1}, {"gain": 20.0}, {"noise": 0.6}, {"bands": 0.4}, {"columns": 0.4}],
)
def test_every_part_does_its_own(x, part):
    before, after = levels(x), levels(SoundAugmentation(**NONE | part)(x, keys(16)))
    loudest = before.mean(-1).argmax(-1).flatten()  # of tones, their band
    moved = (after.mean(-1).argmax(-1).flatten() - loudest)[:12].abs()  # the last four rise
    assert float((after - before).abs().mean()) > 0.005
    if "pitch" in part:
        assert 0 < int(moved.max()) <= 5
    elif "bands" not in part:
        assert int(moved.max()) <= 1
    if "noise" in part:
        assert float(after.amin((1, 2, 3)).mean()) > float(before.amin((1, 2, 3)).mean()) + 0.05


def test_tasks_of_sounds_are_distorted(pool):
    sampler = EpisodeSampler(pool=pool, ways=3, shots=1, queries=2, seed=0)
    distorted = Distorted(sampler=sampler, augmentation=SoundAugmentation())
    some, again, plain = (each.query.x for each in (*map(distorted.episodes, (0, 1), (2, 1)), sampler.episodes(0, 2)))
    assert isinstance(some, torch.Tensor) and isinstance(again, torch.Tensor) and isinstance(plain, torch.Tensor)
    torch.testing.assert_close(some[1], again[0])
    assert not torch.equal(some, plain)
    assert distorted.describe()["distorted"]["noise"] == 0.5  # pyright: ignore[reportIndexIssue]


def test_what_cannot_be_asked_for():
    with pytest.raises(InputError, match="rate"):
        SoundAugmentation(rate=1.0)
