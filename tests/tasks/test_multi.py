from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import Pool
from innerloop.tasks.multi import TaskBatchSampler
from tests.problems import inputs


def pool(groups=(), counts=(5, 3, 4, 5, 2, 5, 5)):
    n = len(counts)
    data = torch.arange(n * 5, dtype=torch.float32).view(n, 5, 1)
    return Pool(data=data, counts=torch.tensor(counts), names=tuple(f"c{i}" for i in range(n)), groups=tuple(groups))


def test_tasks_are_groups_or_a_fixed_cut():
    assert TaskBatchSampler(pool=pool("aabbbcc"), batch_size=2).tasks == ((0, 1), (2, 3, 4), (5, 6))
    alone = TaskBatchSampler(pool=pool("aabbbbc"), batch_size=2)
    assert alone.tasks == ((0, 1), (2, 3, 4, 5)), "a class alone is no task"
    assert TaskBatchSampler(pool=pool(), batch_size=2, size=3).tasks == ((0, 1, 2, 3), (4, 5, 6))
    assert TaskBatchSampler(pool=pool(), batch_size=2).tasks == (tuple(range(7)),)


def test_a_rotated_alphabet_is_a_task_of_its_own():
    square = Pool(
        data=torch.zeros(3, 2, 1, 4, 4),
        counts=torch.full((3,), 2),
        names=("a/1", "a/2", "b/1"),
        groups=("a", "a", "b"),
    ).rotated()
    tasks = TaskBatchSampler(pool=square, batch_size=2).tasks
    assert len(tasks) == 4 and all(len(t) == 2 for t in tasks)


def test_batches_are_of_one_task_and_uniform_over_its_examples():
    sampler = TaskBatchSampler(pool=pool("aabbbcc"), batch_size=50, seed=3)
    support, query = sampler.episodes(0, 60)
    assert inputs(support).shape[:2] == (60, 0) and inputs(query).shape == (60, 50, 1)
    assert query.classes is not None
    seen = torch.zeros(7, 5)
    for x, y, classes in zip(inputs(query), query.y, query.classes, strict=True):
        assert tuple(classes.nonzero().flatten().tolist()) in sampler.tasks and bool(classes[y].all())
        assert torch.equal(x[:, 0] // 5, y.float())
        seen[y, (x[:, 0] % 5).long()] += 1
    counts = sampler.pool.counts
    assert bool((seen > 0).eq(torch.arange(5) < counts[:, None]).all()), "every example, and no padding"
    for classes in sampler.tasks:
        rows = seen[list(classes)][torch.arange(5) < counts[list(classes), None]]
        assert bool(((rows / rows.mean() - 1).abs() < 0.5).all())


@pytest.mark.exact
def test_a_batch_is_a_function_of_seed_and_index():
    sampler = TaskBatchSampler(pool=pool("aabbbcc"), batch_size=4, seed=1)
    whole, part = sampler.episodes(0, 6).query, sampler.episodes(4, 2).query
    assert whole.classes is not None and part.classes is not None
    assert torch.equal(inputs(whole)[4:], inputs(part)) and torch.equal(whole.classes[4:], part.classes)
    assert not torch.equal(whole.y, replace(sampler, seed=2).episodes(0, 6).query.y)


def test_what_cannot_be_is_refused():
    usual: dict[str, Any] = {"pool": pool(), "batch_size": 2}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 0}, "batch_size"),
        ({"size": 1}, "whole number of at least 2"),
    ]
    for wrong, said in refused:
        with pytest.raises(InputError, match=said):
            TaskBatchSampler(**usual | wrong)
    with pytest.raises(InputError, match="no two that belong together"):
        TaskBatchSampler(pool=pool("abcdefg"), batch_size=2)
