import pytest
import torch
from scipy import stats

from innerloop.core import random


def keys(n: int, seed: int = 0) -> torch.Tensor:
    return random.mix(seed, torch.arange(n))


def test_keys_are_frozen_for_ever():
    """Episodes of stored protocols depend on these numbers."""
    assert random.mix(0, torch.arange(4)).tolist() == [2119570448, 1945910975, 1339635451, 2449292358]
    assert random.fold(torch.tensor(1), 2).item() == random.fold(torch.tensor([1]), torch.tensor([2])).item()


def test_folding_is_murmurs_finaliser_in_whole_numbers():
    def scramble(x: int) -> int:
        x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
        x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
        return x ^ x >> 16

    largest = [2**32 - 1, 2**31, 2**31 - 1, 0]
    pairs = [(k, n) for k in largest + keys(50).tolist() for n in [*largest, -1, 2**40 + 7]]
    expected = [scramble((k * 0x9E3779B1 + scramble(n % 2**32) + 0x7F4A7C15) % 2**32) for k, n in pairs]
    assert random.fold(*torch.tensor(pairs).unbind(1)).tolist() == expected
    assert [int(random.fold(torch.tensor(k), n)) for k, n in pairs] == expected


def test_large_and_negative_seeds_differ():
    seeds = [0, 1, -1, 2**32, 2**32 + 1, 2**62]
    assert len({int(random.mix(s, 0)) for s in seeds}) == len(seeds)
    assert len({int(random.mix(0, s)) for s in seeds}) == len(seeds)
    assert len(set(keys(100_000).tolist())) > 99_990  # 32 bits: a collision or two is chance


def test_uniform_and_normal_have_their_distributions():
    for sample, law in ((random.uniform, "uniform"), (random.normal, "norm")):
        within = sample(random.mix(3, 4), (20_000,), torch.float64)
        across = sample(keys(20_000), (1,), torch.float64)[:, 0]
        for values in (within, across):
            assert stats.kstest(values.numpy(), law).pvalue > 1e-3
        assert abs(torch.corrcoef(sample(keys(20_000), (2,), torch.float64).T)[0, 1]) < 0.03


def test_permutations_are_permutations_and_uniform():
    found = random.permutation(keys(24_000), 4)
    assert torch.equal(found.sort(-1).values, torch.arange(4).expand(24_000, 4))
    counts = torch.unique(found, dim=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert random.permutation(torch.tensor(5), 1).tolist() == [0]


def test_vmap_equals_loop():
    ks = keys(5)
    for draw in (lambda k: random.normal(k, (3, 2)), lambda k: random.permutation(random.fold(k, 7), 6)):
        assert torch.equal(torch.vmap(draw)(ks), torch.stack([draw(k) for k in ks]))


@pytest.mark.parametrize("sample", [random.uniform, random.normal], ids=lambda f: f.__name__)
def test_one_number_for_each_key(sample):
    keys = random.mix(3, torch.arange(5))
    numbers = sample(keys, ())
    assert numbers.shape == (5,) and sample(keys[2], ()).shape == () and torch.equal(sample(keys[2], ()), numbers[2])
    assert torch.equal(numbers, sample(keys, (1,))[:, 0])


@pytest.mark.parametrize("a", [0.3, 1.0, 2.0, 30.0])
def test_symmetric_betas_have_their_distribution(a):
    values = random.symmetric_beta(keys(20_000), a, torch.float64)
    assert stats.kstest(values.numpy(), "beta", (a, a)).pvalue > 1e-3


def test_a_beta_that_underflows_is_0_or_1():
    assert set(random.symmetric_beta(keys(200), 1e-6).tolist()) == {0.0, 1.0}
