"""Data sets and tasks of learn2learn's interface; draws are compared in test_trajectories.py."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

import innerloop.compat.learn2learn as l2l
from innerloop import Pool
from innerloop.compat.learn2learn.vision import benchmarks
from innerloop.compat.torchmeta.toy import Sinusoid
from innerloop.compat.torchmeta.utils.data import BatchMetaDataLoader
from innerloop.core.errors import InputError
from innerloop.tasks.pool import Splits

make: Any = l2l.data.transforms
MetaDataset: Any = l2l.data.MetaDataset


class Numbers(Dataset[Any]):
    """Example i is i; the first twelve are of 4 classes, the rest are few."""

    def __len__(self) -> int:
        return 14

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.tensor([index]), torch.tensor(index // 3 + 10)


def test_tables_of_a_data_set():
    dataset = MetaDataset(Numbers())
    assert dataset.labels == [10, 11, 12, 13, 14] and dataset.labels_to_indices[11] == [3, 4, 5]
    assert len(dataset) == 14 and dataset.indices_to_labels[12] == 14
    for tables in ({"labels_to_indices": dataset.labels_to_indices}, {"indices_to_labels": dataset.indices_to_labels}):
        again = MetaDataset(Numbers(), **tables)
        assert again.labels_to_indices == dataset.labels_to_indices
        assert again.indices_to_labels == dataset.indices_to_labels
    part = l2l.data.FilteredMetaDataset(dataset, [13, 10])
    assert [part[i][0].item() for i in range(len(part))] == [9, 10, 11, 0, 1, 2] and part.labels == [13, 10]
    both = l2l.data.UnionMetaDataset([part, Numbers()])
    assert len(both) == 20 and len(both.labels) == 7 and both[6][1] == 2 and both[19][0] == 13
    with pytest.raises(IndexError):
        _ = both[20]


def test_a_task_has_its_ways_and_shots_and_the_same_seed_the_same_task():
    dataset = l2l.data.FilteredMetaDataset(Numbers(), [10, 11, 12, 13])
    steps = [make.NWays(dataset, 3), make.KShots(dataset, 2), make.LoadData(dataset), make.RemapLabels(dataset)]
    taskset = l2l.data.Taskset(dataset, [*steps, make.ConsecutiveLabels(dataset)], num_tasks=5)
    random.seed(0)
    x, y = taskset[3]
    assert x.shape == (6, 1) and sorted(y.tolist()) == [0, 0, 1, 1, 2, 2] and len(x.unique()) == 6
    assert all(torch.equal(a, b) for a, b in zip(taskset[3], (x, y), strict=True))
    assert len(taskset) == len(list(taskset)) == 5
    random.seed(0)
    again = l2l.data.Taskset(dataset, [*steps, make.ConsecutiveLabels(dataset)])
    assert torch.equal(again[0][0], x) and len(again) == 1
    endless = iter(again)
    assert len({tuple(next(endless)[0].flatten().tolist()) for _ in range(20)}) > 5


def test_a_taskset_warns_of_classes_that_its_data_set_does_not_have(recwarn):
    dataset = MetaDataset(Numbers())
    part = l2l.data.FilteredMetaDataset(dataset, [10, 11])
    for step in (make.LoadData(dataset), make.NWays(dataset, 2), make.FusedNWaysKShots(dataset, n=2, k=2)):
        with pytest.warns(UserWarning, match=r"draws 3 classes that the data set of this Taskset, with 2, .* as 12: "):
            taskset = l2l.data.Taskset(part, [step, make.LoadData(dataset)])
    random.seed(0)
    assert max(int(taskset.sample()[0].max()) for _ in range(20)) > 5  # as learn2learn draws them
    recwarn.clear()
    l2l.data.Taskset(part, [make.FusedNWaysKShots(dataset, n=2, k=2, filter_labels=[11, 10])])
    l2l.data.Taskset(part, [make.FilterLabels(dataset, [10]), make.NWays(dataset, 1)])
    l2l.data.Taskset(Numbers(), [make.NWays(dataset, 2)])
    assert not recwarn.list


def test_transforms_in_any_order():
    dataset = MetaDataset(Numbers())
    task = make.NWays(dataset, 2)(make.FilterLabels(dataset, [10, 12, 13])(None))
    assert len(task) == 6 and {dataset.indices_to_labels[one.index] for one in task} < {10, 12, 13}
    fused = make.FusedNWaysKShots(dataset, n=2, k=1, filter_labels=[10, 12])(make.LoadData(dataset)(None))
    assert len(fused) == 2 and all(len(one.transforms) == 1 for one in fused)
    kept = make.RemapLabels(dataset, shuffle=False)(make.LoadData(dataset)(fused))
    assert len(kept) == 2
    function = l2l.data.Taskset(dataset, lambda description: make.LoadData(dataset)(description))
    assert function.sample()[0].shape == (14, 1)


def test_what_cannot_be_a_task():
    dataset = MetaDataset(Numbers())
    with pytest.raises(InputError, match="a task needs 6 classes, and there are 5"):
        make.NWays(dataset, 6)(None)
    with pytest.raises(InputError, match="a task needs 3 examples of class 14, and there are 2"):
        make.KShots(dataset, 3)(None)
    with pytest.raises(InputError, match=r"NWays of .* takes dataset, n: "):
        make.NWays(dataset, ways=5)
    with pytest.raises(InputError, match="num_tasks is -1"):
        l2l.data.Taskset(dataset, num_tasks=0)
    with pytest.raises(InputError, match="needs task_transforms: NWays"):
        l2l.data.Taskset(dataset).sample()
    with pytest.raises(InputError, match=r"takes a torch.utils.data.Dataset, got a list"):
        MetaDataset([1, 2])
    with pytest.raises(InputError, match=r"item 0 has a label of shape \[2\]"):
        MetaDataset(TensorDataset(torch.zeros(3, 1), torch.zeros(3, 2)))
    with pytest.raises(InputError, match="no label 99 among its 5"):
        l2l.data.FilteredMetaDataset(dataset, [99])
    with pytest.raises(InputError, match="from 2 to 3"):
        l2l.data.partition_task(torch.zeros(5), torch.tensor([0, 0, 0, 1, 1]))
    with pytest.raises(InputError, match="2 shots of 2 examples a class"):
        l2l.data.partition_task(torch.zeros(4), torch.tensor([0, 0, 1, 1]), shots=2)
    with pytest.raises(InputError, match="4 examples and 3 labels"):
        l2l.data.partition_task(torch.zeros(4), torch.tensor([0, 0, 1]))
    with pytest.raises(InputError, match="needs examples, got none"):
        l2l.data.partition_task(torch.zeros(0), torch.zeros(0))
    with pytest.raises(InputError, match=r"item 0 is no pair \(example, label\): tuple"):
        MetaDataset(TensorDataset(torch.zeros(3, 1)))
    for wrong in (lambda: make.NWays(dataset, 0), lambda: make.FusedNWaysKShots(dataset, n=0)):
        with pytest.raises(InputError, match="n is how many a task has, at least 1, got 0"):
            wrong()
    with pytest.raises(InputError, match="k is how many a task has, at least 1, got -1"):
        make.KShots(dataset, -1, replacement=True)
    with pytest.raises(InputError, match="nothing to go through"):
        next(l2l.data.InfiniteIterator([]))
    with pytest.raises(InputError, match="multiples of 90 degrees, got 45"):
        l2l.vision.transforms.RandomClassRotation(dataset, [45])
    with pytest.warns(DeprecationWarning, match="use Taskset instead"):
        l2l.data.TaskDataset(dataset)
    with pytest.raises(NotImplementedError):
        make.TaskTransform(dataset)(None)


def test_a_pickle_that_a_data_set_names_is_not_read(tmp_path):
    dataset: Any = Numbers()
    (tmp_path / "tables.pkl").write_bytes(b"cbuiltins\nexec\n(S'raise SystemExit'\ntR.")
    dataset._bookkeeping_path = str(tmp_path / "tables.pkl")
    assert len(MetaDataset(dataset).labels) == 5


def test_data_in_tensors_and_iterators_without_end():
    held = l2l.data.OnDeviceDataset(Numbers(), device="cpu", transform=lambda x: x * 2)
    assert held[5][0] == 10 and held[5][1] == 11
    endless = l2l.data.InfiniteIterator([1, 2])
    assert [next(endless) for _ in range(5)] == [1, 2, 1, 2, 1] and iter(endless) is endless


def test_classes_are_turned_each_by_its_own_angle():
    pictures = torch.arange(4.0).reshape(1, 1, 2, 2).repeat(9, 1, 1, 1)
    dataset = MetaDataset(TensorDataset(pictures, torch.arange(9) // 3))
    turn = l2l.vision.transforms.RandomClassRotation(dataset, [0.0, 90.0, 180.0, 270.0])
    random.seed(1)
    seen = set()
    for _ in range(20):
        x, y = l2l.data.Taskset(dataset, [make.LoadData(dataset), turn]).sample()
        corners = [tuple(x[y == c][:, 0, 0, 0].tolist()) for c in range(3)]
        assert all(len(set(of_class)) == 1 for of_class in corners)
        seen.add(tuple(c[0] for c in corners))
    assert len(seen) > 5


def test_the_tasks_of_omniglot(monkeypatch):
    def omniglot(root: Any, rotations: bool) -> Splits:
        assert root is None and not rotations
        data = torch.randint(0, 256, (1623, 3, 1, 4, 4), dtype=torch.uint8)
        whole = Pool(data=data, counts=torch.full((1623,), 3), names=tuple(map(str, range(1623))))
        cuts = {"train": range(1000), "validation": range(1000, 1200), "test": range(1200, 1623)}
        return Splits(**{name: whole.take(classes, name) for name, classes in cuts.items()})

    monkeypatch.setattr(benchmarks, "omniglot", omniglot)
    random.seed(0)
    tasks = l2l.vision.benchmarks.get_tasksets("omniglot", train_samples=2, test_ways=3, test_samples=3, root="~/no/it")
    x, y = tasks.train.sample()
    assert x.shape == (10, 1, 4, 4) and x.dtype == torch.float32 and 0 <= x.min() <= x.max() <= 1
    assert sorted(y.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert tasks.test.sample()[0].shape == tasks.validation.sample()[0].shape == (9, 1, 4, 4)
    sizes = [len(split.dataset.labels) for split in tasks]
    assert sizes == [1100, 100, 423] and not set(tasks.train.dataset.labels) & set(tasks.test.dataset.labels)
    with pytest.raises(InputError, match="has omniglot, not 'tiered-imagenet'"):
        l2l.vision.benchmarks.get_tasksets("tiered-imagenet")
    assert l2l.vision.benchmarks.list_tasksets() == ("omniglot",)


def test_sinusoids_of_torchmeta():
    tasks = Sinusoid(num_samples_per_task=8, num_tasks=6, noise_std=0.1, transform=lambda x: x + 100)
    tasks.seed(4)
    x, y = next(iter(BatchMetaDataLoader(tasks, batch_size=4, shuffle=False)))
    assert x.shape == y.shape == (4, 8, 1) and x.dtype == torch.float64
    assert x.min() >= 95 and x.max() <= 105
    draws = np.random.RandomState(4)
    amplitude, phase = draws.uniform(0.1, 5.0, size=6), draws.uniform(0, np.pi, size=6)
    points = draws.uniform(-5, 5, (8, 1))
    values = amplitude[0] * np.sin(points - phase[0]) + 0.1 * draws.randn(8, 1)
    np.testing.assert_allclose(x[0].numpy() - 100, points, atol=1e-12)
    np.testing.assert_allclose(y[0].numpy(), values, atol=1e-12)
