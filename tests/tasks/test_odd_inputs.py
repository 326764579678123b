"""Odd fields of pools and samplers, and odd data sets: the right answer, or one message."""

import sys
import types
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.tasks import image_folder
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.episodes import BatchSampler, EpisodeSampler
from innerloop.tasks.images import read_image
from innerloop.tasks.pillow import is_pillow
from innerloop.tasks.pool import Pool, Splits, from_rows, split_classes
from innerloop.tasks.regression import Sinusoid
from innerloop.tasks.texts.splits import read_table

DATA = torch.arange(6 * 8 * 3).reshape(6, 8, 3) / 144
COUNTS = torch.full((6,), 8)
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


def pool(**fields: Any) -> Pool:
    return Pool(**{"data": DATA, "counts": COUNTS, "names": tuple("abcdef"), **fields})


def sampler(**fields: Any) -> EpisodeSampler:
    return EpisodeSampler(**{"pool": pool(), "ways": 2, "shots": 2, "queries": 2, **fields})


def test_what_is_asked_while_another_thread_imports_pillow_is_no_picture_of_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", types.ModuleType("PIL.Image"))  # as it is before its class is there
    assert not is_pillow("a.png")


@pytest.mark.parametrize(
    "fields",
    [{"counts": [8] * 6}, {"counts": COUNTS.numpy()}, {"counts": COUNTS.int()}, {"names": list("abcdef")}],
    ids=["a list", "an array", "int32", "names in a list"],
)
def test_counts_and_names_in_other_containers_make_the_same_pool(fields):
    one = pool(**fields)
    assert (one.digest, one.class_hash) == (pool().digest, pool().class_hash)
    assert one.counts.dtype == torch.int64 and isinstance(one.names, tuple)
    assert sampler(pool=one).describe() == sampler().describe()


def test_pools_of_rare_types_have_digests():
    one, other = pool(data=DATA.bfloat16()), pool(data=(DATA + 1).bfloat16())
    assert one.digest != other.digest
    assert pool(data=DATA.clone().requires_grad_()).digest == pool().digest
    assert pool(names=("\ud800", *"bcdef")).class_hash != pool().class_hash


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": DATA.numpy()}, "torch.from_numpy"),
        ({"data": None}, "dense tensor"),
        ({"data": DATA.to_sparse()}, "dense tensor"),
        ({"counts": COUNTS.float()}, "counts must be whole numbers"),
        ({"counts": COUNTS > 0}, "counts must be whole numbers"),
        ({"counts": ["a"] * 6}, "counts must be whole numbers"),
        ({"names": "abcdef"}, "a text for each class"),
        ({"names": tuple(range(6))}, "a text for each class"),
        ({"names": (COMPOSED, DECOMPOSED, *"cdef")}, "occurs 2 times"),
        ({"role": "testing"}, "role must be"),
    ],
)
def test_what_is_no_pool_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        pool(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        *({"ways": wrong} for wrong in (5.0, "5", None, (2, 3, 4), (2,), True, (2.0, 3.0), torch.tensor(2))),
        *({"queries": wrong} for wrong in ((1, 2), 1.5, "2", None)),
        *({"seed": wrong} for wrong in (None, 0.5, "a")),
        {"unlabelled": 1.5},
        {"unlabelled": 1, "distractors": 1.0},
        {"same_group": "all"},
        {"pool": None},
        {"pool": DATA},
    ],
    ids=str,
)
def test_what_is_no_sampler_is_refused(fields):
    with pytest.raises(InputError, match=list(fields)[-1]):
        sampler(**fields)


