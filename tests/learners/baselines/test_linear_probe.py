from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.linalg import with_ones
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.baselines.linear_probe import LinearProbe
from innerloop.nn.mlp import Linear
from tests.conformance import TransductiveConformance
from tests.learners.baselines.test_simple_shot import TestSimpleShot as Shot
from tests.problems import FEATURES, encoder, inputs

RAW = LinearProbe(encoder=Module(torch.nn.Identity), head=Linear(inputs=8))


class TestLinearProbe(TransductiveConformance):
    learner = LinearProbe(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=10), iterations=30)
    training = Shot.training
    train = Shot.train


def support(ways: int, shots: int, d: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Features like a network's: non-negative, so that all point to one side."""
    generator = torch.Generator().manual_seed(ways * shots * d)
    y = torch.arange(ways).repeat(shots)
    mean = 0.5 + 0.7 * torch.randn(ways, d, generator=generator, dtype=torch.float64)
    x = (mean[y] + torch.randn(len(y), d, generator=generator, dtype=torch.float64)).relu()
    return Batch(x.to(dtype), y, classes=torch.ones(ways, dtype=torch.bool))


@torch.no_grad()
@pytest.mark.parametrize("C", [0.01, 1.0, 10.0, 100.0])
@pytest.mark.parametrize(("ways", "shots", "d"), [(3, 1, 8), (5, 1, 64), (5, 5, 32), (20, 1, 64), (20, 5, 64)])
def test_it_is_scikit_learns(ways, shots, d, C):
    batch = support(ways, shots, d)
    x = torch.nn.functional.normalize(inputs(batch)).numpy()
    oracle = LogisticRegression(C=C, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(x, batch.y.numpy())
    for learner, params in ((LinearProbe(encoder=RAW.encoder, head=RAW.head, C=C), {}), (RAW, {"C": torch.tensor(C)})):
        found = learner.adapt(params, batch).weight.numpy()
        tolerance = 1e-5 if C <= 10 else 1e-5 * np.abs(oracle.coef_).max()
        assert np.allclose(found[:, :-1], oracle.coef_, rtol=0, atol=tolerance)
        assert np.allclose(found[:, -1], oracle.intercept_ - oracle.intercept_.mean(), rtol=0, atol=tolerance)


@torch.no_grad()
def test_single_precision_and_vmap():
    batches = tree.stack([support(5, 1, 64, torch.float32)._replace(y=torch.arange(5).roll(i)) for i in range(3)])
    params = {"C": torch.tensor(1.0)}
    together = torch.vmap(lambda b: RAW.adapt(params, b).weight, (tree.axes(batches),))(batches)
    for i in range(3):
        one = tree.slice(batches, i)
        exact = RAW.adapt(params, one._replace(x=one.x.double())).weight
        x = with_ones(torch.nn.functional.normalize(one.x.double()))
        assert torch.allclose(x @ together[i].double().T, x @ exact.T, atol=1e-4)


@torch.no_grad()
def test_equal_examples_of_different_classes_stay_finite():
    batch = support(3, 2, 8)
    for x in (torch.ones_like(inputs(batch)), torch.zeros_like(inputs(batch))):
        logits = RAW.predict({}, RAW.adapt({"C": torch.tensor(100.0)}, batch._replace(x=x)), batch.x)
        assert bool(logits.isfinite().all()) and logits.abs().max() < 1e-6


def test_what_cannot_be_is_refused():
    refused: tuple[dict[str, Any], ...] = ({"C": 0.0}, {"C": -1.0}, {"iterations": 0})
    for wrong in refused:
        with pytest.raises(InputError, match="must be"):
            LinearProbe(encoder=RAW.encoder, head=RAW.head, **wrong)
