import torch
from torch.nn import functional as F

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.learners.online.fine_tune_online import FineTuneOnline
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestFineTuneOnline(OnlineConformance):
    learner = FineTuneOnline(model=Module(rowwise), inner_lr=0.1)


def test_a_stream_is_plain_descent_in_pytorch():
    """An independent loop with `torch.optim.SGD`, one row after another, then a batch."""
    learner = FineTuneOnline(model=Module(rowwise), inner_lr=0.1)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    network = rowwise().double()
    network.load_state_dict(params)
    descent = torch.optim.SGD(network.parameters(), 0.1)
    batches = [(inputs(support)[i : i + 1], support.y[i : i + 1]) for i in range(len(support.y))]
    for x, y in [*batches, (inputs(query), query.y)]:
        descent.zero_grad()
        F.cross_entropy(network(x), y).backward()
        descent.step()
    with torch.no_grad():
        state = learner.observe(params, learner.adapt(params, support), query)
        assert torch.allclose(learner.predict(params, state, query.x), network(inputs(query)))
    assert state.counts.tolist() == [9, 9, 9]


def test_classes_that_never_came_answer_for_nothing():
    learner = FineTuneOnline(model=Module(rowwise))
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    first = tree.slice(support._replace(classes=None, key=None), support.y == 1)
    with torch.no_grad():
        logits = learner.predict(params, learner.observe(params, learner.begin(params, support), first), query.x)
    assert (logits.argmax(1) == 1).all() and (logits[:, [0, 2]] < logits[:, [1]] - 100).all()
