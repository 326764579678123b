"""Checks of episodes and splits by themselves: what they count, what they let pass, and what they say."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.audit.check_data import (
    SHARED_ROWS,
    Z_LIMIT,
    _chi_square,  # pyright: ignore[reportPrivateUsage]
    class_overlap,
    disjoint_episodes,
    duplicate_images,
    label_order,
)
from innerloop.core.types import Batch, Episode
from innerloop.tasks import EpisodeSampler, Pool, Sinusoid, UnsupervisedSampler
from tests.evaluate import tiny


def rows(values: list[list[int]], mask: list[bool] | None = None) -> Batch:
    """One task whose examples are pairs (value, 1)."""
    x = torch.tensor([[[v, 1] for v in task] for task in values], dtype=torch.float32)
    real = None if mask is None else torch.tensor(mask).expand(len(values), -1)
    return Batch(x, torch.zeros(x.shape[:2], dtype=torch.int64), real)


def pool(values: list[list[int]], names: str = "abcdefgh", dataset: str = "blobs", **fields) -> Pool:
    data = torch.tensor([[[v, 255] for v in row] for row in values], dtype=torch.uint8)
    counts = torch.full((len(values),), data.shape[1])
    return Pool(**{"data": data, "counts": counts, "names": tuple(names[: len(values)]), "dataset": dataset} | fields)


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), st.lists(st.integers(2, 9), min_size=1, max_size=6))
def test_shared_rows_are_those_of_a_set(support, query):
    result = disjoint_episodes(Episode(rows([support]), rows([query])))
    shared = sum(v in support for v in query)
    assert result.figure == shared / len(query) and result.passed == (shared == 0)
    assert result.explanation.startswith(f"{shared} of {len(query)} query rows are in their own support")
    assert ("without replacement" in result.explanation) == (shared > 0)


def test_only_the_own_support_counts():
    other = Episode(rows([[2, 3], [4, 5]]), rows([[4, 5], [2, 3]]))
    assert disjoint_episodes(other).passed, "tasks may use each other's examples"
    assert disjoint_episodes(Episode(rows([[2, 3], [4, 5]]), rows([[6, 7], [8, 4]]))).figure == 1 / 4


def test_padding_is_no_row():
    support = rows([[2, 9]], [True, False])
    assert disjoint_episodes(Episode(support, rows([[9, 8]]))).passed
    assert disjoint_episodes(Episode(rows([[2, 9]]), rows([[8, 9]], [True, False]))).figure == 0
    assert disjoint_episodes(Episode(support, rows([[8, 2]], [False, True]))).figure == 1


def test_inputs_of_several_parts_are_equal_where_all_parts_are():
    a, b = rows([[2, 3]]), rows([[3, 2]])
    both = [batch._replace(x={"ids": batch.x, "extra": extra.x}) for batch, extra in ((a, a), (b, a))]
    assert disjoint_episodes(Episode(*both)).passed
    assert disjoint_episodes(Episode(both[0], both[0])).figure == 1


def test_a_few_duplicates_of_the_data_pass():
    """The share is judged, not the count: real data hold a few."""
    task = [[v] for v in range(2, 252)] * 4
    support, query = rows(task), rows([[v + 300] for (v,) in task])
    assert isinstance(query.x, torch.Tensor) and isinstance(support.x, torch.Tensor)
    for shared in (1, 2):
        x = query.x.clone()
        x[:shared] = support.x[:shared]
        result = disjoint_episodes(Episode(support, query._replace(x=x)))
        assert result.figure == shared / 1000 and result.passed == (shared / 1000 <= SHARED_ROWS)
        assert result.explanation.startswith(f"{shared} of 1,000 query rows")


def test_classes_of_two_splits_are_named_for_every_pair():
    splits = {"train": pool([[1], [2]], "ab"), "validation": pool([[3], [4]], "cd"), "test": pool([[5], [6]], "ef")}
    result = class_overlap(splits)
    assert result.passed and result.figure == 0
    assert result.explanation == "no class is in two splits (train 2, validation 2, test 2 classes)"
    splits["validation"], splits["test"] = pool([[3], [4]], "bc"), pool([[5], [6], [7]], "abx")
    result = class_overlap(splits)
    assert result.passed is False and result.figure == 4
    for text in ("1 in train and validation, such as 'b'", "2 in train and test, such as 'a'", "Split by class"):
        assert text in result.explanation


def test_a_name_in_another_data_set_is_another_class():
    splits = {"train": pool([[1]], "a"), "test": pool([[2]], "a", dataset="others")}
    assert class_overlap(splits).passed
    turned = {"train": pool([[1]], "a"), "test": replace(pool([[2]], "a"), names=("a/rot270",))}
    assert class_overlap(turned).passed is False


def test_examples_of_two_splits_are_counted_once():
    splits = {"train": pool([[1, 2], [3, 4]]), "test": pool([[5, 2], [2, 6]])}
    result = duplicate_images(splits)
    assert result.passed is False and result.figure == 1, "one picture, though it is there three times"
    assert "1 examples are in two splits, 1 in test and train (1 copies within test)" in result.explanation
    assert result.explanation.endswith("remove them from one before testing")


def test_padding_of_a_pool_is_no_example():
    short = pool([[5, 2], [6, 2]], counts=torch.tensor([1, 1]))
    result = duplicate_images({"train": pool([[1, 2], [3, 4]]), "test": short})
    assert result.passed and result.explanation == "no example is in two splits"


def test_one_in_a_thousand_examples_may_be_in_two_splits():
    """As many of the smallest split as real data hold by accident."""

    def of(first: int, shared: int) -> Pool:
        data = torch.arange(first, first + 1000, dtype=torch.float32).view(10, 100, 1).repeat(1, 1, 2)
        data[..., 1] = -1
        data[0, :shared] = torch.stack([torch.arange(shared).float(), torch.full((shared,), -1.0)], 1)
        return Pool(data=data, counts=torch.full((10,), 100), names=tuple(map(str, range(10))))

    allowed, many = ({"train": of(0, 0), "test": of(5000, shared)} for shared in (1, 2))
    result = duplicate_images(allowed)
    assert result.passed and result.figure == 1 and result.explanation.endswith("few enough to be incidental")
    assert duplicate_images(many).passed is False


@settings(max_examples=20)
@given(st.integers(2, 5), st.integers(0, 3), st.integers(0, 10**6))
def test_the_statistic_of_label_order_is_standard_normal(ways, spare, seed):
    """Episodes of labels in a random order stay within the limit; labels in order of the class never do."""
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(ways + spare)[:ways] for _ in range(600)])
    assert abs(_chi_square(torch.from_numpy(orders))) < Z_LIMIT
    assert _chi_square(torch.from_numpy(np.sort(orders, 1))) > Z_LIMIT


def test_the_statistic_has_the_mean_and_the_spread_of_chance():
    rng = np.random.default_rng(0)
    values = [_chi_square(torch.from_numpy(np.stack([rng.permutation(5)[:3] for _ in range(300)]))) for _ in range(300)]
    assert abs(np.mean(values)) < 4 / math.sqrt(300) and np.std(values) == pytest.approx(1, abs=0.2)
    assert _chi_square(torch.zeros(9, 3, dtype=torch.int64)) == 0, "one class has no order"


@dataclass(frozen=True, kw_only=True, eq=False)
class Half(EpisodeSampler):
    """Every second episode has its classes in order."""

    def draw(self, first: int, count: int):
        drawn = super().draw(first, count)
        ordered = (torch.arange(first, first + count) % 2 == 0)[:, None]
        return drawn._replace(classes=torch.where(ordered, drawn.classes.sort(-1).values, drawn.classes))


def test_labels_that_follow_the_class_half_of_the_time_fail():
    result = label_order(Half(pool=tiny.pool(), ways=5, shots=1, queries=1))
    assert result.passed is False and result.figure is not None and result.figure > Z_LIMIT
    assert f"({result.figure:.0f} standard deviations from chance)" in result.explanation


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        (Sinusoid(), "the sampler draws no classes from a pool"),
        (UnsupervisedSampler(pool=tiny.pool(), ways=5), "labels are those of pictures"),
        (EpisodeSampler(pool=tiny.pool(), ways=1, shots=1, queries=1), "one way has one order"),
    ],
)
def test_what_has_no_order_is_noted(sampler, text):
    result = label_order(sampler)
    assert result.passed is None and result.figure is None and text in result.explanation


def test_all_classes_in_every_episode_still_have_an_order():
    result = label_order(EpisodeSampler(pool=tiny.pool(5), ways=5, shots=1, queries=1))
    assert result.passed and "over 2000 episodes" in result.explanation
    uneven = label_order(EpisodeSampler(pool=tiny.pool(), ways=(2, 4), shots=1, queries=1))
    assert uneven.passed and "over 2000" not in uneven.explanation, "only episodes with all labels are counted"
