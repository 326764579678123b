import pytest
import torch
from torch.nn import functional as F

from innerloop.core import reservoir, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.learners.online.replay import Replay
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestReplay(OnlineConformance):
    learner = Replay(model=Module(rowwise), memory=3)


def test_a_stream_is_plain_descent_on_batches_with_draws_in_pytorch():
    """`torch.optim.SGD` on lists: the memory's places and draws are those of the reservoir, nothing else is shared."""
    learner = Replay(model=Module(rowwise), memory=5, glances=2)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise(shots=6).episodes(0, 1), 0)
    network = rowwise().double()
    network.load_state_dict(params)
    descent = torch.optim.SGD(network.parameters(), 0.1)
    state, kept = learner.begin(params, support), {}
    for first in range(0, 18, 3):
        batch = tree.slice(support._replace(classes=None, key=None), slice(first, first + 3))
        for glance in range(2):
            drawn = reservoir.draw(state.memory, batch, number=glance)
            beside = [kept[tuple(row)] for row in inputs(drawn)[drawn.mask].tolist()]
            assert len(beside) == min(first, 3)
            x = torch.stack([*inputs(batch), *[torch.tensor(row, dtype=torch.float64) for row, _ in beside]])
            y = torch.tensor([*batch.y.tolist(), *[label for _, label in beside]])
            descent.zero_grad()
            F.cross_entropy(network(x), y).backward()
            descent.step()
        kept |= {tuple(row): (row, label) for row, label in zip(inputs(batch).tolist(), batch.y.tolist(), strict=True)}
        state = learner.observe(params, state, batch)
    with torch.no_grad():
        assert torch.allclose(learner.predict(params, state, query.x), network(inputs(query)))
    assert state.counts.tolist() == [6, 6, 6] and state.memory.seen == 18


def test_a_memory_of_nothing_is_refused():
    with pytest.raises(InputError, match="Replay: memory must be a whole number of at least 1, got 0"):
        Replay(model=Module(rowwise), memory=0)
