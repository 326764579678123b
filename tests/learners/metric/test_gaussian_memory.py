import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch
from innerloop.learners.metric.gaussian_memory import GaussianMemory, Memory, write
from innerloop.nn.mlp import Linear
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise, RaggedPlanes, encoder, inputs

TARGETS = 3


class TestGaussianMemory(TransductiveConformance):
    learner = GaussianMemory(encoder=Module(encoder), head=Linear(FEATURES, TARGETS), capacity=16, sigma=1.0)


@torch.no_grad()
def test_of_values_it_is_nadaraya_watson_of_what_the_head_leaves_over():
    head = Linear(FEATURES, TARGETS)
    learner = GaussianMemory(encoder=Module(plain), head=head, capacity=9, objective=regression, shrink=0.7)
    params = {k: v.double() for k, v in learner.init(3).items()}
    own = {"log_sigma": 0.3, "log_shrink": math.log(0.7)}
    params |= {name: torch.tensor(value, dtype=torch.float64) for name, value in own.items()}
    support, query = tree.slice(RaggedPlanes(fewest=None).episodes(0, 1), 0)
    support = support._replace(x=inputs(support)[:7], y=support.y[:7], mask=torch.arange(7) != 4)
    encode = partial(learner.encoder.apply, tree.part(params, "encoder"))
    headed = partial(head.apply, tree.part(params, "head"))
    expected = []
    for x in inputs(query):
        at, total, sums = encode(x[None]), 0.7, torch.zeros(TARGETS).double()
        for i in (0, 1, 2, 3, 5, 6):
            near = encode(inputs(support)[i][None])
            weight = float((-(at - near).square().sum() / math.exp(0.6)).exp())
            total, sums = total + weight, sums + weight * (support.y[i] - headed(near)[0])
        expected.append(headed(at)[0] + sums / total)
    assert close(learner.predict(params, learner.adapt(params, support), query.x), torch.stack(expected))
    none = support._replace(mask=torch.zeros(7, dtype=torch.bool))
    assert close(learner.predict(params, learner.adapt(params, none), query.x), headed(encode(query.x)))
    # Of more than fit, the last stay.
    small = replace(learner, capacity=8)
    later = small.update(params, small.adapt(params, support), query)
    assert close(small.predict(params, later, query.x), small.predict(params, small.adapt(params, query), query.x))


def test_values_need_a_head():
    with pytest.raises(InputError, match="needs the network head"):
        GaussianMemory(encoder=Module(plain), objective=regression)
    with pytest.raises(InputError, match="leave neighbours out"):
        GaussianMemory(encoder=Module(plain), head=Linear(FEATURES, 1), objective=regression, neighbours=2)
    learner = GaussianMemory(encoder=Module(plain))
    with pytest.raises(InputError, match="built for classes"):
        learner.adapt(learner.init(0), tree.slice(RaggedPlanes(dtype=torch.float32).episodes(0, 1), 0).support)


def plain():
    return torch.nn.Linear(INPUTS, FEATURES)


def batch(x, y, ways=3):
    return Batch(torch.as_tensor(x), torch.as_tensor(y), classes=torch.ones(ways, dtype=torch.bool))


@torch.no_grad()
def test_it_is_kernel_density_estimation_and_nadaraya_watson():
    learner = TestGaussianMemory.learner
    assert isinstance(learner, GaussianMemory)
    params = {k: v.double() for k, v in learner.init(0).items()} | {"log_sigma": torch.tensor(0.3).double()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    support = support._replace(mask=torch.arange(12) > 1)  # classes of 3, 4 and 3 examples, and an unlabelled one
    support.y[5] = -1
    adapted = learner.adapt(params, support)
    f, g = (learner.encoder.apply(adapted.encoder, b.x, b.mask).numpy() for b in (support, query))
    logits = learner.predict(params, adapted, query.x)
    sigma, counted, y = np.exp(0.3), np.arange(12) > 1, support.y.numpy()
    sums = []
    for k in range(3):
        rows = f[counted & (y == k)]
        # The Gaussian of scikit-learn is exp(-d^2 / (2 h^2)), and a mean over the examples.
        options: dict[str, Any] = {"bandwidth": sigma / 2**0.5, "rtol": 1e-12}
        density = KernelDensity(**options).fit(rows)
        sums.append(density.score_samples(g) + np.log(len(rows)))
    expected = np.stack(sums, 1) - np.log(np.exp(sums).sum(0))[:, None]
    assert np.allclose(logits.numpy(), expected, atol=1e-8)
    kernel = np.exp(-((g[:, None] - f[None]) ** 2).sum(-1) / sigma**2) * (counted & (y >= 0))
    regression = kernel @ np.eye(3)[y] / kernel.sum(1, keepdims=True)
    assert np.allclose(logits.exp().numpy(), regression, atol=1e-9)


def test_far_from_all_memories_the_nearest_decides_and_nothing_is_nan():
    learner = GaussianMemory(encoder=Module(torch.nn.Flatten), sigma=0.01, capacity=8)
    params = {k: v.requires_grad_() for k, v in learner.init(0).items()}
    support = batch([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [0, 1, 1])
    logits = learner.predict(
        params, learner.adapt(params, support), torch.tensor([[1e4, 0.0], [-1e4, 0.0], [0.5, 0.0]])
    )
    assert logits.isfinite().all() and (logits[:, 2] < logits[:, :2].amin(1)).all()
    assert logits[:2].argmax(1).tolist() == [1, 0]
    assert logits[2].softmax(0)[1].item() == pytest.approx(2 / 3, rel=1e-4)
    (slope,) = torch.autograd.grad(logits[:, :2].sum(), params["log_sigma"])
    assert slope.isfinite()


@torch.no_grad()
def test_update_is_adapt_of_both_together():
    learner = GaussianMemory(encoder=Module(plain), capacity=20)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise(shots=6).episodes(0, 1), 0)
    support = support._replace(mask=torch.arange(18) != 3)
    first, then = (tree.map(lambda leaf, s=s: leaf[s], support._replace(classes=None, key=None)) for s in PARTS)
    first = first._replace(classes=support.classes)
    together = learner.adapt(params, support)
    found = learner.update(params, learner.adapt(params, first), then)
    for a, b in zip(tree.flatten(together), tree.flatten(found), strict=True):
        assert a.dtype == b.dtype and close(a.double(), b.double())
    assert close(learner.predict(params, found, query.x), learner.predict(params, together, query.x))


PARTS = (slice(0, 7), slice(7, 18))


@torch.no_grad()
def test_what_is_added_later_is_seen_with_the_statistics_of_the_first_support():
    learner = TestGaussianMemory.learner
    assert isinstance(learner, GaussianMemory)
    params = learner.init(0)
    support, query = tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0)
    before = learner.adapt(params, support)
    after = learner.update(params, before, query._replace(x=query.x[:1], y=query.y[:1]))
    assert torch.equal(after.embeddings[:12], before.embeddings[:12])
    assert torch.allclose(after.embeddings[12:13], learner.encoder.apply(before.encoder, query.x[:1]))


