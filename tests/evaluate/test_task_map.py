"""The map of classes, on planted ones: identical, well apart, moved, turned within the trained ones' plane and out."""

import json
import math
from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.task_map import CLASSES, EXAMPLES, task_map
from innerloop.tasks import Pool
from innerloop.tasks.pool import from_rows

SIZE = 8


def blobs(means, instances=20, spread=0.3, seed=0, split="train"):
    """Normal clouds about [classes, d] means."""
    means = torch.as_tensor(means, dtype=torch.float64)
    noise = torch.randn(len(means), instances, means.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    counts = torch.full((len(means),), instances)
    names = tuple(f"{split}-{i}" for i in range(len(means)))
    return Pool(data=means[:, None] + spread * noise, counts=counts, names=names, split=split)


def ring(classes, radius=10.0, start=0.0, first=0):
    """Means on a circle in two of eight dimensions."""
    angles = start + 2 * math.pi * torch.arange(classes, dtype=torch.float64) / classes
    means = torch.zeros(classes, SIZE, dtype=torch.float64)
    means[:, first], means[:, first + 1] = radius * angles.cos(), radius * angles.sin()
    return means


def test_identical_classes_are_as_hard_as_guessing():
    same = blobs(torch.zeros(30, SIZE), seed=1, split="test")
    assert task_map(blobs(ring(6)), same).difficulty == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("instances", [2, 3])
def test_few_examples_make_identical_classes_neither_easier_nor_harder(instances):
    same = blobs(torch.zeros(100, SIZE), instances, seed=2, split="test")
    assert task_map(blobs(ring(6)), same).difficulty == pytest.approx(0.5, abs=0.1)


def test_classes_well_apart_are_easy_and_hard_ones_come_first():
    means = torch.cat([ring(6), torch.tensor([[0.0] * SIZE, [0.2] + [0.0] * (SIZE - 1)], dtype=torch.float64)])
    mapped = task_map(blobs(ring(6, start=0.3)), blobs(means, split="test"))
    rows = mapped.neighbours()
    assert task_map(blobs(ring(6)), blobs(ring(6), split="test")).difficulty == 0.0
    assert {rows[0].name, rows[1].name} == {"test-6", "test-7"} and rows[0].rival in ("test-6", "test-7")
    assert all(row.difficulty == 0 for row in rows[2:])


def test_the_same_classes_are_not_new_and_others_are():
    train = blobs(ring(12))
    again, alike = blobs(ring(12), seed=5, split="test"), blobs(ring(12, start=math.pi), seed=5, split="test")
    far = blobs(ring(12) + 100, seed=5, split="test")
    assert task_map(train, again).novelty == pytest.approx(0.0)
    assert task_map(train, alike).novelty == pytest.approx(0.0)  # every second place of twelve is one of twelve
    assert task_map(train, far).novelty == 1.0
    halves = torch.randn(60, SIZE, generator=torch.Generator().manual_seed(3))
    drawn_alike = task_map(blobs(halves[:30], spread=0.01), blobs(halves[30:], spread=0.01, split="test"))
    assert drawn_alike.novelty == pytest.approx(0.5, abs=0.15)


def test_turned_classes_are_helped_where_they_stay_in_what_was_trained_on():
    train = blobs(ring(40), spread=0.01)
    turned = task_map(train, blobs(ring(12, start=0.1), spread=0.01, split="test"))
    moved = task_map(train, blobs(ring(12) + 50, spread=0.01, split="test"))
    away = task_map(train, blobs(ring(12, first=2), spread=0.01, split="test"))
    assert turned.help > 0.99 and moved.help > 0.99 and away.help < 0.01
    assert moved.novelty == 1.0


def test_who_helps_is_who_differs_in_the_same_way():
    """One training class stands apart in the third direction, as do the test classes."""
    means = torch.zeros(4, SIZE)
    means[1, 0], means[2, 1], means[3, 2] = 5.0, 5.0, 40.0
    wanted = torch.zeros(2, SIZE)
    wanted[1, 2] = 3.0
    mapped = task_map(blobs(means, spread=0.01), blobs(wanted, spread=0.01, split="test"))
    assert all("train-3" in row.helpers for row in mapped.neighbours())
    by_hand = (1600.0 / 1600) ** 2
    assert mapped.helps[0, 3].item() == pytest.approx(by_hand, abs=1e-3)
    assert mapped.helps[0, 1].item() == pytest.approx(1600 / 1625, abs=1e-3)  # with the third: 40^2 / (40^2 + 5^2)


def test_turned_pictures_are_new_as_pixels_and_old_to_an_encoder_that_turns_change_nothing_for():
    bars = torch.zeros(5, 12, 1, 16, 16)
    for i in range(5):
        bars[i, :, :, i : i + 6] = 1.0
    bars = bars + 0.05 * torch.randn(bars.shape, generator=torch.Generator().manual_seed(0))
    lying = Pool(data=bars, counts=torch.full((5,), 12), names=tuple(map(str, range(5))), split="train")
    standing = replace(lying, data=bars.rot90(1, (-2, -1)), split="test")

    def invariant(x):
        return torch.stack([x.rot90(k, (-2, -1)).flatten(1) for k in range(4)]).mean(0)

    pixels, features = task_map(lying, standing), task_map(lying, standing, invariant)
    assert pixels.novelty == 1.0 and features.novelty == 0.0
    assert pixels.help < 0.05 and features.help == pytest.approx(1.0)
    assert [row.name for row in features.neighbours()] == [row.nearest for row in features.neighbours()]


def test_distances_are_those_of_the_true_means():
    means = torch.randn(6, SIZE, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    mapped = task_map(blobs(means[:3], 20, 0.05), blobs(means[3:], 20, 0.05, split="test"))
    true = torch.cdist(torch.cat([means[3:], means[:3]]), torch.cat([means[3:], means[:3]]))
    assert torch.allclose(mapped.distances, true, atol=0.1)
    assert mapped.places.shape == (6, 2) and 0 < mapped.share <= 1


def test_large_pools_are_thinned_by_seed():
    big = blobs(torch.randn(CLASSES + 5, SIZE, generator=torch.Generator().manual_seed(8)), EXAMPLES + 3, split="test")
    one, again, other = (task_map(blobs(ring(5)), big, seed=seed) for seed in (0, 0, 1))
    assert len(one.test) == CLASSES and one.test == again.test and one.difficulty == again.difficulty
    assert one.test != other.test
    assert torch.equal(one.distances, again.distances)


def test_it_is_plain_json():
    mapped = task_map(blobs(ring(5)), blobs(ring(4), split="test"))
    about = json.loads(json.dumps(mapped.to_json(), allow_nan=False))
    assert about["test_classes"] == 4 and len(about["classes"]) == 4
    assert f"novelty {mapped.novelty:.2f}" in str(mapped)


def test_a_class_of_one_example_has_no_difficulty():
    rows = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [5.1, 0.2], [9.0, 9.0]])
    mapped = task_map(blobs(ring(4)[:, :2]), from_rows(rows, [0, 0, 1, 1, 2], ["a", "b", "c"]))
    assert {row.name: row.difficulty for row in mapped.neighbours()} == {"a": 0.0, "b": 0.0, "c": None}


def test_what_gives_no_map_is_refused():
    two, one = blobs(ring(4)), blobs(ring(4)[:1])
    with pytest.raises(InputError, match="two classes of each split"):
        task_map(two, one)
    with pytest.raises(InputError, match="two classes of each split"):
        task_map(one, two)
    with pytest.raises(InputError, match="none of the 4 classes"):
        task_map(two, blobs(ring(4), instances=1))
    many = blobs(torch.randn(3 * CLASSES, SIZE), instances=2)
    passed_by = next(i for i, name in enumerate(many.names) if name not in task_map(two, many).test)
    counts = torch.ones(len(many), dtype=torch.int64)
    counts[passed_by] = 2
    with pytest.raises(InputError, match="none of the 100 classes"):
        task_map(two, replace(many, counts=counts))
    with pytest.raises(InputError, match="finite features"):
        task_map(two, two, lambda x: x * float("nan"))
    with pytest.raises(InputError, match=r"\[20, d\]"):
        task_map(two, two, lambda x: x[:3])
