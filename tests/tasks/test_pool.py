import dataclasses

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import Pool, Splits
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.pool import base_name, from_rows, split_classes
from innerloop.tasks.split_sizes import default_sizes

from .pools import pictures, tagged


def test_take_keeps_the_order_asked_for():
    pool = pictures().take([2, 0], split="part")
    assert pool.names == ("script/2", "script/0") and pool.groups == ("script", "script") and pool.split == "part"
    assert torch.equal(pool.data, pictures().data[[2, 0]])
    with pytest.raises(InputError, match="no class 3"):
        pictures().take([3])


def test_rotations_are_new_classes():
    pool = pictures()
    turned = pool.rotated()
    assert len(turned) == 12 and turned.names[3:6] == ("script/0/rot090", "script/1/rot090", "script/2/rot090")
    assert torch.equal(turned.data[:3], pool.data)
    assert torch.equal(turned.data[4, 1, 0], torch.rot90(pool.data[1, 1, 0]))
    assert torch.equal(turned.data[11, 0, 0], torch.rot90(pool.data[2, 0, 0], 3))
    assert turned.groups == ("script",) * 12 and turned.counts.tolist() == [4] * 12
    back = turned.without_rotations()
    assert back.names == pool.names and torch.equal(back.data, pool.data)
    assert base_name("a/rot090") == "a" and base_name("a/b") == "a/b"
    with pytest.raises(InputError, match="rotated already"):
        turned.rotated()
    with pytest.raises(InputError, match="square"):
        tagged([3]).rotated()


def test_class_hash_is_of_names_in_order():
    pool = pictures()
    assert pool.class_hash == dataclasses.replace(pool, split="other").class_hash
    assert pool.class_hash != pool.take([1, 0, 2]).class_hash and len(pool.class_hash) == 16


def test_conversion():
    rows = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert pictures().as_float(rows).tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert pictures().as_float(rows).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": ("a", "b")}, "must agree"),
        ({"names": ("a", "b", "a")}, "'a' occurs 2 times"),
        ({"groups": ("g",)}, "1 groups"),
        ({"counts": torch.tensor([2, 0, 2])}, "'b' has 0 examples"),
        ({"counts": torch.tensor([2, 2, 3])}, "'c' has 3 examples"),
        ({"data": torch.zeros(3, 2, 2, dtype=torch.int64)}, "uint8 or floating"),
        ({"data": torch.zeros(3, 2)}, "must agree"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        dataclasses.replace(tagged([2, 2, 2]), **change)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_must_be_finite(value):
    data = torch.zeros(3, 4, 2)
    data[1, 2, 0] = value
    with pytest.raises(InputError, match="example 2 of class 'b'"):
        Pool(data=data, counts=torch.tensor([4, 4, 4]), names=("a", "b", "c"))


def test_splits_share_no_class():
    whole = tagged([3] * 6)
    splits = Splits(train=whole.take([0, 1]), validation=whole.take([2]), test=whole.take([3, 4]))
    assert list(splits.pools()) == ["train", "validation", "test"]
    with pytest.raises(InputError, match="'b' is in both train and test"):
        Splits(train=whole.take([0, 1]), validation=whole.take([2]), test=whole.take([1, 4]))
    turned = pictures().rotated()
    with pytest.raises(InputError, match="'script/0' is in both train and validation"):
        Splits(train=turned.take([0]), validation=turned.take([3]), test=turned.take([1]))


def test_split_by_class_is_seeded_and_complete():
    whole = tagged([2] * 10)
    sizes = default_sizes(10)
    splits = split_classes(whole, sizes, seed=3)
    assert sizes == {"train": 6, "validation": 2, "test": 2}
    assert sorted(name for pool in splits.pools().values() for name in pool.names) == sorted(whole.names)
    assert splits.train.names == split_classes(whole, sizes, seed=3).train.names
    assert splits.train.names != split_classes(whole, sizes, seed=4).train.names
    with pytest.raises(InputError, match="has 10 classes"):
        split_classes(whole, {"train": 9, "validation": 1, "test": 1})
    with pytest.raises(InputError, match="at least 3"):
        default_sizes(2)


def test_rows_are_sorted_into_classes():
    x = torch.arange(6.0)[:, None]
    pool = from_rows(x, [1, 0, 1, 1, 0, 2], ["a", "b", "c"])
    assert pool.counts.tolist() == [2, 3, 1]
    assert pool.data[..., 0].tolist() == [[1, 4, 0], [0, 2, 3], [5, 0, 0]]


def test_the_digest_is_of_the_examples():
    pool = pictures()
    assert pool.digest == pictures().digest == dataclasses.replace(pool, split="other").digest
    touched = pool.data.clone()
    touched[1, 2, 0, 3, 3] += 1
    others = [
        dataclasses.replace(pool, data=touched),
        dataclasses.replace(pool, data=pool.data.float()),
        dataclasses.replace(pool, counts=torch.tensor([4, 4, 3])),
        dataclasses.replace(pool, data=pool.data.flip(0)),
        dataclasses.replace(pool, preprocessing={"size": 6}),
    ]
    assert len({pool.digest, *(other.digest for other in others)}) == 6
    padded = torch.cat([pool.data, torch.full_like(pool.data[:, :1], 9)], 1)
    assert dataclasses.replace(pool, data=padded).digest == pool.digest, "padding is no data"


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, np.ndarray.tolist])
def test_arrays_are_read_as_a_file_of_them_is(make, tmp_path):
    x, y = np.arange(24, dtype=np.float32).reshape(6, 4), np.array([2, 0, 1, 2, 0, 0])
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    pool, expected = Pool.from_arrays(make(x), make(y), dataset="rows"), npz(tmp_path / "rows.npz")
    assert pool.names == expected.names == ("0", "1", "2") and pool.counts.tolist() == [3, 1, 2]
    assert torch.equal(pool.data, expected.data) and pool.digest == expected.digest


def test_pictures_with_channels_last_and_words_are_taken():
    pool = Pool.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), ["cat", "dog", "cat", "dog"])
    assert pool.shape == (3, 8, 8) and pool.names == ("cat", "dog") and pool.data.dtype == torch.uint8


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1.0, 2.0], [3.0]], [0, 1], "x is no array"),
        ([[1.0], [2.0]], [0], r"x must be \[n, ...\] and y \[n\]"),
        ([["a"], ["b"]], [0, 1], "x must hold numbers"),
        ([[1.0], [2.0]], [None, 1], "y must hold texts or numbers"),
        ([[1.0], [2.0]], [float("nan"), 1], "NaN or infinite labels"),
        ([[float("inf")], [2.0]], [0, 1], "NaN or infinite values"),
        ([], [], "n at least 1"),
    ],
)
def test_arrays_that_are_no_pool_are_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        Pool.from_arrays(x, y)
