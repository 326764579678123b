import pytest
import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.objectives import ABSENT
from innerloop.core.types import Batch
from innerloop.learners.metric.relation import RelationNet, relation_error
from innerloop.nn.relation import ConvMaps, Relation
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder


def comparison() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2 * FEATURES, 12, bias=False), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 1, bias=False)
    )


class TestRelationNet(TransductiveConformance):
    learner = RelationNet(encoder=Module(encoder), relation=Module(comparison))


class TestRelationNetSummed(TransductiveConformance):
    learner = RelationNet(encoder=Module(encoder), relation=Module(comparison), summed=True)


@torch.no_grad()
@pytest.mark.parametrize("summed", [False, True])
def test_every_pair_is_scored_by_itself(summed):
    learner = RelationNet(encoder=Module(encoder), relation=Module(comparison), summed=summed)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episode = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    support, query = episode
    f, g = (learner.encoder.apply(learner.adapt(params, support).encoder, b.x) for b in episode)
    first, last, scale, shift = (params[f"relation.{k}"] for k in ("0.weight", "3.weight", "1.weight", "1.bias"))
    classes = [f[support.y == k].sum(0) / (1 if summed else 4) for k in range(3)]
    hidden = torch.stack([first @ torch.cat([c, x]) for x in f for c in classes])  # what the norm has seen
    mean, var = hidden.mean(0), hidden.var(0, correction=0)
    loss = 0.0
    logits = learner.predict(params, learner.adapt(params, support), query.x)
    for x, y, row in zip(g, query.y, logits, strict=True):
        for k, c in enumerate(classes):
            normed = (first @ torch.cat([c, x]) - mean) / (var + 1e-5).sqrt() * scale + shift
            (expected,) = last @ normed.tanh()
            assert close(row[k], expected)
            loss += (expected.sigmoid() - (y == k).double()) ** 2
    assert learner.loss(params, episode)[0].item() == pytest.approx(float(loss) / len(g))


def test_the_error_is_that_of_the_sigmoid_over_rows_that_count():
    logits = torch.tensor([[100.0, -100.0, ABSENT], [0.0, 0.0, ABSENT], [7.0, 7.0, 7.0]])
    assert relation_error(logits, torch.tensor([0, 1, -1])).item() == pytest.approx((0 + 0.25 + 0.25) / 2)


def test_feature_maps_are_compared_and_an_absent_class_is_masked():
    learner = RelationNet(encoder=ConvMaps(size=16, width=4), relation=Relation(channels=4, size=4))
    params = learner.init(0)
    x = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    support = Batch(x, torch.tensor([0, 1, 3, 0, 1, -1]), classes=torch.ones(4, dtype=torch.bool))
    adapted = learner.adapt(params, support)
    assert adapted.features.shape == (4, 4, 4, 4)
    logits = learner.predict(params, adapted, x)
    assert logits.shape == (6, 4) and logits.isfinite().all() and (logits[:, 2] == ABSENT).all()
    assert close(learner.predict(params, adapted, x[2:3]), logits[2:3], 1e-5)
