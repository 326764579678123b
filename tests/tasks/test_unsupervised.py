import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks import Augmentation, Pool, UnsupervisedSampler
from tests.problems import inputs

from .pools import pictures, tagged

STILL = Augmentation(rotation=0.0, shift=0.0, scale=0.0)


def uneven() -> Pool:
    """Classes of 5, 2 and 4 pictures, every picture with a value of its own."""
    data = torch.zeros(3, 5, 1, 8, 8, dtype=torch.uint8)
    for i, count in enumerate((5, 2, 4)):
        for j in range(count):
            data[i, j] = 10 * i + j + 1
    return Pool(data=data, counts=torch.tensor([5, 2, 4]), names=("a", "b", "c"), dataset="uneven")


def test_a_class_is_a_picture_and_its_copies():
    sampler = UnsupervisedSampler(pool=uneven(), ways=6, shots=2, queries=3, seed=3, augmentation=STILL)
    support, query = sampler.episodes(5, 40)
    assert support.y.tolist() == [[k for k in range(6) for _ in range(2)]] * 40
    assert not (query.y == query.y.sort(1).values).all(1).any(), "queries are shuffled"
    values = uneven().data[..., 0, 0, 0].flatten()
    for i, rows in enumerate(sampler.draw(5, 40)):
        assert len(set(rows.tolist())) == 6 and (values[rows] > 0).all(), "different pictures, none of them padding"
        for batch in (support, query):
            assert torch.allclose(255 * inputs(batch)[i, :, 0, 4, 4], values[rows][batch.y[i]].float(), atol=1e-3)
    assert support.mask is None and support.classes is not None
    assert support.classes.all() and support.classes.shape == (40, 6)
    drawn = torch.bincount(sampler.draw(0, 2000).flatten(), minlength=15)[values > 0] / 2000
    assert drawn.tolist() == pytest.approx([6 / 11] * 11, abs=0.05), "every picture as often"


def test_an_episode_depends_on_seed_and_index_only():
    sampler = UnsupervisedSampler(pool=pictures(4, 5, 8), ways=5, queries=2, seed=1)
    together = sampler.episodes(2**32 - 2, 5)
    for i in range(5):
        alone = sampler.episodes(2**32 - 2 + i, 1)
        for a, b in zip(tree.flatten(tree.slice(together, slice(i, i + 1))), tree.flatten(alone), strict=True):
            assert torch.equal(a, b)


def test_every_copy_is_another_one():
    sampler = UnsupervisedSampler(pool=pictures(4, 5, 12), ways=3, shots=2, queries=2)
    support, query = tree.slice(sampler.episodes(0, 1), 0)
    rows = torch.cat([support.x, query.x]).flatten(1)
    assert torch.cdist(rows, rows).fill_diagonal_(1).min() > 0.1


def test_labels_are_not_looked_at():
    pool = pictures(6, 4, 8)
    mixed = Pool(data=pool.data.flatten(0, 1)[None], counts=torch.tensor([24]), names=("all",))
    a, b = (UnsupervisedSampler(pool=p, ways=5).episodes(0, 3) for p in (pool, mixed))
    assert all(torch.equal(inputs(one), inputs(other)) for one, other in zip(a, b, strict=True))


def test_how_often_two_pictures_are_of_one_class():
    """As the module says: `prod(1 - i / C)` without, or a little more."""
    sampler = UnsupervisedSampler(pool=pictures(30, 20, 4), ways=5)
    owner = (sampler.draw(0, 4000) // 20).sort(1).values
    apart = (owner[:, 1:] != owner[:, :-1]).all(1).double().mean().item()
    expected, exact = 1.0, 1.0
    for i in range(5):
        expected *= 1 - i / 30
        exact *= (600 - 20 * i) / (600 - i)
    assert expected < exact < expected + 0.02 and apart == pytest.approx(exact, abs=0.025)


def test_describe_and_device():
    about = UnsupervisedSampler(pool=pictures(4, 5, 8), ways=3).describe()
    assert about["kind"] == "unsupervised" and about["augmentation"] == {
        "rotation": 15.0,
        "shift": 2.0,
        "scale": 0.1,
        "shear": 0.0,
        "drop": 0.0,
    }
    for path, leaf in tree.items(UnsupervisedSampler(pool=pictures(4, 5, 8).to("meta"), ways=3).episodes(0, 2)):
        assert leaf.device.type == "meta", path


def test_impossible_tasks_are_refused():
    with pytest.raises(InputError, match="made of distorted pictures"):
        UnsupervisedSampler(pool=tagged([5, 5]), ways=2)
    with pytest.raises(InputError, match="13 ways need 13 pictures; pictures"):
        UnsupervisedSampler(pool=pictures(3, 4), ways=13)
    with pytest.raises(InputError, match="at least 1"):
        UnsupervisedSampler(pool=pictures(3, 4), ways=2, queries=0)
