from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks import Pool
from innerloop.tasks.completion import Completion
from tests.problems import inputs

from .pools import pictures, tagged


def uneven() -> Pool:
    """Wide colour pictures; classes of 2, 1 and 3 of them, whose padding is black."""
    data = torch.randint(1, 256, (3, 3, 3, 4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    counts = torch.tensor([2, 1, 3])
    data[torch.arange(3) >= counts[:, None]] = 0
    return Pool(data=data, counts=counts, names=("a", "b", "c"), dataset="uneven")


def test_pixels_are_those_of_the_picture_and_no_one_is_in_both():
    sampler = Completion(pool=uneven(), shots=7, queries=17, fewest_shots=0, seed=3)
    support, query = sampler.episodes(5, 60)
    assert inputs(support).shape == (60, 7, 2) and query.y.shape == (60, 17, 3) and support.mask is not None
    truth, known = sampler.pictures(5, 60), {tuple(p.flatten().tolist()) for p in uneven().rows(torch.arange(9))}
    for i in range(60):
        assert truth[i].min() > 0 and tuple(truth[i].flatten().tolist()) in known, "a picture, and no padding"
        rows, seen = support.mask[i], []
        for x, y in ((inputs(support)[i][rows], support.y[i][rows]), (inputs(query)[i], query.y[i])):
            across, down = ((x[:, 0] + 1) / 2 * 5).round().long(), ((x[:, 1] + 1) / 2 * 3).round().long()
            assert torch.equal(truth[i][:, down, across].T, y)
            seen += list(zip(across.tolist(), down.tolist(), strict=True))
        assert len(set(seen)) == len(seen) == 17 + int(rows.sum())
        assert not inputs(support)[i][~rows].any() and not support.y[i][~rows].any()
    assert support.mask.sum(1).unique().tolist() == list(range(8)), "from none to all"
    drawn = torch.tensor([hash(tuple(p.flatten().tolist())) for p in sampler.pictures(0, 3000)])
    shares = sorted((drawn.unique(return_counts=True)[1] / 3000).tolist())
    assert shares == pytest.approx([1 / 9] * 3 + [1 / 6] * 2 + [1 / 3], abs=0.03), "classes with equal chances"


def test_an_episode_depends_on_seed_and_index_and_fewer_pixels_are_the_first():
    sampler = Completion(pool=pictures(4, 5, 8), shots=12, queries=20, seed=1)
    together = sampler.episodes(2**32 - 2, 4)
    for i in range(4):
        alone = sampler.episodes(2**32 - 2 + i, 1)
        for a, b in zip(tree.flatten(tree.slice(together, slice(i, i + 1))), tree.flatten(alone), strict=True):
            assert torch.equal(a, b)
    fewer = replace(sampler, shots=5).episodes(2**32 - 2, 4).support
    assert torch.equal(inputs(fewer), inputs(together.support)[:, :5])
    assert torch.equal(fewer.y, together.support.y[:, :5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 30, "queries": 7}, "30 shots and 7 queries need 37 pixels; a picture of pictures has 36"),
        ({"shots": 3, "queries": 1, "fewest_shots": 4}, "at most shots=3, got 4"),
        ({"pool": tagged([2, 2])}, r"only pictures are completed; examples of tagged have shape \[2\]"),
    ],
)
def test_what_makes_no_task_is_refused(options: Any, message: str):
    with pytest.raises(InputError, match=message):
        Completion(**{"pool": pictures()} | options)
