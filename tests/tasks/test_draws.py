import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from innerloop.core import random
from innerloop.tasks import draws


@given(st.integers(-(2**62), 2**62), st.integers(0, 2**40), st.integers(1, 5), st.integers(1, 40))
def test_the_numbers_are_those_of_core_random(seed, first, count, n):
    key, expected = draws.keys(seed, first, count), random.mix(seed, torch.arange(first, first + count))
    assert torch.equal(draws.tensor(key), expected)
    number = np.arange(first, first + count) % 2**32
    for fold in (n, number.astype(np.uint32)):
        other = fold if isinstance(fold, int) else torch.from_numpy(number)
        assert torch.equal(draws.tensor(draws.fold(key, fold)), random.fold(expected, other))
    assert torch.equal(draws.tensor(draws.bits(key, n)), random.bits(expected, (n,)))
    assert torch.equal(torch.from_numpy(draws.uniform(key, n)), random.uniform(expected, (n,)))
    assert torch.equal(torch.from_numpy(draws.permutation(key, n)), random.permutation(expected, n))


@given(st.integers(0, 2**32), st.integers(1, 60), st.data())
def test_a_choice_is_the_beginning_of_a_random_order(seed, size, data):
    key = draws.keys(seed, 0, 4)
    among = np.array(data.draw(st.lists(st.integers(1, size), min_size=4, max_size=4)))
    k = data.draw(st.integers(1, int(among.min())))
    chosen = draws.choose(key, size, k, among)
    for row, numbers, n in zip(chosen, draws.bits(key, size), among, strict=True):
        assert row.tolist() == sorted(range(n), key=lambda i: (numbers[i], i))[:k]
    assert (draws.choose(key, size, k) == draws.choose(key, size, k, np.full(4, size))).all()


def test_ties_go_to_the_first(monkeypatch):
    monkeypatch.setattr(draws, "bits", lambda key, count: np.full((len(key), count), 7, np.uint32))
    assert draws.choose(draws.keys(0, 0, 2), 9, 3).tolist() == [[0, 1, 2]] * 2


def test_numbers_of_a_range_are_uniform():
    found = np.bincount(draws.between(draws.keys(1, 0, 30_000), 2, 5))
    assert found[:2].sum() == 0 and found[2:] == pytest.approx([7500] * 4, rel=0.05)


def test_keys_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        draws.keys(0, 0, 3)[0] = 1
