import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.engine import meta_gradient
from innerloop.learners.baselines.fine_tune import FineTune
from innerloop.learners.baselines.multi_task import MultiTask
from innerloop.learners.baselines.simple_shot import SimpleShot
from innerloop.nn.mlp import Linear
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.learners.baselines.test_simple_shot import TestSimpleShot as Shot
from tests.problems import FEATURES, NeedlesInNoise, encoder, inputs


class TestMultiTask(TransductiveConformance):
    learner = MultiTask(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=3))
    training = NeedlesInNoise(queries=20, fixed=True, dtype=torch.float32)
    train = Shot.train


def test_a_head_for_each_task():
    """One matrix with masked classes is separate heads over the shared trunk, each trained by itself."""
    learner = MultiTask(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=7))
    params = {k: v.double() for k, v in learner.init(0).items()}
    classes = torch.tensor([[True] * 3 + [False] * 4, [False] * 3 + [True] * 4])
    a, b = (NeedlesInNoise(ways=w, seed=w, queries=4).episodes(0, 1).query for w in (3, 4))
    b = b._replace(x=inputs(b)[:, :12], y=b.y[:, :12] + 3)
    query = tree.map(lambda u, v: torch.cat([u, v]), a._replace(classes=classes[:1]), b._replace(classes=classes[1:]))
    episodes = NeedlesInNoise().episodes(0, 2)._replace(query=query)
    found, metrics = meta_gradient(learner, params, episodes, "loop")

    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    losses = []
    for batch, own in ((a, slice(0, 3)), (b, slice(3, 7))):
        features = learner.encoder.apply(tree.part(leaves, "encoder"), inputs(batch)[0])
        logits = features @ leaves["head.weight"][own].T + leaves["head.bias"][own]
        losses.append(torch.nn.functional.cross_entropy(logits, batch.y[0] - own.start))
    loss = (losses[0] + losses[1]) / 2
    expected = torch.autograd.grad(loss, list(leaves.values()))
    assert torch.allclose(metrics["loss"], loss.detach())
    for (k, g), e in zip(found.items(), expected, strict=True):
        assert torch.allclose(g, e, atol=1e-10), k


@torch.no_grad()
def test_limits():
    """One task of all classes is plain pre-training; the head at test is that of unit-length features."""
    parts = {"encoder": Module(encoder), "head": Linear(inputs=FEATURES, outputs=3)}
    learner = MultiTask(**parts)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episode = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    assert close(learner.loss(params, episode)[0], FineTune(**parts).loss(params, episode)[0], 1e-12)
    other = SimpleShot(**parts, transform="l2")
    found, expected = (m.predict(params, m.adapt(params, episode.support), episode.query.x) for m in (learner, other))
    assert close(found, expected, 1e-12)