@torch.no_grad()
def test_a_new_class_can_be_added():
    learner = GaussianMemory(encoder=Module(torch.nn.Flatten), sigma=1.0, capacity=8)
    params = learner.init(0)
    adapted = learner.adapt(params, batch([[0.0], [3.0]], [0, 1], ways=2))
    adapted = learner.update(params, adapted, batch([[6.0]], [2], ways=3))
    assert learner.predict(params, adapted, torch.tensor([[0.1], [2.9], [6.1]])).argmax(1).tolist() == [0, 1, 2]


def empty(capacity):
    none = torch.full((capacity,), -1)
    return Memory(torch.zeros(capacity, 1), none, none, torch.ones(9, dtype=torch.bool), {}, torch.zeros(capacity, 0))


def written(memory, y):
    """Write examples of these classes, with their class as the embedding."""
    return write(memory, torch.tensor(y).float()[:, None], torch.tensor(y))


@pytest.mark.parametrize("parts", [[9], [1] * 9, [2, 3, 4], [4, 5], [8, 1]])
def test_the_oldest_are_overwritten_however_the_rows_come(parts):
    """As a list of fixed length in which every example takes the place of the oldest."""
    memory, slots, y = empty(4), [-1] * 4, [0, 1, 2, 3, 4, 5, 6, 7, 8]
    for i, label in enumerate(y):
        slots[i % 4] = label
    start = 0
    for part in parts:
        memory = written(memory, y[start : start + part])
        start += part
    assert memory.labels.tolist() == slots == [8, 5, 6, 7]
    assert memory.embeddings[:, 0].tolist() == slots and memory.ages.tolist() == slots


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="capacity must be a whole number of at least 1"):
        GaussianMemory(encoder=Module(torch.nn.Flatten), capacity=0)
    learner = GaussianMemory(encoder=Module(torch.nn.Flatten), capacity=2)
    with pytest.raises(InputError, match="3 examples does not fit a memory of 2"):
        learner.adapt(learner.init(0), batch([[0.0], [1.0], [2.0]], [0, 1, 2]))


@torch.no_grad()
def test_with_neighbours_the_nearest_of_every_class_decide():
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    support = support._replace(mask=torch.arange(12) > 1)
    support.y[5] = -1
    kept, y = (torch.arange(12) > 1) & (support.y >= 0), support.y
    for count in (1, 2, 99):
        learner = GaussianMemory(encoder=Module(torch.nn.Flatten), capacity=16, neighbours=count)
        params = {"log_sigma": torch.tensor(0.3).double()}
        logits = learner.predict(params, learner.adapt(params, support), query.x)
        distances = torch.cdist(query.x, support.x).square() / math.exp(0.6)
        sums = [distances[:, kept & (y == k)].sort(1).values[:, :count].neg().exp().sum(1) for k in range(3)]
        shares = torch.stack(sums, 1)
        assert torch.allclose(logits.exp(), shares / shares.sum(1, keepdim=True), atol=1e-9)
    every = GaussianMemory(encoder=Module(torch.nn.Flatten), capacity=16)
    assert torch.allclose(every.predict(params, every.adapt(params, support), query.x), logits)
    alone = learner.adapt(params, support._replace(mask=y == 1))
    assert learner.predict(params, alone, query.x).isfinite().all()
