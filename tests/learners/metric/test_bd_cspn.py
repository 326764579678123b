import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.learners.metric.bd_cspn import BDCSPN
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.problems import HalfLabelled, NeedlesInNoise, encoder


class TestBDCSPN(TransductiveConformance):
    learner = BDCSPN(encoder=Module(encoder))
    training = HalfLabelled(NeedlesInNoise(dtype=torch.float32))

    @pytest.fixture
    def episodes(self) -> Episode:
        return HalfLabelled(NeedlesInNoise()).episodes(0, 5)


def slowly(h: np.ndarray, y: np.ndarray, queries: np.ndarray, sharpness: float) -> np.ndarray:
    """Cosines of queries with the paper's prototypes, one class and one example after another."""

    def unit(v):
        return v / np.linalg.norm(v)

    h, queries = (np.stack([unit(row) for row in rows]) for rows in (h, queries))
    shift = h[y >= 0].mean(0) - h[y < 0].mean(0) if (y < 0).any() else np.zeros(h.shape[1])
    basic = [h[y == k].mean(0) for k in range(y.max() + 1)]
    shifted = [row + shift for row in h[y < 0]]
    guesses = [int(np.argmax([unit(row) @ unit(p) for p in basic])) for row in shifted]
    rectified = []
    for k, p in enumerate(basic):
        rows = [*h[y == k], *(row for row, guess in zip(shifted, guesses, strict=True) if guess == k)]
        weights = np.array([np.exp(sharpness * (unit(row) @ unit(p))) for row in rows])
        rectified.append(sum(w * row for w, row in zip(weights / weights.sum(), rows, strict=True)))
    return np.array([[unit(q + shift) @ unit(p) for p in rectified] for q in queries])


@torch.no_grad()
@pytest.mark.parametrize("sharpness", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("half", [True, False])
def test_it_is_the_papers_equations(sharpness, half):
    learner = BDCSPN(encoder=MLP(8, (), 6), sharpness=sharpness, temperature=4.0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    tasks = HalfLabelled(NeedlesInNoise()) if half else NeedlesInNoise()
    support, query = tree.slice(tasks.episodes(0, 1), 0)
    h, queries = (learner.encoder.apply(tree.part(params, "encoder"), x).numpy() for x in (support.x, query.x))
    logits = learner.predict(params, learner.adapt(params, support), query.x)
    expected = 4 * slowly(h, support.y.numpy(), queries, sharpness)
    assert np.allclose(logits.numpy(), expected, rtol=0, atol=1e-6)  # the temperature begins in float32


@torch.no_grad()
def test_one_labelled_example_of_each_class_is_the_cosine_protonet():
    ours, theirs = BDCSPN(encoder=MLP(8, (), 6)), ProtoNet(encoder=MLP(8, (), 6), distance="cosine")
    params, (support, query) = ours.init(0), tree.slice(NeedlesInNoise(shots=1, dtype=torch.float32).episodes(0, 1), 0)
    a = ours.predict(params, ours.adapt(params, support), query.x)
    b = theirs.predict(params, theirs.adapt(params, support), query.x)
    assert close(a, b, 1e-5)


@torch.no_grad()
def test_a_prototype_goes_to_its_unlabelled_examples_and_a_common_offset_is_taken_back():
    corners = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    unlabelled = torch.tensor([[0.8, 0.0, 0.6], [0.0, 0.8, 0.6]])
    support = Batch(torch.cat([corners, unlabelled]), torch.tensor([0, 1, -1, -1]), classes=torch.ones(2).bool())
    learner = BDCSPN(encoder=Module(torch.nn.Flatten), sharpness=0.0)
    adapted = learner.adapt(learner.init(0), support)
    assert close(adapted.shift, torch.tensor([0.1, 0.1, -0.6]), 1e-5)
    assert close(adapted.prototypes.means[0], torch.tensor([0.95, 0.05, 0.0]), 1e-5)
    assert adapted.prototypes.counts.tolist() == [2, 2]


@pytest.mark.parametrize("x", [torch.zeros(6, 8), torch.ones(6, 8)], ids=["zero", "equal"])
def test_equal_examples_stay_finite(x):
    learner = BDCSPN(encoder=Module(encoder))
    support = Batch(x, torch.tensor([0, 1, 2, -1, -1, -1]), classes=torch.ones(3, dtype=torch.bool))
    episode = Episode(support, Batch(x[:3], torch.arange(3), classes=support.classes))
    gradient, metrics = meta_gradient(learner, learner.init(0), tree.stack([episode]), "loop")
    assert metrics["loss"].isfinite() and all(bool(v.isfinite().all()) for v in gradient.values())


@pytest.mark.parametrize(
    ("wrong", "message"), [({"temperature": 0.0}, "more than 0"), ({"sharpness": -1.0}, "must be a number from 0 up")]
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        BDCSPN(encoder=Module(encoder), **wrong)
