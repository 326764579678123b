from dataclasses import replace

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.learned_rates import LearnedRates
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.meta_sgd import MetaSGD
from innerloop.nn.mlp import Linear
from tests.compared import close, distance
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import FEATURES, NeedlesInNoise, classifier, encoder, half_squares, quadratics, solved, vector

PLAIN = LearnedRates(model=Module(classifier), inner_lr=0.25, inner_steps=2, momentum=None, decay=None)


class TestLearnedRates(TransductiveConformance):
    learner = LearnedRates(model=Module(classifier), inner_lr=0.3, inner_steps=3, momentum=0.5, decay=0.01)


class TestLearnedRatesFirstOrder(Conformance):
    learner = replace(PLAIN, rates="weight", step_rates=False, layers=("2",), first_order=True)


def double(params):
    return {k: v.double() for k, v in params.items()}


@pytest.mark.parametrize("first_order", [False, True])
def test_with_equal_rates_it_is_maml_with_its_rate_learned(first_order):
    learner = replace(PLAIN, first_order=first_order)
    maml = MAML(model=Module(classifier), inner_lr=0.25, inner_steps=2, first_order=first_order)
    episodes, params = NeedlesInNoise().episodes(0, 4), double(learner.init(0))
    weights = tree.part(params, "model")
    found, metrics = meta_gradient(learner, params, episodes, "loop")
    expected, maml_metrics = meta_gradient(maml, weights, episodes, "loop")
    assert close(metrics["loss"], maml_metrics["loss"], 1e-12)
    assert distance(tree.part(found, "model"), expected) < 1e-12
    if first_order:
        return
    up, down = (
        meta_gradient(replace(maml, inner_lr=0.25 + h), weights, episodes, "loop")[1]["loss"] for h in (1e-6, -1e-6)
    )
    total = sum(v.sum() for v in tree.part(found, "inner_lr").values())
    assert total == pytest.approx(float((up - down) / 2e-6), rel=1e-6)


def test_its_cases_are_meta_sgd_and_anil():
    episodes = NeedlesInNoise().episodes(0, 4)
    learner = replace(PLAIN, rates="weight", inner_steps=1)
    params = double(learner.init(0))
    rates = {f"inner_lr.{k}": v[0] for k, v in tree.part(params, "inner_lr").items()}
    weights = {f"model.{k}": v for k, v in tree.part(params, "model").items()}
    expected, _ = meta_gradient(MetaSGD(model=Module(classifier)), weights | rates, episodes, "loop")
    found, _ = meta_gradient(learner, params, episodes, "loop")
    assert distance({k: v[0] if k.startswith("inner_lr") else v for k, v in found.items()}, expected) < 1e-12

    head = replace(PLAIN, layers=("2.",))
    params = double(head.init(0))
    named = {
        "encoder.": {k.removeprefix("model.0."): v for k, v in params.items() if k.startswith("model.0.")},
        "head.": {k.removeprefix("model.2."): v for k, v in params.items() if k.startswith("model.2.")},
    }
    anil = ANIL(encoder=Module(tanh_encoder), head=Linear(inputs=FEATURES, outputs=3), inner_lr=0.25, inner_steps=2)
    split = {p + ("0." + k if p == "encoder." else k): v for p, entries in named.items() for k, v in entries.items()}
    expected, anil_metrics = meta_gradient(anil, split, episodes, "loop")
    found, metrics = meta_gradient(head, params, episodes, "loop")
    assert metrics["loss"] == pytest.approx(float(anil_metrics["loss"]), rel=1e-12)
    assert torch.allclose(found["model.2.weight"], expected["head.weight"], rtol=1e-10)


def tanh_encoder():
    return torch.nn.Sequential(encoder(), torch.nn.Tanh())


def test_the_inner_loop_is_torchs_sgd():
    learner = LearnedRates(model=Module(classifier), inner_lr=0.2, inner_steps=4, momentum=0.9, decay=0.1)
    params, support = double(learner.init(0)), tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    weights = tree.part(params, "model")
    leaves = {k: v.clone().requires_grad_() for k, v in weights.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=0.2, momentum=0.9, weight_decay=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        learner.support_loss(support)(leaves)[0].backward()
        optimizer.step()
    found = learner.unroll(params, support).weights
    assert all(torch.allclose(found[k], leaves[k], rtol=1e-10) for k in leaves)


def test_quadratics_have_the_closed_form_hyper_gradients():
    """Two steps: `dL/da_2 = -s'A(t_1 - c)`, `dL/da_1 = -s'(I - a_2 A) A(t_0 - c)`, s = B(t_2 - e); momenta likewise."""
    learner = LearnedRates(model=Module(vector), objective=half_squares, inner_steps=2)
    episodes, eye = quadratics(1), torch.eye(4, dtype=torch.float64)
    (a, c), (b, e) = (solved(batch) for batch in tree.slice(episodes, 0))
    t = [torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)]
    rates = torch.tensor([0.1, 0.3], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    params = {"model.weight": t[0][None], "inner_lr.weight": rates, "momentum.weight": zero, "decay.weight": zero}
    for rate in rates:
        t.append(t[-1] - rate * a @ (t[-1] - c))
    s, through = b @ (t[2] - e), eye - rates[1] * a
    found, _ = meta_gradient(learner, params, episodes, "loop")
    expected = {
        "inner_lr": torch.stack([-s @ through @ a @ (t[0] - c), -s @ a @ (t[1] - c)]),
        "momentum": torch.stack([zero[0], -rates[1] * s @ a @ (t[0] - c)]),
        "decay": torch.stack([-rates[0] * s @ through @ t[0], -rates[1] * s @ t[1]]),
    }
    for name, value in expected.items():
        assert torch.allclose(found[f"{name}.weight"], value, rtol=1e-10), name


def test_steps_beyond_those_of_training_take_the_last_rate():
    learner = LearnedRates(model=Module(vector), objective=half_squares, inner_steps=2, momentum=None, decay=None)
    support = tree.slice(quadratics(1), 0).support
    rates = torch.tensor([0.1, 0.2], dtype=torch.float64)
    start = torch.ones(1, 4, dtype=torch.float64)
    weight = replace(learner, inner_steps=3).adapt({"model.weight": start, "inner_lr.weight": rates}, support)["weight"]
    a, c = solved(support)
    expected = start[0]
    for rate in (0.1, 0.2, 0.2):
        expected = expected - rate * a @ (expected - c)
    assert torch.allclose(weight[0], expected, rtol=1e-10)


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(InputError, match=r"no weight starts with 'head'.*0\.0\.weight"):
        replace(PLAIN, layers=("head",)).init(0)
