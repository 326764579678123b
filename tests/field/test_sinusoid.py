"""The field's cheapest benchmark: sinusoid regression (Finn et al. 2017), with its analytic anchor."""

import pytest
import torch

from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid
from tests.field.margins import holds
from tests.problems import inputs


@pytest.mark.slow
def test_maml_learns_sinusoids(seed):
    """3.006 is the error of the best predictor that ignores the task: less before adaptation would be a leak."""
    learner = MAML(model=MLP(), inner_lr=0.01, objective=regression)
    config = TrainConfig(steps=2000, meta_batch_size=25, meta_lr=1e-3, seed=seed, plan="replay")
    params = meta_train(learner, Sinusoid(shots=10, queries=10, seed=seed), config)
    tasks = Sinusoid(shots=10, queries=100, seed=1000 + seed)
    test = meta_test(
        MAML(model=MLP(), inner_lr=0.01, inner_steps=10, objective=regression), params, tasks, episodes=1000
    )
    assert test.curve is not None
    error = {point.step: point for point in test.curve}
    holds("sinusoids, before adaptation off 3.05", abs(error[0].mean - 3.05), error[0].ci95, most=0.4)
    holds("sinusoids, after 1 step", error[1].mean, error[1].ci95, most=1.05)
    holds("sinusoids, after 10 steps", error[10].mean, error[10].ci95, most=0.6)


def test_the_best_task_free_predictor_has_its_analytic_error():
    """`-2.55 (2 / pi) cos(x)` has error 3.006, and 0 has E[y^2] = 4.252."""
    query = Sinusoid(shots=1, queries=50, seed=3).episodes(0, 4000).query
    best = -2.55 * (2 / torch.pi) * torch.cos(inputs(query))
    assert regression(best.flatten(0, 1), query.y.flatten(0, 1)) == pytest.approx(3.006, abs=0.12)
    assert query.y.square().mean() == pytest.approx(4.252, abs=0.15)
