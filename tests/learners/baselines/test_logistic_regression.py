import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Oracle

from innerloop.core import tree
from innerloop.core.dry_run import support as labelled
from innerloop.learners.baselines.logistic_regression import LogisticRegression
from tests.conformance import Conformance
from tests.problems import NeedlesInNoise


class TestLogisticRegression(Conformance):
    learner = LogisticRegression(solver_steps=15)
    gain = 0.0


@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_it_is_scikit_learns(C):
    for i in range(3):
        support, query = tree.slice(NeedlesInNoise(dtype=torch.float64).episodes(i, 1), 0)
        learner = LogisticRegression(C=C, tolerance=1e-10)
        logits = learner.predict({}, learner.adapt({}, support), query.x)
        x, q = (torch.nn.functional.normalize(part).numpy() for part in (support.x, query.x))
        oracle = Oracle(C=C, tol=1e-10, max_iter=10_000).fit(x, support.y.numpy())
        np.testing.assert_allclose(logits.softmax(-1).numpy(), oracle.predict_proba(q), atol=1e-5)


@pytest.mark.parametrize("width", [64, 200])  # fewer numbers than there are rows, and more
def test_it_has_converged_on_classes_that_overlap_and_in_many_dimensions(width):
    g = torch.Generator().manual_seed(0)
    y = torch.arange(12).repeat_interleave(7)
    x = torch.randn(12, width, generator=g)[y] + 2 * torch.randn(len(y), width, generator=g)
    learner = LogisticRegression(C=100.0)
    adapted = learner.adapt({}, labelled(x, y, 12))
    rows = torch.cat([torch.nn.functional.normalize(x), torch.ones(len(x), 1)], 1).double()
    weight = adapted.weight.double()
    p = (rows @ weight.T).softmax(-1)
    gradient = (p - torch.nn.functional.one_hot(y, 12)).T @ rows
    gradient[:, :-1] += weight[:, :-1] / learner.C
    assert gradient.abs().max() < 1e-4


def test_no_row_is_taught_twice_as_strongly_for_being_longer():
    support, query = tree.slice(NeedlesInNoise(dtype=torch.float64).episodes(0, 1), 0)
    learner = LogisticRegression()
    longer = support._replace(x=support.x * torch.linspace(1, 9, len(support.x))[:, None])
    first, other = (learner.predict({}, learner.adapt({}, s), query.x) for s in (support, longer))
    assert torch.allclose(first, other, atol=1e-4)
