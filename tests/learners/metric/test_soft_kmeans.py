from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.metric.soft_kmeans import SoftKMeans, Variant
from innerloop.nn.mlp import MLP
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.problems import HalfLabelled, NeedlesInNoise, encoder

GATE = MLP(inputs=5, hidden=(20,), outputs=2, activation="tanh")
LEARNERS: dict[Variant, SoftKMeans] = {
    "soft": SoftKMeans(encoder=Module(encoder)),
    "cluster": SoftKMeans(encoder=Module(encoder), variant="cluster", radius=3.0),
    "masked": SoftKMeans(encoder=Module(encoder), variant="masked", gate=GATE),
}


class TestSoftKMeans(TransductiveConformance):
    learner = LEARNERS["soft"]
    training = HalfLabelled(NeedlesInNoise(dtype=torch.float32))

    @pytest.fixture
    def episodes(self) -> Episode:
        return HalfLabelled(NeedlesInNoise()).episodes(0, 5)


class TestSoftKMeansCluster(TestSoftKMeans):
    learner = LEARNERS["cluster"]


class TestSoftKMeansMasked(TestSoftKMeans):
    learner = LEARNERS["masked"]


class TestSoftKMeansStopped(TestSoftKMeans):
    learner = SoftKMeans(encoder=Module(encoder), inner_steps=2, stop_gradient=True)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_without_unlabelled_examples_it_is_protonet(learner):
    episodes = NeedlesInNoise().episodes(0, 3)
    params = {k: v.double() for k, v in learner.init(0).items()}
    theirs = params if learner.variant == "soft" else tree.part(params, "encoder")
    gradient, metrics = meta_gradient(learner, params, episodes, "loop")
    expected, others = meta_gradient(ProtoNet(encoder=learner.encoder), theirs, episodes, "loop")
    assert close(metrics["loss"], others["loss"], 1e-12) and metrics["score"] == others["score"]
    prefix = "" if learner.variant == "soft" else "encoder."
    assert all(torch.allclose(gradient[prefix + k], v, rtol=1e-12, atol=1e-14) for k, v in expected.items())


def slowly(learner, params, h: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Equations 4 to 9 of the paper in loops over classes and unlabelled examples."""
    labelled, unlabelled, ways = h[y >= 0], h[y < 0], int(y.max()) + 1
    c = np.stack([h[y == k].mean(0) for k in range(ways)])
    for _ in range(learner.inner_steps):
        distance = np.array([[((x - c[k]) ** 2).sum() for k in range(ways)] for x in unlabelled])
        score = np.exp(-distance)
        share = score / score.sum(1, keepdims=True)
        if learner.variant == "cluster":
            r = np.exp(params["log_radius"].item())
            other = np.exp(-(unlabelled**2).sum(1) / r**2) / r
            share = score / (score.sum(1) + other)[:, None]
        if learner.variant == "masked":
            for k in range(ways):
                d = distance[:, k] / distance[:, k].mean()
                z = (d - d.mean()) / d.std()
                statistics = torch.tensor([[d.min(), d.max(), d.var(), (z**3).mean(), (z**4).mean() - 3]])
                threshold, slope = learner.gate.apply(tree.part(params, "gate"), statistics)[0].exp().tolist()
                share[:, k] *= 1 / (1 + np.exp(-slope * (threshold - d)))
        c = np.stack(
            [
                (labelled[y[y >= 0] == k].sum(0) + sum(share[j, k] * unlabelled[j] for j in range(len(unlabelled))))
                / ((y == k).sum() + share[:, k].sum())
                for k in range(ways)
            ]
        )
    return c


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("variant", LEARNERS)
def test_it_is_the_papers_equations(variant, steps):
    learner = SoftKMeans(encoder=MLP(8, (), 6), variant=variant, gate=GATE, radius=3.0, inner_steps=steps)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support = tree.slice(HalfLabelled(NeedlesInNoise()).episodes(0, 1), 0).support
    own = params if variant == "soft" else tree.part(params, "encoder")
    h = learner.encoder.apply(own, support.x).numpy()
    found = learner.adapt(params, support).centroids.means
    assert np.allclose(found.numpy(), slowly(learner, params, h, support.y.numpy()), rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_distractor_goes_to_the_cluster_and_is_masked():
    """One example lies near a class, and one far from both."""
    x = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.2, 0.0], [-3.0, -3.0]])
    support = Batch(x, torch.tensor([0, 1, -1, -1]), classes=torch.ones(2, dtype=torch.bool))
    counts = {}
    for variant in LEARNERS:
        learner = SoftKMeans(encoder=Module(torch.nn.Flatten), variant=variant, gate=GATE)
        params = learner.init(0)
        if variant == "masked":  # a threshold of 1 and a steep slope
            params |= {k: torch.zeros_like(v) for k, v in params.items() if k.startswith("gate.")}
            params["gate.3.bias"] = torch.tensor([0.0, 3.0])
        counts[variant] = learner.adapt(params, support).centroids.counts.sum().item()
    assert counts["soft"] == pytest.approx(4, abs=1e-5)
    assert counts["cluster"] == pytest.approx(3, abs=0.3)
    assert counts["masked"] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("x", [torch.zeros(6, 8), torch.ones(6, 8)], ids=["zero", "equal"])
def test_equal_examples_stay_finite(learner, x):
    support = Batch(x, torch.tensor([0, 1, 2, -1, -1, -1]), classes=torch.ones(3, dtype=torch.bool))
    episode = Episode(support, Batch(x[:3], torch.arange(3), classes=support.classes))
    gradient, metrics = meta_gradient(learner, learner.init(0), tree.stack([episode]), "loop")
    assert metrics["loss"].isfinite() and all(bool(v.isfinite().all()) for v in gradient.values())


def test_what_cannot_be_is_refused():
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"variant": "hard"}, "there is no variant 'hard'"),
        ({"variant": "masked"}, "needs the network gate"),
        ({"radius": 0.0}, "radius must be more than 0"),
    )
    for wrong, said in refused:
        with pytest.raises(InputError, match=said):
            SoftKMeans(encoder=Module(encoder), **wrong)
