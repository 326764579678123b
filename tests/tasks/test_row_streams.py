"""Streams of rows of a pool: what arrives, when, and what never does."""

import math

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import Pool
from innerloop.tasks.augment import turned
from innerloop.tasks.class_stream import ClassStream
from innerloop.tasks.domain_stream import DomainStream, Permuted, Rainbow, Rotated
from innerloop.tasks.joined import joined
from innerloop.tasks.pool import split_classes


def pool(classes: int = 6, instances: int = 9) -> Pool:
    """Pictures whose every pixel is the number of the row, so that rows are known again."""
    rows = torch.arange(classes * instances, dtype=torch.float32)
    data = rows[:, None, None, None].expand(-1, 1, 4, 4).reshape(classes, instances, 1, 4, 4).clone()
    names = tuple(f"c{i}" for i in range(classes))
    return Pool(data=data, counts=torch.tensor([instances] * (classes - 1) + [7]), names=names)


STREAMS = [
    ClassStream(pool=pool(), classes_per_task=2, held_out_rows=3, batch_size=4, seed=3),
    ClassStream(pool=pool(), classes=4, rows=2, held_out_rows=3, batch_size=4, order="shuffled"),
    DomainStream(pool=pool(), change=Permuted(permutations=3), rows=20, held_out_rows=15, batch_size=6, visits=2),
]


def rows_of(batch):
    """Numbers of the real rows; padding is nothing."""
    real = torch.ones_like(batch.y, dtype=torch.bool) if batch.mask is None else batch.mask
    assert (batch.y[~real] == -1).all() and not batch.x[~real].any()
    return batch.x[real][:, 0, 0, 0].long().tolist(), batch.y[real].tolist()


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: f"{type(s).__name__}-{s.order}")
def test_a_batch_is_a_function_of_its_number(stream):
    whole = stream.batches(0, len(stream))
    for first, count in ((0, 1), (1, len(stream) - 1), (len(stream) - 1, 1)):
        part = stream.batches(first, count)
        for ours, theirs in zip(part, whole, strict=True):
            assert ours is theirs is None or torch.equal(ours, theirs[first : first + count])
    with pytest.raises(InputError, match=f"the stream has {len(stream)} batches"):
        stream.batches(len(stream) - 1, 2)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: f"{type(s).__name__}-{s.order}")
def test_every_row_of_a_task_comes_once_and_those_held_out_never(stream):
    seen, labels = rows_of(stream.batches(0, len(stream)))
    held = [rows_of(stream.held_out(task))[0] for task in range(stream.tasks)]
    assert not set(seen) & {row for rows in held for row in rows}
    if isinstance(stream, ClassStream):
        assert len(seen) == len(set(seen))
        ids = {row // 9: label for row, label in zip(seen, labels, strict=True)}
        assert sorted(ids.values()) == list(range(stream.room))
        assert [stream.names[i] for i in ids.values()] == [f"c{c}" for c in ids]
    else:
        assert len(seen) == 3 * 20
        assert labels == [row // 9 for row in seen]


def test_classes_appear_when_they_appear():
    stream = STREAMS[0]
    labels = [
        rows_of(stream.batches(first, end - first))[1]
        for first, end in zip((0, *stream.ends), stream.ends, strict=False)
    ]
    assert [sorted(set(task)) for task in labels] == [[0, 1], [2, 3], [4, 5]]
    assert labels[0] != sorted(labels[0])  # mixed within a task
    assert stream.told


def test_shuffled_rows_are_those_of_the_tasks():
    tasks = ClassStream(pool=pool(), held_out_rows=3, batch_size=4)
    mixed = ClassStream(pool=pool(), held_out_rows=3, batch_size=4, order="shuffled")
    a, b = (rows_of(stream.batches(0, len(stream))) for stream in (tasks, mixed))
    assert a != b
    assert sorted(zip(*a, strict=True)) == sorted(zip(*b, strict=True))
    assert len(mixed.ends) == 1
    assert mixed.tasks == 6
    assert not mixed.told
    assert rows_of(mixed.held_out(2)) == rows_of(tasks.held_out(2))


def test_tasks_that_come_again_bring_other_rows():
    stream = STREAMS[2]
    assert len(stream.ends) == 6
    assert stream.tasks == 3
    first, again = (set(rows_of(stream.batches(stream.ends[i] - 2, 2))[0]) for i in (0, 3))
    assert len(first) == len(again) == 10
    assert not first & again


def test_rotation_is_that_of_torch_at_right_angles_and_tasks_have_their_own():
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(turned(x, torch.full((3,), math.pi / 2)), x.rot90(1, dims=(-2, -1)), atol=1e-5)
    shown = Rotated(angles=2)(x, torch.tensor([0, 1, 0]))
    assert torch.allclose(shown[0], x[0], atol=1e-5)
    assert torch.allclose(shown[1], x[1].rot90(1, dims=(-2, -1)), atol=1e-5)


def test_a_permutation_is_the_same_for_all_rows_of_a_task():
    x = torch.arange(32.0).view(2, 1, 4, 4)
    a, b = Permuted(permutations=2)(x, torch.tensor([1, 1]))
    assert torch.equal(a + 16, b)
    assert sorted(a.flatten().tolist()) == list(range(16))
    assert torch.equal(Permuted(permutations=2)(x, torch.tensor([0, 1]))[0], x[0])


def test_rainbow_has_56_tasks_that_differ():
    x = torch.rand(1, 1, 8, 8).expand(56, -1, -1, -1)
    shown = Rainbow()(x, torch.arange(56))
    assert shown.shape == (56, *Rainbow().shape((1, 8, 8)))
    assert len({tuple(one.flatten().tolist()) for one in shown}) == 56
    assert Rainbow(first=5).tasks == 5


def test_all_classes_of_a_data_set_are_joined_by_name():
    splits = split_classes(pool(), {"train": 3, "validation": 1, "test": 2})
    whole = joined(splits)
    assert whole.names == pool().names
    assert whole.role is None
    assert torch.equal(whole.data, pool().data)
    assert torch.equal(whole.counts, pool().counts)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ClassStream(pool=pool(), classes=7), "has 6 classes, and 7 are asked for"),
        (lambda: ClassStream(pool=pool(), rows=5, held_out_rows=3), "need 8 examples of every class, and 'c5' has 7"),
        (lambda: ClassStream(pool=pool(), classes_per_task=4), "6 classes cannot be cut into tasks of 4"),
        (lambda: ClassStream(pool=pool(), rows=2, visits=3), "3 visits of a task need as many rows, and one has 2"),
        (lambda: ClassStream(pool=pool(), batch_size=0), "batch_size must be"),
        (lambda: DomainStream(pool=pool(), change=Rotated(), rows=50, held_out_rows=3), "53 examples, and arrays"),
        (
            lambda: DomainStream(
                pool=Pool(data=torch.zeros(2, 3, 5), counts=torch.tensor([3, 3]), names=("a", "b")),
                change=Rotated(),
                rows=2,
                held_out_rows=2,
            ),
            "only square grey pictures can be rotated",
        ),
    ],
)
def test_a_stream_that_cannot_be_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
