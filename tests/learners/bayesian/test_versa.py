from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian_heads import spread
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.bayesian.versa import VERSA
from innerloop.nn.mlp import MLP, Linear
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise, encoder, inputs

HEAD, BIAS = (MLP(FEATURES, (FEATURES,), outputs, "elu") for outputs in (FEATURES, 1))
NETWORKS: dict[str, Any] = {
    "weight_mean": HEAD,
    "weight_log_variance": HEAD,
    "bias_mean": BIAS,
    "bias_log_variance": BIAS,
    "pooled": MLP(2 * FEATURES, (FEATURES,), FEATURES, "elu"),
}


LEARNER = VERSA(encoder=Module(encoder), samples=4, **NETWORKS)


class TestVERSA(TransductiveConformance):
    learner = LEARNER


@dataclass(frozen=True)
class Means:
    """The toy of the paper: `psi ~ N(0, 1)` and `y ~ N(psi, 4)`, five of them known; x is 1."""

    seed: int = 0

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(self.seed, torch.arange(first, first + count))
        y = random.normal(random.fold(keys, 0), (1, 1)) + 2 * random.normal(random.fold(keys, 1), (25, 1))
        x = torch.ones_like(y)
        return Episode(Batch(x[:, :5], y[:, :5], key=keys), Batch(x[:, 5:], y[:, 5:], key=random.fold(keys, 9)))

    def describe(self) -> dict[str, object]:
        return {"kind": "means", "score": "mse", "seed": self.seed}


def test_it_finds_the_exact_posterior_mean():
    """That of psi is `N / (N + 4)` times the mean of N = 5 values, to 5%, and its predictive variance `4 / 9 + 4`."""
    line = Linear(1, 1)
    learner = VERSA(
        encoder=Module(nn.Flatten),
        weight_mean=line,
        weight_log_variance=line,
        bias_mean=line,
        bias_log_variance=line,
        pooled=Linear(2, 1),
        samples=32,
        objective=regression,
    )
    config = TrainConfig(steps=100, meta_batch_size=256, meta_lr=5e-2, schedule="cosine", plan="vmap")
    params = meta_train(learner, Means(), config)
    x = torch.ones(5, 1)
    with torch.no_grad():
        means, variances = zip(
            *(spread(learner.adapt(params, Batch(x, y * x, key=random.mix(0, 0))), x[:1]) for y in (-1.0, 0.0, 1.0)),
            strict=True,
        )
    assert (means[2] - means[0]).item() / 2 == pytest.approx(5 / 9, rel=0.05)
    assert means[1].item() == pytest.approx(0, abs=0.05)
    assert (variances[1] + (2 * params["log_noise"]).exp()).item() == pytest.approx(4 + 4 / 9, rel=0.1)


@torch.no_grad()
def test_outputs_are_distributed_as_those_of_weights_that_are_drawn():
    """The local reparameterisation, against heads drawn by torch: mean, deviation and loss of a task."""
    learner, (support, query) = replace(LEARNER, samples=4000), tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    adapted = learner.adapt(params, support)
    outputs = learner.predictive(params, adapted, query.x).outputs
    generator = torch.Generator().manual_seed(0)

    def drawn(name: str) -> torch.Tensor:
        mean, log_std = adapted.head.mean[name], adapted.head.log_std[name]
        return mean + log_std.exp() * torch.randn(4000, *mean.shape, generator=generator, dtype=mean.dtype)

    features = learner.encoder.apply(adapted.encoder, query.x)
    plain = features @ drawn("weight").mT + drawn("bias")[:, None]
    assert torch.allclose(outputs.mean(0), plain.mean(0), atol=0.1)
    assert torch.allclose(outputs.std(0), plain.std(0), rtol=0.08)
    # The mean over members is of probabilities, then comes the logarithm.
    chosen = outputs.softmax(-1)[:, torch.arange(len(query.y)), query.y]
    assert torch.allclose(learner.loss(params, Episode(support, query))[0], -chosen.mean(0).log().mean())


@torch.no_grad()
def test_a_class_is_amortised_by_itself():
    # Batch norms would tell a class of the others.
    learner = replace(LEARNER, encoder=MLP(INPUTS, (FEATURES,), FEATURES, "tanh"))
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    params = {k: v.double() for k, v in learner.init(0).items()}
    rows = support.y < 2
    two = Batch(inputs(support)[rows], support.y[rows], classes=torch.ones(2, dtype=torch.bool), key=support.key)
    heads = [learner.adapt(params, one).head for one in (support, two)]
    assert [len(head.mean["bias"]) for head in heads] == [3, 2]
    for part in ("weight", "bias"):
        assert torch.allclose(heads[0].mean[part][:2], heads[1].mean[part])
        assert torch.allclose(heads[0].log_std[part][:2], heads[1].log_std[part])


def test_what_cannot_be_is_refused():
    networks = {name: network for name, network in NETWORKS.items() if name != "pooled"}
    with pytest.raises(InputError, match="needs the network pooled"):
        VERSA(encoder=Module(encoder), objective=regression, **networks)
    with pytest.raises(InputError, match="samples must be a whole number of at least 1"):
        VERSA(encoder=Module(encoder), samples=0, **networks)
    learner = VERSA(encoder=Module(encoder), **networks)
    support = Batch(torch.ones(2, 8), torch.ones(2, 1), key=random.mix(0, 0))
    with pytest.raises(InputError, match="built for classes"):
        learner.adapt(learner.init(0), support)
