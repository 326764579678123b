import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from tests.compared import answer
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import INPUTS, NeedlesInNoise, classifier, half_squares, quadratics, solved, vector


class TestMAML(TransductiveConformance):
    learner = MAML(model=Module(classifier), inner_lr=0.3, inner_steps=2)


class TestFOMAML(Conformance):
    learner = MAML(model=Module(classifier), inner_lr=0.3, inner_steps=2, first_order=True)


def closed_form(theta, episodes, rate, steps, first_order):
    """Finn et al. 2017 on quadratics: `M' B (t_K - e)` with `M = (I - rate A)^K`; first order without M."""
    total = torch.zeros(4, dtype=torch.float64)
    for i in range(tree.length(episodes)):
        support, query = tree.slice(episodes, i)
        (a, c), (b, e) = solved(support), solved(query)
        m = torch.linalg.matrix_power(torch.eye(4, dtype=torch.float64) - rate * a, steps)
        slope = b @ (c + m @ (theta - c) - e)
        total += slope if first_order else m.T @ slope
    return total / tree.length(episodes)


def test_quadratics_have_the_closed_form_meta_gradient():
    episodes, theta = quadratics(4), torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    for steps in (1, 3):
        found = {}
        for first_order in (False, True):
            learner = MAML(
                model=Module(vector), inner_lr=0.2, inner_steps=steps, first_order=first_order, objective=half_squares
            )
            for plan in ("loop", "vmap"):
                gradient, _ = meta_gradient(learner, {"weight": theta[None]}, episodes, plan)
                expected = closed_form(theta, episodes, 0.2, steps, first_order)
                assert (gradient["weight"][0] - expected).norm() / expected.norm() < 1e-10
            found[first_order] = gradient["weight"]
        assert (found[True] - found[False]).norm() / found[False].norm() > 1e-2, "MAML and FOMAML must differ"


def test_no_graph_is_built_where_gradients_are_off():
    learner = MAML(model=Module(classifier), inner_steps=3)
    params = {k: v.requires_grad_() for k, v in learner.init(0).items()}
    x = torch.randn(6, 8)
    with torch.no_grad():
        adapted = learner.adapt(params, Batch(x, torch.arange(6) % 3))
    assert all(v.grad_fn is None for v in adapted.values())


def test_a_row_that_weighs_two_is_there_twice():
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    weight = 1.0 + torch.arange(len(support.y)) % 3
    places = torch.arange(len(support.y)).repeat_interleave(weight.long())
    twice = support._replace(x=support.x[places], y=support.y[places])
    for model, weighs in ((MLP(INPUTS, (8,), 3, activation="tanh"), True), (Module(classifier), False)):
        learner = MAML(model=model, inner_steps=3)
        params = {k: v.double() for k, v in learner.init(0).items()}
        weighted = answer(learner, params, support._replace(weight=weight), query.x)
        assert learner.weighs is weighs
        assert torch.allclose(weighted, answer(learner, params, twice if weighs else support, query.x))
        if weighs:  # shares alone count, also below 1
            less = answer(learner, params, support._replace(weight=weight / 100), query.x)
            assert torch.allclose(weighted, less)
