import torch
from sklearn.neighbors import NearestCentroid

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.learners.metric.protonet import ProtoNet
from tests.conformance import TransductiveConformance
from tests.problems import NeedlesInNoise, encoder


class TestProtoNet(TransductiveConformance):
    learner = ProtoNet(encoder=Module(encoder))


def test_it_is_the_papers_linear_classifier_and_scikit_learns_nearest_centroid():
    """Equation 8: `softmax(-|f - c|^2)` equals a linear classifier with `w = 2 c`, `b = -|c|^2`."""
    learner = TestProtoNet.learner
    params = {k: v.double() for k, v in learner.init(0).items()}
    for i in range(5):
        support, query = tree.slice(NeedlesInNoise().episodes(i, 1), 0)
        adapted = learner.adapt(params, support)
        logits = learner.predict(params, adapted, query.x)
        f, g = (learner.encoder.apply(adapted.encoder, b.x) for b in (support, query))
        c = torch.stack([f[support.y == k].mean(0) for k in range(3)])
        linear = g @ (2 * c).T - c.square().sum(1)
        assert torch.allclose(logits.softmax(-1), linear.softmax(-1), atol=1e-10)
        oracle = NearestCentroid().fit(f.numpy(), support.y.numpy()).predict(g.numpy())
        assert (logits.argmax(-1).numpy() == oracle).all()


def test_an_absent_class_is_never_predicted():
    learner = TestProtoNet.learner
    support, query = tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0)
    params = learner.init(0)
    adapted = learner.adapt(params, support._replace(mask=support.y != 1))
    assert (learner.predict(params, adapted, query.x).argmax(-1) != 1).all()