def test_minibatches_and_episodes_are_counted_in_whole_numbers():
    for fields in ({"batch_size": 2.5}, {"batch_size": "2"}, {"batch_size": 2, "seed": None}):
        with pytest.raises(InputError, match=list(fields)[-1]):
            BatchSampler(**{"pool": pool(), **fields})
    for source in (sampler(), Sinusoid()):
        wrong: Any
        three: Any
        two: Any
        for wrong in ((0, 1.5), ("0", 1), (None, 1), (0, -1)):
            with pytest.raises(InputError, match="whole numbers"):
                source.episodes(*wrong)
        three, two = np.array([3, 2])
        assert source.episodes(three, two).support.y.shape[0] == 2
        assert source.episodes(0, 0).support.y.shape == source.episodes(0, 1).support.y[:0].shape


def test_classes_are_taken_and_split_by_whole_numbers():
    wrong: Any
    for wrong in ([1.5], ["a"], [True]):
        with pytest.raises(InputError, match="there is no class"):
            pool().take(wrong)
    assert pool().take(np.array([2, 1])).names == ("c", "b")
    for wrong in ({"train": 2}, {}, {"train": 2, "foo": 1, "test": 1}, {"train": 2.0, "validation": 1, "test": 1}):
        with pytest.raises(InputError, match="train, validation, test"):
            split_classes(pool(), wrong)
    for wrong in ([0, 1, 2, 3, 4, 9], [0, 1, 2, 3, 4, -1], [0.5, 1, 2, 3, 4, 5], list("abcdef")):
        with pytest.raises(InputError, match="no place of a class"):
            from_rows(DATA[:, 0], wrong, "abcdef")
    with pytest.raises(InputError, match="6 rows have 2 classes"):
        from_rows(DATA[:, 0], [0, 1], "abcdef")


def test_a_name_is_one_class_in_either_spelling(tmp_path):
    rows, y = np.arange(24.0).reshape(12, 2), np.repeat([COMPOSED, DECOMPOSED, "b"], 4)
    np.savez(tmp_path / "data.npz", x=rows, y=y)
    whole = npz(tmp_path / "data.npz")
    assert dict(zip(whole.names, whole.counts.tolist(), strict=True)) == {"b": 4, DECOMPOSED: 8}
    assert sorted(whole.data[whole.names.index(DECOMPOSED), :, 0].tolist()) == rows[:8, 0].tolist()
    table = tmp_path / "intents.csv"
    table.write_text("text,label\n" + "\n".join(f"t{i},{label}" for i, label in enumerate(y)), encoding="utf-8")
    assert read_table(table).labels == (COMPOSED,) * 8 + ("b",) * 4
    others = {"validation": pool(names=tuple("ghijkl")), "test": pool(names=(DECOMPOSED, *"mnopq"))}
    with pytest.raises(InputError, match="in both train and test"):
        Splits(train=pool(names=(COMPOSED, *"bcdef")), **others)


def test_times_in_a_file_of_numbers_are_refused_as_they_are_when_taught(tmp_path):
    times = 1.7e9 + np.arange(24.0).reshape(12, 2)
    np.savez(tmp_path / "times.npz", x=times, y=np.repeat(list("abc"), 4))
    with pytest.raises(InputError, match=r"column 0 of x of .*times.npz.* subtract"):
        npz(tmp_path / "times.npz")
    np.savez(tmp_path / "times.npz", x=times - 1.7e9, y=np.repeat(list("abc"), 4))
    assert npz(tmp_path / "times.npz").data.max() == 23


def test_sizes_of_pictures_are_bounded_whole_numbers_and_what_lies_beside_classes_is_counted(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "one.png")
    size: Any
    for size in (28.0, "28", True, 0, 10**6, (28, 28), None):
        with pytest.raises(InputError, match="whole number of pixels"):
            read_image(tmp_path / "a" / "one.png", size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nine: Any = np.int64(9)
        assert image_folder(tmp_path, size=nine).shape == (1, 9, 9)
    Image.new("L", (9, 9)).save(tmp_path / "forgotten.png")
    with pytest.warns(UserWarning, match=r"left out 1 file: forgotten\.png \(beside the folders of classes\)"):
        assert image_folder(tmp_path).names == ("a", "b")
