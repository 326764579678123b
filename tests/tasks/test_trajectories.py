import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import EpisodeSampler, TrajectorySampler
from tests.problems import inputs
from tests.tasks.pools import tagged

POOL = tagged([6, 9, 5, 7, 6, 8, 5])


def sampler(ways=3, seed=0, remember=40):
    return TrajectorySampler(
        sampler=EpisodeSampler(pool=POOL, ways=ways, shots=3, queries=2, seed=seed), remember=remember
    )


@pytest.mark.parametrize("ways", [3, (2, 4)])
def test_labels_are_those_of_the_pool_and_what_is_remembered_is_not_shown(ways):
    plain = EpisodeSampler(pool=POOL, ways=ways, shots=3, queries=2).episodes(0, 30)
    support, query = sampler(ways).episodes(0, 30)
    assert torch.equal(inputs(support), inputs(plain.support)), "the trajectory is the episode's"
    assert support.classes is not None and support.classes.shape == (30, 7) and support.classes.all()
    seen = torch.zeros(7)
    for i in range(30):
        real = torch.ones_like(query.y[i]) > 0 if query.mask is None else query.mask[i]
        assert torch.equal(inputs(query)[i][real][:, 0].long(), query.y[i][real])
        assert (
            (inputs(query)[i] >= 0) & (inputs(query)[i][:, 1] < POOL.counts[query.y[i].clamp_min(0)])[:, None]
        ).all()
        labelled = support.y[i][support.y[i] >= 0]
        assert torch.equal(inputs(support)[i][support.y[i] >= 0][:, 0].long(), labelled)
        assert len(labelled.unique_consecutive()) == len(labelled.unique()), "one class after another"
        asked, more = query.y[i][:-40], query.y[i][-40:]
        assert set(asked[asked >= 0].tolist()) == set(labelled.tolist())
        others = set(range(7)) - set(labelled.tolist())
        assert set(more.tolist()) <= others
        seen += torch.bincount(more, minlength=7)
    assert ((seen / seen.mean() - 1).abs() < 0.5).all()


@pytest.mark.exact
def test_a_trajectory_is_a_function_of_seed_and_index():
    whole, part, other = sampler().episodes(0, 5), sampler().episodes(3, 2), sampler(seed=1).episodes(0, 5)
    assert torch.equal(inputs(whole.query)[3:], inputs(part.query)) and torch.equal(whole.query.y[3:], part.query.y)
    assert not torch.equal(whole.query.y, other.query.y)
    assert sampler().describe()["remember"] == 40


def test_what_leaves_nothing_to_remember_is_refused():
    with pytest.raises(InputError, match=r"nothing is left to remember: tagged .* Lower the ways"):
        sampler(7)
    rows = EpisodeSampler(pool=POOL, ways=2, shots=2, queries=1, unlabelled=1)
    with pytest.raises(InputError, match="leave out the unlabelled"):
        TrajectorySampler(sampler=rows, remember=3)
