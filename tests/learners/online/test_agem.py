import pytest
import torch
from torch.nn import functional as F

from innerloop.core import reservoir, tree
from innerloop.core.model import Module
from innerloop.learners.online.agem import AGEM, projected
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, real, rowwise


class TestAGEM(OnlineConformance):
    learner = AGEM(model=Module(rowwise), memory=3, reference=2)


def test_a_gradient_is_projected_only_where_it_would_raise_the_reference():
    slope = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[-3.0]])}
    reference = {"a": torch.tensor([-1.0, 0.0]), "b": torch.tensor([[2.0]])}
    moved = projected(slope, reference)  # -7 along a reference of squared length 5
    assert moved["a"].tolist() == pytest.approx([1 - 7 / 5, 2]) and moved["b"].item() == pytest.approx(-3 + 14 / 5)
    turned, none = tree.map(torch.neg, reference), tree.map(torch.zeros_like, reference)
    for other in (turned, none):
        assert all(torch.equal(projected(slope, other)[k], slope[k]) for k in slope)


def test_a_stream_is_projected_descent_in_pytorch():
    """A loop over modules and flat vectors; the reference is the whole memory, so no draw is shared."""
    learner = AGEM(model=Module(rowwise), memory=30, reference=30)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise(shots=8).episodes(0, 1), 0)
    order = support.y.argsort(stable=True)  # class after class
    network, state, turned = rowwise().double(), learner.begin(params, support), 0
    network.load_state_dict(params)

    def flat(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(F.cross_entropy(network(x), y), [*network.parameters()])]
        )

    for first in range(0, 24, 4):
        batch = tree.slice(support._replace(classes=None, key=None), order[first : first + 4])
        slope, past = flat(inputs(batch), batch.y), order[:first]
        if first:
            reference = flat(inputs(support)[past], support.y[past])
            if slope @ reference < 0:
                slope, turned = slope - (slope @ reference) / (reference @ reference) * reference, turned + 1
        weights = torch.nn.utils.parameters_to_vector(network.parameters()).detach() - 0.1 * slope
        torch.nn.utils.vector_to_parameters(weights, network.parameters())
        state = learner.observe(params, state, batch)
    with torch.no_grad():
        assert torch.allclose(learner.predict(params, state, query.x), network(inputs(query)))
    assert 0 < turned < 5 and not real(reservoir.draw(state.memory, support, 30))[24:].any()
