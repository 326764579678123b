"""A recorded observation gives what the learner gives, to the bit."""

import pytest
import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.engine.observe import recorded_observe
from innerloop.learners.online.ewc import EWC
from innerloop.learners.online.replay import Replay
from tests.problems import NeedlesInNoise, rowwise


@pytest.mark.exact
@pytest.mark.parametrize(
    "learner",
    [Replay(model=Module(rowwise), memory=4), EWC(model=Module(rowwise), online=True)],
    ids=["replay", "ewc, whose first state has tensors in two places"],
)
def test_recorded_it_gives_the_same_to_the_bit_for_every_shape(learner):
    params = {k: v.double() for k, v in learner.init(0).items()}
    support = tree.slice(NeedlesInNoise(shots=5).episodes(0, 1), 0).support
    mask = torch.tensor([True, True, False, True])
    batches = [_rows(support, slice(0, 4)), _rows(support, slice(4, 8)), _rows(support, slice(8, 15))]
    batches += [
        _rows(support, slice(0, 4))._replace(mask=mask),
        _rows(support, slice(4, 8))._replace(mask=mask & False),
    ]
    observe, state = recorded_observe(learner, params), learner.begin(params, support)
    plain, before = state, [leaf.clone() for leaf in tree.flatten((params, state))]
    with torch.no_grad():
        for batch in batches:
            state, plain = observe(state, batch), learner.observe(params, plain, batch)
            assert all(torch.equal(a, b) for a, b in zip(tree.flatten(state), tree.flatten(plain), strict=True))
    assert state.counts.sum() == 18 and type(state) is type(plain)
    start = learner.begin(params, support)
    assert all(torch.equal(a, b) for a, b in zip(before, tree.flatten((params, start)), strict=True))


def _rows(batch: Batch, which: slice) -> Batch:
    return tree.slice(batch._replace(classes=None, key=None), which)._replace(classes=batch.classes, key=batch.key)
