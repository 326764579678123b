import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from innerloop.core import config, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import ABSENT
from innerloop.core.types import Batch
from innerloop.learners.metric.protonet import ProtoNet
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, encoder

DISTANCES = ("squared_euclidean", "cosine", "mahalanobis")


class TestProtoNet(TransductiveConformance):
    learner = ProtoNet(encoder=Module(encoder))


class TestProtoNetCosine(TransductiveConformance):
    learner = ProtoNet(encoder=Module(encoder), distance="cosine")


class TestProtoNetMahalanobis(TransductiveConformance):
    learner = ProtoNet(encoder=Module(encoder), distance="mahalanobis")


class TestProtoNetNearestOther(Conformance):
    learner = ProtoNet(encoder=Module(encoder), other="nearest")


class TestProtoNetThreshold(Conformance):
    learner = ProtoNet(encoder=Module(encoder), distance="cosine", other="threshold")


def test_it_is_the_papers_linear_classifier_and_scikit_learns_nearest_centroid():
    """Equation 8: `softmax(-|f - c|^2)` equals a linear classifier with `w = 2 c`, `b = -|c|^2`."""
    learner = TestProtoNet.learner
    assert isinstance(learner, ProtoNet)
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


@torch.no_grad()
@pytest.mark.parametrize("distance", ["cosine", "mahalanobis"])
def test_the_other_distances_are_their_formulas(distance):
    learner = ProtoNet(encoder=Module(encoder), distance=distance)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    keep = torch.arange(12) != 1  # classes of 4, 3 and 4 examples
    adapted = learner.adapt(params, support._replace(mask=keep))
    f, y = learner.encoder.apply(adapted.encoder, support.x)[keep].numpy(), support.y[keep].numpy()
    g = learner.encoder.apply(adapted.encoder, query.x).numpy()
    expected = np.zeros((len(g), 3))
    for k in range(3):
        own = f[y == k]
        mean, share = own.mean(0), len(own) / (len(own) + 1)
        if distance == "cosine":
            expected[:, k] = 10 * g @ mean / np.linalg.norm(g, axis=1) / np.linalg.norm(mean)
        else:
            q = share * np.cov(own.T) + (1 - share) * np.cov(f.T) + np.eye(f.shape[1])
            expected[:, k] = -0.5 * np.einsum("nd,de,ne->n", g - mean, np.linalg.inv(q), g - mean)
    assert np.allclose(learner.predict(params, adapted, query.x).numpy(), expected, atol=1e-9)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="there is no distance 'euclidean'"):
        ProtoNet(encoder=Module(encoder), distance="euclidean")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="temperature must be more than 0, got 0"):
        ProtoNet(encoder=Module(encoder), distance="cosine", temperature=0)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("x", [torch.zeros(4, 2), torch.ones(4, 2), torch.ones(1, 2)], ids=["zero", "equal", "one"])
def test_equal_examples_and_a_single_one_stay_finite(distance, x):
    learner = ProtoNet(encoder=Module(torch.nn.Flatten), distance=distance)
    params = learner.init(0)
    y = torch.tensor([0, 1, 1, 0])[: len(x)]
    adapted = learner.adapt(params, Batch(x, y, classes=torch.ones(3, dtype=torch.bool)))
    logits = learner.predict(params, adapted, torch.tensor([[0.5, 2.0]]))
    assert logits.isfinite().all() and logits[0, 2] == ABSENT


@pytest.mark.parametrize("distance", DISTANCES)
def test_an_absent_class_is_never_predicted(distance):
    learner = ProtoNet(encoder=Module(encoder), distance=distance)
    support, query = tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0)
    params = learner.init(0)
    adapted = learner.adapt(params, support._replace(mask=support.y != 1))
    assert (learner.predict(params, adapted, query.x).argmax(-1) != 1).all()


@torch.no_grad()
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("other", ["nearest", "threshold"])
def test_class_0_is_no_cluster_where_it_is_none_of_the_others(distance, other):
    if (distance, other) == ("mahalanobis", "nearest"):
        with pytest.raises(InputError, match="no covariance for class 0"):
            ProtoNet(encoder=Module(encoder), distance=distance, other=other)
        return
    learner = ProtoNet(encoder=Module(torch.nn.Flatten), distance=distance, other=other, threshold=0.7)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    support = support._replace(mask=torch.arange(12) != 3)  # an example of class 0
    plain = ProtoNet(encoder=Module(torch.nn.Flatten), distance=distance)
    own = {k: params[k] for k in plain.init(0)}
    usual = plain.predict(own, plain.adapt(own, support), query.x)
    logits = learner.predict(params, learner.adapt(params, support), query.x)
    assert torch.equal(logits[:, 1:], usual[:, 1:])
    x, none = query.x, support.x[(support.y == 0) & (torch.arange(12) != 3)]
    if other == "nearest" and distance == "cosine":
        expected = 10 * torch.nn.functional.cosine_similarity(x[:, None], none, -1).amax(1)
    elif other == "nearest":
        expected = -torch.cdist(x, none).square().amin(1)
    else:
        expected = torch.full((len(x),), 10 * (1 - 0.7) if distance == "cosine" else -0.7, dtype=x.dtype)
    assert torch.allclose(logits[:, 0], expected)
    # Without an example, only a threshold knows it.
    alone = learner.predict(params, learner.adapt(params, support._replace(mask=support.y > 0)), query.x)
    assert alone.isfinite().all()
    assert torch.allclose(alone[:, 0], expected) if other == "threshold" else (alone.argmax(1) > 0).all()


def test_files_of_earlier_releases_name_the_same_learner():
    assert "other" not in str(config.encode(TestProtoNet.learner))
