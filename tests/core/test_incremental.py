import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.incremental import Incremental
from innerloop.core.model import Module
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from tests.problems import NeedlesInNoise, encoder, rowwise


@pytest.mark.parametrize(
    "learner",
    [
        ProtoNet(encoder=Module(rowwise)),
        ProtoNet(encoder=Module(rowwise), distance="cosine"),
        GaussianMemory(encoder=Module(rowwise), capacity=20),
    ],
    ids=["protonet", "cosine", "gaussian_memory"],
)
def test_a_stream_of_batches_gives_what_adapting_to_all_of_it_gives(learner):
    online = Incremental(learner=learner)
    params = {k: v.double() for k, v in online.init(0).items()}
    support, query = tree.slice(NeedlesInNoise(shots=6).episodes(0, 1), 0)
    rows = support._replace(classes=None, key=None)
    mask = torch.arange(5) < 3
    with torch.no_grad():
        expected = learner.predict(params, learner.adapt(params, support), query.x)
        state = online.begin(params, support)
        assert online.predict(params, state, query.x).isfinite().all()
        for first in range(0, 18, 3):
            batch = tree.slice(rows, [*range(first, first + 3), 0, 1])._replace(mask=mask, classes=support.classes)
            state = online.observe(params, state, batch)
        assert torch.allclose(online.predict(params, state, query.x), expected)
        assert torch.allclose(online.predict(params, online.adapt(params, support), query.x), expected)
    assert online.ordered is learner.ordered and online.incremental


def test_what_cannot_learn_row_by_row_is_refused():
    with pytest.raises(InputError, match="ProtoNet is not incremental as it is"):
        Incremental(learner=ProtoNet(encoder=Module(encoder)))
    with pytest.raises(InputError, match="a network with batch norms needs the statistics of many rows"):
        Incremental(learner=GaussianMemory(encoder=Module(encoder)))
