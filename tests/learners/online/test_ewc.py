import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.online.ewc import EWC
from innerloop.nn.mlp import Linear
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestEWC(OnlineConformance):
    learner = EWC(model=Module(rowwise), online=True, strength=20.0)


def _task(seed: int) -> Batch:
    support = tree.slice(NeedlesInNoise(shots=8, seed=seed).episodes(0, 1), 0).support
    return support._replace(classes=None, key=None)


def test_the_fisher_information_of_logistic_regression_is_the_closed_form():
    """Squares of single gradients, `(p - y)^2 x^2`: the square of the mean gradient would be many times less."""
    learner, batch = EWC(model=Linear(8, 3)), _task(0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    x, slope = inputs(batch), torch.eye(3, dtype=torch.float64)[batch.y]
    slope = (x @ params["weight"].T + params["bias"]).softmax(1) - slope
    squares = learner.squares(params, batch)
    assert torch.allclose(squares["weight"], (slope[:, :, None] * x[:, None]).square().mean(0))
    assert torch.allclose(squares["bias"], slope.square().mean(0))
    assert (squares["weight"] > 2 * (slope[:, :, None] * x[:, None]).mean(0).square()).all()


def test_a_step_after_a_task_minimises_its_proximal_problem():
    """`g w + (w - w0)^2 / (2 lr) + strength / 2 sum F (w - a)^2` has no slope there, over two tasks that add up."""
    learner = EWC(model=Linear(8, 3), strength=3.0, fisher_decay=0.5)
    params = {k: v.double() for k, v in learner.init(0).items()}
    with torch.no_grad():
        state = learner.begin(params, _task(0)._replace(classes=torch.ones(3, dtype=torch.bool)))
        strengths = []
        for seed in (0, 1):
            squares = learner.squares(state.weights, _task(seed))
            state = learner.observe(params, state, _task(seed))
            state = learner.boundary(params, state)
            strengths.append(squares)
            assert all(torch.equal(state.anchor[k], state.weights[k]) for k in params)
        state = state._replace(weights=tree.map(lambda w: w + 0.1, state.weights))
        after = learner.observe(params, state, _task(2)).weights
    w0 = {k: v.clone().requires_grad_() for k, v in state.weights.items()}
    slopes = dict(zip(w0, torch.autograd.grad(learner.loss_on(_task(2))(w0)[0], [*w0.values()]), strict=True))
    for k, w in after.items():
        importance = strengths[0][k] + strengths[1][k]
        assert torch.allclose(state.importance[k], importance)
        slope = slopes[k] + (w - w0[k]) / 0.1 + 3.0 * importance * (w - state.anchor[k])
        assert slope.abs().max() < 1e-9


def test_springs_of_any_strength_stay_finite_and_hold():
    learner = EWC(model=Module(rowwise), strength=1e9)
    params = learner.init(0)
    batches = [tree.map(lambda v: v.float() if v.is_floating_point() else v, _task(seed)) for seed in range(4)]
    with torch.no_grad():
        state = learner.begin(params, batches[0]._replace(classes=torch.ones(3, dtype=torch.bool)))
        held = learner.boundary(params, learner.observe(params, state, batches[0]))
        state = held
        for batch in batches[1:]:
            state = learner.observe(params, state, batch)
    moved = [(state.weights[k] - held.weights[k]).abs() for k in params]
    assert all(m.isfinite().all() for m in moved)
    assert all(m[held.importance[k] > 1e-4].max() < 1e-4 for k, m in zip(params, moved, strict=True))
