import pytest
import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.learners.mixture.mmaml import MMAML
from innerloop.nn.decoder import JoinedMLP
from innerloop.nn.mlp import MLP
from tests.conformance import TransductiveConformance
from tests.problems import INPUTS, RaggedPlanes, classifier, inputs, real_rows

EXAMPLES = JoinedMLP(inputs=INPUTS + 3, hidden=(5,), shape=(4,))


class TestMMAML(TransductiveConformance):
    learner = MMAML(model=Module(classifier), examples=EXAMPLES, code=4, inner_lr=0.3, inner_steps=1)


@pytest.mark.parametrize("kind", ["film", "sigmoid", "softmax"])
def test_activations_are_modulated_and_the_weights_underneath_descend(kind):
    """The paper's box with activations, one example after another, and torch's own autograd."""
    model = MLP(inputs=INPUTS, hidden=(5, 4), outputs=3, activation="tanh")
    learner = MMAML(
        model=model, examples=EXAMPLES, code=4, modulation=kind, inner_lr=0.1, inner_steps=3, objective=regression
    )
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = map(real_rows, tree.slice(RaggedPlanes().episodes(0, 1), 0))
    x, asked = inputs(support), inputs(query)
    codes = [
        params["examples.layers.2.weight"]
        @ nn.functional.elu(params["examples.layers.0.weight"] @ torch.cat([row, y]) + params["examples.layers.0.bias"])
        + params["examples.layers.2.bias"]
        for row, y in zip(x, support.y, strict=True)
    ]
    code = torch.stack(codes).mean(0)
    code = code / (1 + code.square().mean() / 9).sqrt()
    numbers = params["modulation.weight"] @ code + params["modulation.bias"]

    def modulated(h, layer):
        here = slice(0, 5) if layer == 0 else slice(5, 9)
        if kind == "film":
            return h * (1 + numbers[:9][here]) + numbers[9:][here]
        gates = numbers[here]
        return h * (gates.sigmoid() if kind == "sigmoid" else gates.exp() / gates.exp().sum() * len(gates))

    def network(weights, x):
        for layer in range(3):
            x = x @ weights[2 * layer].T + weights[2 * layer + 1]
            x = torch.tanh(modulated(x, layer)) if layer < 2 else x
        return x

    weights = [params[f"model.{i}.{kind}"].clone().requires_grad_() for i in (1, 3, 5) for kind in ("weight", "bias")]
    for _ in range(3):
        slopes = torch.autograd.grad((network(weights, x) - support.y).square().mean(), weights)
        weights = [(w - 0.1 * g).detach().requires_grad_() for w, g in zip(weights, slopes, strict=True)]
    with torch.no_grad():
        found = learner.predict(params, learner.adapt(params, support), asked)
    assert torch.allclose(found, network(weights, asked), rtol=1e-10, atol=1e-10)


def test_what_a_norm_evens_out_is_not_modulated_and_a_network_without_hidden_layers_is_refused():
    learner = TestMMAML.learner
    assert len(learner.init(0)["modulation.bias"]) == 2 * (6 + 6)  # the norm and the second linear layer
    with pytest.raises(InputError, match=r"no hidden layer with a bias can be modulated: the network has 1\.weight"):
        MMAML(model=MLP(hidden=()), examples=EXAMPLES).init(0)
