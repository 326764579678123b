import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.anil import ANIL
from innerloop.nn.mlp import MLP, Linear
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder, half_squares, quadratics


class TestANIL(TransductiveConformance):
    learner = ANIL(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=3), inner_lr=0.3, inner_steps=2)


def test_gradient_through_the_closed_form_head():
    """On a linear encoder and a quadratic loss, K head steps are `h_K = c + (I - rate F'F)^K (h - c)`."""
    learner = ANIL(
        encoder=MLP(inputs=4, hidden=(), outputs=3),
        head=Linear(inputs=3, outputs=1),
        inner_lr=0.1,
        inner_steps=3,
        objective=half_squares,
    )
    params = {k: v.double() for k, v in learner.init(0).items()}
    episode = tree.slice(quadratics(1), 0)
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}

    def features(x):
        f = x @ leaves["encoder.1.weight"].T + leaves["encoder.1.bias"]
        return torch.cat([f, torch.ones(len(f), 1, dtype=f.dtype)], 1)  # the bias is one more weight

    f = features(episode.support.x)
    h = torch.cat([leaves["head.weight"][0], leaves["head.bias"]])
    gram = f.T @ f
    c = torch.linalg.solve(gram, f.T @ episode.support.y[:, 0])
    h = c + torch.linalg.matrix_power(torch.eye(4, dtype=f.dtype) - 0.1 * gram, 3) @ (h - c)
    loss = 0.5 * (features(episode.query.x) @ h - episode.query.y[:, 0]).square().sum()
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    found, metrics = meta_gradient(learner, params, tree.stack([episode]), "loop")
    assert torch.allclose(metrics["loss"], loss.detach())
    for k in expected:
        assert torch.allclose(found[k], expected[k], rtol=1e-8, atol=1e-10), k


def test_adaptation_leaves_the_encoder_alone():
    learner = TestANIL.learner
    params = learner.init(0)
    adapted = learner.adapt(params, tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0).support)
    weights = tree.part(params, "encoder")
    assert all(torch.equal(adapted.encoder[k], weights[k]) for k in weights)
    assert any(not torch.equal(adapted.head[k], v) for k, v in tree.part(params, "head").items())
