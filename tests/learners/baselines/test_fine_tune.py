import numpy as np
import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.engine import TrainConfig, meta_gradient
from innerloop.learners.baselines.fine_tune import FineTune
from innerloop.nn.mlp import Linear
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, encoder, inputs


class TestFineTune(TransductiveConformance):
    learner = FineTune(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=10), inner_lr=0.5, inner_steps=20)
    training = NeedlesInNoise(ways=10, queries=6, fixed=True, dtype=torch.float32)
    train = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-2, plan="loop")


@torch.no_grad()
def test_the_head_is_gradient_descent_on_softmax_regression():
    learner = TestFineTune.learner
    assert isinstance(learner, FineTune)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    adapted = learner.adapt(params, support)
    f, g = (learner.encoder.apply(adapted.encoder, b.x).numpy() for b in (support, query))
    w, b, hot = np.zeros((3, FEATURES)), np.zeros(3), np.eye(3)[support.y.numpy()]
    for _ in range(20):
        logits = f @ w.T + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        error = (p / p.sum(1, keepdims=True) - hot) / len(f)
        w, b = w - 0.5 * error.T @ f, b - 0.5 * error.sum(0)
    found = learner.predict(params, adapted, query.x)
    assert np.allclose(found.numpy(), g @ w.T + b, atol=1e-10)


def test_pre_training_is_plain_cross_entropy_of_the_query():
    learner = TestFineTune.learner
    assert isinstance(learner, FineTune)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = NeedlesInNoise(ways=10, fixed=True).episodes(0, 1)
    found, metrics = meta_gradient(learner, params, episodes, "loop")
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    features = learner.encoder.apply(tree.part(leaves, "encoder"), inputs(episodes.query)[0])
    logits = features @ leaves["head.weight"].T + leaves["head.bias"]
    loss = torch.nn.functional.cross_entropy(logits, episodes.query.y[0])
    expected = torch.autograd.grad(loss, list(leaves.values()))
    assert torch.allclose(metrics["loss"], loss.detach())
    for (k, g), e in zip(found.items(), expected, strict=True):
        assert torch.allclose(g, e, atol=1e-10), k
