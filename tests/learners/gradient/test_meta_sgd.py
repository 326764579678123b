import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.meta_sgd import MetaSGD
from tests.conformance import TransductiveConformance
from tests.problems import classifier, half_squares, quadratics, solved, vector


class TestMetaSGD(TransductiveConformance):
    learner = MetaSGD(model=Module(classifier), inner_lr=0.3)


def test_one_step_on_quadratics_has_the_closed_form_gradients():
    """`dL/dalpha = -(B (t_1 - e)) * (A (t - c))`, `dL/dt = (I - diag(alpha) A)' B (t_1 - e)` (Li et al. 2017)."""
    theta = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    alpha = torch.tensor([0.1, -0.2, 0.3, 0.05], dtype=torch.float64)
    learner = MetaSGD(model=Module(vector), objective=half_squares)
    episodes = quadratics(1)
    found, _ = meta_gradient(learner, {"model.weight": theta[None], "inner_lr.weight": alpha[None]}, episodes, "loop")
    (a, c), (b, e) = (solved(batch) for batch in tree.slice(episodes, 0))
    slope = b @ (theta - alpha * (a @ (theta - c)) - e)
    by_alpha = -slope * (a @ (theta - c))
    by_theta = (torch.eye(4, dtype=torch.float64) - alpha[:, None] * a).T @ slope
    assert (found["inner_lr.weight"][0] - by_alpha).norm() / by_alpha.norm() < 1e-10
    assert (found["model.weight"][0] - by_theta).norm() / by_theta.norm() < 1e-10


def test_rates_may_become_negative():
    learner = MetaSGD(model=Module(vector), objective=half_squares)
    support = tree.slice(quadratics(1), 0).support
    params = {"model.weight": torch.ones(1, 4, dtype=torch.float64)}
    up = learner.adapt(params | {"inner_lr.weight": torch.full((1, 4), 0.1, dtype=torch.float64)}, support)
    down = learner.adapt(params | {"inner_lr.weight": torch.full((1, 4), -0.1, dtype=torch.float64)}, support)
    assert torch.allclose(up["weight"] + down["weight"], 2 * params["model.weight"])
