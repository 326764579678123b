import pytest
import torch

from innerloop.core import tree
from innerloop.engine.episode_buffer import Feed
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

LEARNER = MAML(model=MLP())


class Counting:
    """A sampler that remembers what it was asked for."""

    def __init__(self):
        self.calls = []

    def episodes(self, first, count):
        self.calls.append((first, count))
        return Sinusoid().episodes(first, count)

    def describe(self):
        return {}


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(tree.flatten(a), tree.flatten(b), strict=True))


@pytest.mark.exact
def test_steps_get_their_own_episodes_in_whatever_order():
    feed = Feed(Sinusoid(), 5, LEARNER)
    for step in (0, 1, 2, 70, 3, 500, 501, 0):
        assert same(feed.episodes(step, range(5)), Sinusoid().episodes(5 * step, 5))


def test_small_episodes_are_drawn_many_steps_at_a_time():
    sampler = Counting()
    feed = Feed(sampler, 5, LEARNER)
    for step in range(65):
        feed.episodes(step, range(5))
    single = [(5, 5), (315, 5)]  # compared with what was drawn together
    expected = [(0, 5), (0, 320), *single, (320, 320), (325, 5), (635, 5)]
    assert sorted(sampler.calls) == sorted(expected), "the first tells how large they are"


@pytest.mark.exact
@pytest.mark.parametrize("size", [1, 5, 25])
def test_where_a_step_lies_depends_on_its_number_alone(size):
    """10 points take 40 bytes, which is no multiple of what kernels like."""
    first = Feed(Sinusoid(), size, LEARNER)
    places = [[leaf.data_ptr() % 64 for leaf in tree.flatten(first.episodes(i, range(size)))] for i in range(140)]
    assert size == 1 or len({tuple(place) for place in places}) > 1
    for start in (1, 3, 63, 64, 100):
        later = Feed(Sinusoid(), size, LEARNER)
        for i in range(start, 140):
            assert [leaf.data_ptr() % 64 for leaf in tree.flatten(later.episodes(i, range(size)))] == places[i]


def test_large_ones_are_drawn_step_by_step(monkeypatch):
    monkeypatch.setattr("innerloop.engine.episode_buffer._BYTES", 1)
    sampler = Counting()
    feed = Feed(sampler, 5, LEARNER)
    for step in range(3):
        feed.episodes(step, range(5))
    assert sampler.calls == [(0, 5), (5, 5), (10, 5)]


@pytest.mark.exact
def test_a_process_draws_only_its_share():
    sampler = Counting()
    found = Feed(sampler, 5, LEARNER).episodes(7, range(3, 5))
    assert sampler.calls == [(38, 2)]
    assert same(found, Sinusoid().episodes(38, 2))
