import math

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.optimizers.meta_lstm import MetaLSTM, _preprocess
from tests.compared import distance
from tests.conformance import TransductiveConformance
from tests.problems import NeedlesInNoise, classifier


class TestMetaLSTM(TransductiveConformance):
    learner = MetaLSTM(model=Module(classifier), inner_steps=4, units=5)


@pytest.fixture
def support():
    return tree.slice(NeedlesInNoise().episodes(0, 1), 0).support


def double(learner):
    return {k: v.double() for k, v in learner.init(0).items()}


@pytest.mark.parametrize("second_order", [False, True])
def test_with_zero_weights_and_fixed_biases_it_is_gradient_descent(support, second_order):
    """`f = 1` and `i = rate`, exactly; and so is the gradient with respect to the initialisation."""
    learner, rate = MetaLSTM(model=Module(classifier), inner_steps=5, second_order=second_order), 0.25
    params = double(learner)
    zero = {k: torch.zeros_like(v) for k, v in params.items() if not k.startswith("model.")}
    zero["gates.bias"] = torch.tensor([50.0, math.log(rate / (1 - rate))], dtype=torch.float64)
    rate = float(zero["gates.bias"][1].sigmoid())
    maml = MAML(model=Module(classifier), inner_lr=rate, inner_steps=5, first_order=not second_order)
    start = {k: v.requires_grad_() for k, v in tree.part(params, "model").items()}
    found, expected = learner.adapt(tree.join(model=start) | zero, support), maml.adapt(start, support)
    assert distance(found, expected) < 1e-12
    ours, theirs = (
        torch.autograd.grad(torch.stack([w.square().sum() for w in adapted.values()]).sum(), list(start.values()))
        for adapted in (found, expected)
    )
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


def test_a_step_written_out_weight_by_weight(support):
    """Section 3 of the paper in NumPy, one weight after another, with torch's own LSTM cell."""
    learner = MetaLSTM(model=Module(classifier), inner_steps=2, units=3)
    params = {k: v * (1 if k.startswith("model.") else 20) for k, v in double(learner).items()}
    cell = torch.nn.LSTMCell(4, 3).double()
    weight, bias = params["lstm.weight"], params["lstm.bias"]
    cell.load_state_dict(
        {"weight_ih": weight[:, :4], "weight_hh": weight[:, 4:], "bias_ih": bias, "bias_hh": torch.zeros_like(bias)}
    )

    def shown(x):
        return (math.log(abs(x)) / 10, math.copysign(1, x)) if abs(x) >= math.exp(-10) else (-1, math.exp(10) * x)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    weights = {k: v.clone().requires_grad_() for k, v in tree.part(params, "model").items()}
    w_f, w_i = params["gates.weight"].numpy()
    b_f, b_i = params["gates.bias"].numpy()
    states = {}
    for _ in range(2):
        loss = learner.support_loss(support)(weights)[0]
        slopes = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        new = {}
        for k, w in weights.items():
            values = []
            for j, (value, slope) in enumerate(zip(w.flatten().tolist(), slopes[k].flatten().tolist(), strict=True)):
                state, f, i = states.get((k, j), (None, 0.0, 0.0))
                state = cell(torch.tensor([[*shown(slope), *shown(loss.item())]], dtype=torch.float64), state)
                h = state[0][0].detach().numpy()
                f, i = w_f @ [*h, value, f] + b_f, w_i @ [*h, value, i] + b_i
                states[k, j] = state, f, i
                values.append(sigmoid(f) * value - sigmoid(i) * slope)
            new[k] = torch.tensor(values, dtype=torch.float64).view_as(w).requires_grad_()
        weights = new
    found = learner.finish(params, learner.unroll(params, support), support)
    for k, w in weights.items():
        assert torch.allclose(found[k], w, rtol=1e-9), k


def test_preprocessing_loses_no_magnitude():
    least = math.exp(-10)
    x = torch.tensor([least, -least, least * (1 - 1e-12), 1.0, -math.e, 0.0, 0.5 * least], dtype=torch.float64)
    expected = [[-1, 1], [-1, -1], [-1, 1], [0, 1], [0.1, -1], [-1, 0], [-1, 0.5]]
    assert torch.allclose(_preprocess(x), torch.tensor(expected, dtype=torch.float64), atol=1e-9)


def test_it_starts_as_gradient_descent_with_a_small_rate():
    params = MetaLSTM(model=Module(classifier)).init(0)
    forget, take = params["gates.bias"].sigmoid()
    assert 0.98 < forget < 0.994 and 0.006 < take < 0.02
    with pytest.raises(InputError, match="more than 0 and less than 1"):
        MetaLSTM(model=Module(classifier), inner_lr=1.0)
    assert all(v.abs().max() <= 0.01 for k, v in params.items() if not k.startswith(("model.", "gates.bias")))
