import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.tasks import datasets
from innerloop.tasks.datasets.arrays import arrays, npz
from innerloop.tasks.datasets.folder import folder


def test_names_are_the_modules():
    assert {"digits", "kanji", "omniglot", "tiny-imagenet"} <= set(datasets.names())


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'omniglot'"):
        datasets.load("omniglott")
    with pytest.raises(InputError, match="The data sets are digits"):
        datasets.load("nothing/like/it")


def test_digits():
    pytest.importorskip("sklearn")
    splits = datasets.load("digits")
    assert [pool.names for pool in splits.pools().values()] == [tuple("01234"), tuple("56"), tuple("789")]
    assert splits.train.shape == (1, 8, 8) and splits.train.data.max() == 255
    assert sum(int(pool.counts.sum()) for pool in splits.pools().values()) == 1797
    with pytest.raises(InputError, match="one way only"):
        datasets.load("digits", split="vinyals")


def test_arrays_of_any_kind(tmp_path):
    y = np.repeat(["cat", "dog", "eel", "fox"], [2, 3, 4, 5])
    np.savez(tmp_path / "words.npz", x=np.arange(28.0).reshape(14, 2), y=y)
    pool = npz(tmp_path / "words.npz")
    assert pool.names == ("cat", "dog", "eel", "fox") and pool.counts.tolist() == [2, 3, 4, 5]
    assert pool.data.dtype == torch.float32 and pool.data[1, 0].tolist() == [4, 5] and pool.preprocessing is None
    splits = datasets.load(tmp_path / "words.npz")
    assert [len(p) for p in splits.pools().values()] == [2, 1, 1] and splits.train.dataset == "words"
    np.savez(tmp_path / "grey.npz", x=np.zeros((4, 9, 9), dtype=np.uint8), y=[3, 3, 1, 1])
    pool = npz(tmp_path / "grey.npz")
    assert pool.names == ("1", "3") and pool.shape == (1, 9, 9)
    assert pool.preprocessing == {"size": 9, "channels": 1, "ink": "auto"}


@pytest.mark.parametrize(
    ("arrays_", "said"),
    [
        ({"x": np.full((4, 2), np.nan), "y": np.arange(4)}, "NaN"),
        ({"x": np.zeros((4, 2)), "y": np.array([0, 1, np.nan, 1])}, "NaN or infinite labels"),
        ({"x": np.zeros((4, 2))}, "named x and y"),
        ({"x": np.zeros((4, 2)), "y": np.arange(3)}, "must be"),
        ({"x": np.array([["a"]]), "y": np.arange(1)}, "numbers"),
        ({"x": np.array([object()], dtype=object), "y": np.arange(1)}, "pickled"),
    ],
)
def test_arrays_that_cannot_be(tmp_path, arrays_, said):
    np.savez(tmp_path / "wrong.npz", **arrays_)
    with pytest.raises(InputError, match=said):
        npz(tmp_path / "wrong.npz")


def test_arrays_that_are_no_file(tmp_path):
    (tmp_path / "junk.npz").write_bytes(b"junk")
    for path, said in ((tmp_path / "junk.npz", "no .npz of plain arrays"), (tmp_path / "none.npz", "there is no file")):
        with pytest.raises(InputError, match=said):
            npz(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="named x and y"):
        npz(tmp_path / "one.npy")
    with pytest.raises(InputError, match="path"):
        arrays()


def test_a_folder_is_cut_by_class(tmp_path):
    for name in "abcde":
        (tmp_path / name).mkdir()
        Image.new("L", (10, 10), ord(name)).save(tmp_path / name / "0.png")
    splits = datasets.load(str(tmp_path))
    assert [len(pool) for pool in splits.pools().values()] == [3, 1, 1]
    assert splits.train.preprocessing == splits.test.preprocessing == {"size": 28, "channels": 1, "ink": "light"}
    assert folder(tmp_path, size=8).train.shape == (1, 8, 8)
    with pytest.raises(InputError, match="path"):
        folder()


@pytest.mark.slow
def test_tiny_imagenet(data_root):
    if not (data_root / "tiny_imagenet").is_dir():
        pytest.skip(f"no tiny_imagenet in {data_root}")
    splits = datasets.load("tiny-imagenet", root=data_root)
    assert [len(pool) for pool in splits.pools().values()] == [120, 30, 50]
    assert splits.train.shape == (3, 64, 64) and (splits.train.counts == 100).all()


def test_tiny_imagenet_is_missed(tmp_path):
    with pytest.raises(InputError, match=r"there is no tiny_imagenet_200x100\.npz"):
        datasets.load("tiny-imagenet", root=tmp_path)
