"""Near-duplicates: what counts as near, what is said of it, and what is left alone."""

from dataclasses import replace

import pytest
import torch

from innerloop.audit.check_near import near_duplicates, near_support
from innerloop.tasks import EpisodeSampler, Pool, UnsupervisedSampler
from tests.evaluate import tiny


def splits() -> dict[str, Pool]:
    return {s: tiny.pool(6, 8, i, s) for i, s in enumerate(("train", "test"))}


def test_near_copies_are_counted_and_named():
    pools = splits()
    data, train = pools["test"].data.clone(), pools["train"].data
    data[2] = 0.8 * train[4] + 0.1
    data[3, :2] = (train[1, :2] + 0.02 * torch.rand(2, 1, tiny.SIZE, tiny.SIZE)).clamp(0, 1)
    result = near_duplicates(pools | {"test": replace(pools["test"], data=data)})
    assert result.passed is False and result.figure == 10
    assert "10 of 48 examples, of 2 classes" in result.explanation and "Remove them" in result.explanation
    assert result.details == {
        "classes": {"'train/04' (train)": "'test/02' (test)", "'train/01' (train)": "'test/03' (test)"}
    }


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_classes_that_are_alike_are_no_duplicates(share):
    """Half of every picture is common to all, as paper and frames are."""
    common = torch.rand(1, 1, 1, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(9))
    pools = {k: replace(p, data=share * common + (1 - share) * p.data) for k, p in splits().items()}
    result = near_duplicates(pools)
    assert result.passed and result.figure == 0 and "none of 48 examples" in result.explanation


def test_points_of_a_plane_are_near_each_other_by_chance():
    def cloud(seed: int, entries: int) -> Pool:
        data = torch.rand(5, 40, entries, generator=torch.Generator().manual_seed(seed))
        return Pool(data=data, counts=torch.full((5,), 40), names=tuple(f"{seed}{i}" for i in range(5)))

    assert near_duplicates({"a": cloud(0, 2), "b": cloud(1, 2)}).passed is None
    line = {k: replace(cloud(i, 1), data=cloud(i, 1).data.expand(5, 40, 9)) for i, k in enumerate("ab")}
    result = near_duplicates(line)
    assert result.passed and result.figure and "no more than chance" in result.explanation


def test_blank_pictures_and_unlike_shapes_are_not_compared():
    pools = splits()
    blank = replace(pools["test"], data=torch.zeros_like(pools["test"].data))
    assert near_duplicates({"train": pools["train"], "test": blank}).passed
    vectors = replace(pools["test"], data=pools["test"].data.flatten(2))
    assert near_duplicates({"train": pools["train"], "test": vectors}).passed is None


def test_copies_by_design_are_noted():
    sampler = UnsupervisedSampler(pool=tiny.pool(), ways=3)
    assert near_support(sampler, sampler.episodes(0, 4)).passed is None
    honest = EpisodeSampler(pool=tiny.pool(), ways=3, shots=1, queries=4)
    result = near_support(honest, honest.episodes(0, 4))
    assert result.passed and "0 of 48 query rows" in result.explanation
