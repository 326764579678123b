"""L2O, whose oracle is the recursion written as a loop in NumPy."""

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import classification
from innerloop.core.types import Episode
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.learners.optimizers.l2o import L2O, log_and_sign
from innerloop.tasks.functions import FAMILIES, Functions, quadratic
from tests.compared import distance
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, classifier


class TestL2O(TransductiveConformance):
    learner = L2O(model=Module(classifier), inner_steps=3, hidden=4)


class TestL2OFreshStart(Conformance):
    learner = L2O(model=Module(classifier), inner_steps=3, hidden=4, fresh_start=True)


class TestL2ONormalised(Conformance):
    learner = L2O(model=Module(classifier), inner_steps=3, hidden=4, preprocessing="moments", normalised=True)


class TestL2OSecondOrder(Conformance):
    learner = L2O(model=Module(classifier), inner_steps=3, hidden=4, preprocessing="log_sign", second_order=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("preprocessing", ["scale", "log_sign"])
def test_a_descent_is_the_loop_in_numpy(preprocessing):
    learner = L2O(value=quadratic, inner_steps=7, hidden=5, preprocessing=preprocessing, late=2.0, input_scale=0.3)
    params = tree.map(torch.Tensor.double, learner.init(1))
    episode = tree.slice(Functions().episodes(4, 1), 0)
    x = {k: v.double() for k, v in episode.support.x.items()}
    episode = episode._replace(support=episode.support._replace(x=x))
    p, x = ({k: v.numpy() for k, v in values.items()} for values in (params, x))
    theta, total = x["start.theta"].copy(), 0.0
    states = [[[np.zeros(5), np.zeros(5)] for _ in range(10)] for _ in range(2)]
    for t in range(1, 8):
        slopes, moved = 2 * x["matrix"].T @ (x["matrix"] @ theta - x["target"]), theta.copy()
        for i, g in enumerate(slopes):
            read = np.array([0.3 * g])
            if preprocessing == "log_sign":
                small = abs(g) < np.exp(-10)
                read = np.array([-1, np.exp(10) * g] if small else [np.log(abs(g)) / 10, np.sign(g)])
            for name, layer in zip(("first", "second"), states, strict=True):
                h, c = layer[i]
                a = p[f"{name}.weight_ih"] @ read + p[f"{name}.weight_hh"] @ h + p[f"{name}.bias"]
                c = sigmoid(a[5:10]) * c + sigmoid(a[:5]) * np.tanh(a[10:15])
                read = sigmoid(a[15:]) * np.tanh(c)
                layer[i] = [read, c]
            moved[i] += 0.1 * (p["output.weight"][0] @ read + p["output.bias"][0])
        theta = moved
        total += (t / 7) ** 2 * np.square(x["matrix"] @ theta - x["target"]).sum()
    assert learner.adapt(params, episode.support).weights["theta"].numpy() == pytest.approx(theta, rel=1e-12)
    assert float(learner.loss(params, episode)[0]) == pytest.approx(total, rel=1e-12)


def test_without_output_weights_nothing_moves():
    for family, (_, value) in FAMILIES.items():
        learner, support = (
            L2O(value=value, inner_steps=3),
            tree.slice(Functions(family=family).episodes(0, 1), 0).support,
        )
        params = {k: 0 * v if k.startswith("output") else v for k, v in learner.init(0).items()}
        weights = learner.adapt(params, support).weights
        assert all(torch.equal(w, support.x[f"start.{k}"]) for k, w in weights.items())


def test_log_and_sign_are_the_papers():
    g = torch.tensor([0.0, 1e-6, -1e-6, 0.1, -3.0], dtype=torch.float64)
    size, sign = log_and_sign(g, 10.0)
    assert size.tolist() == pytest.approx([-1, -1, -1, np.log(0.1) / 10, np.log(3) / 10])
    assert sign.tolist() == pytest.approx([0, np.exp(10) * 1e-6, -np.exp(10) * 1e-6, 1, -1])


def test_values_are_summed_over_problems_never_averaged():
    """A problem's path is the same alone and among others."""
    learner, episodes = L2O(value=quadratic, inner_steps=4), Functions().episodes(0, 8)
    params = learner.init(0)
    adapt = torch.vmap(learner.adapt, in_dims=(None, tree.axes(episodes.support)))
    together = adapt(params, episodes.support).weights["theta"][3]
    alone = learner.adapt(params, tree.slice(episodes.support, 3)).weights["theta"]
    assert torch.allclose(together, alone, atol=1e-6)


def test_second_derivatives_make_a_difference():
    episodes = Functions().episodes(0, 4)
    first, second = L2O(value=quadratic, inner_steps=4), L2O(value=quadratic, inner_steps=4, second_order=True)
    params = first.init(0)
    gradients = [meta_gradient(learner, params, episodes, "loop")[0] for learner in (first, second)]
    assert distance(*gradients) > 1e-3


def test_horizons_are_drawn_between_the_bounds():
    learner, support = L2O(value=quadratic, inner_steps=9, shortest=4), Functions().episodes(0, 300).support
    horizons = torch.vmap(learner._horizon, in_dims=(tree.axes(support),))(support)
    assert set(horizons.tolist()) == set(range(4, 10))


def test_it_learns_to_descend():
    learner = L2O(value=quadratic, inner_steps=20, hidden=8)
    config = TrainConfig(steps=60, meta_batch_size=64, meta_lr=1e-2, clip=1.0, estimator="truncated", plan="vmap")
    params = meta_train(learner, Functions(seed=0), config)
    unseen = Functions(seed=1).episodes(0, 64)
    before, after = (meta_gradient(learner, p, unseen, "vmap")[1]["loss"] for p in (learner.init(0), params))
    assert after < 0.6 * before


def without_output(learner, seed=0):
    """Parameters of an LSTM that writes 0."""
    return {k: (0 * v if k.startswith("output") else v).double() for k, v in learner.init(seed).items()}


def test_an_lstm_that_writes_nothing_is_adam_on_the_support():
    network = Module(classifier)
    learner = L2O(model=network, inner_steps=6, preprocessing="moments", output_scale=0.05)
    params, support = without_output(learner), tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    weights = {k: v.clone().requires_grad_() for k, v in tree.part(params, "start").items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.05, eps=1e-12)
    for _ in range(6):
        optimizer.zero_grad()
        learner.objective(network.apply(weights, support.x, support.mask), support.y, support.mask).backward()
        optimizer.step()
    adapted = learner.adapt(params, support).weights
    assert all(torch.allclose(adapted[k], w, atol=1e-9) for k, w in weights.items())


@pytest.mark.parametrize("preprocessing", ["scale", "moments"])
def test_the_loss_of_a_task_is_that_of_the_query_after_steps_that_are_unrolled_by_hand(preprocessing):
    network = Module(classifier)
    learner = L2O(model=network, inner_steps=3, hidden=4, preprocessing=preprocessing, normalised=True)
    params = tree.map(torch.Tensor.double, learner.init(0))
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    weights = tree.part(params, "start")
    states = {k: learner.blank(params["output.bias"], w.numel()) for k, w in weights.items()}
    for _ in range(3):
        leaves = {k: w.detach().requires_grad_() for k, w in weights.items()}
        value = classification(network.apply(leaves, support.x, None), support.y)
        slopes = torch.autograd.grad(value, list(leaves.values()))
        for (k, w), slope in zip(weights.items(), slopes, strict=True):  # tensor by tensor
            step, states[k] = learner.write(params, slope.flatten(), states[k])
            weights = weights | {k: w + step.view(w.shape)}
    fast = network.with_statistics(weights, support.x, None)
    by_hand = classification(network.apply(fast, query.x), query.y)
    loss, metrics = learner.loss(params, Episode(support, query))
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-12) and "score" in metrics
    names = sorted(params)
    expected = torch.autograd.grad(
        learner.loss(leaves := {k: v.clone().requires_grad_() for k, v in params.items()}, Episode(support, query))[0],
        [leaves[k] for k in names],
    )
    gradient, _ = meta_gradient(learner, params, tree.stack([Episode(support, query)]), "vmap")
    assert all(torch.allclose(gradient[k], one, atol=1e-12) for k, one in zip(names, expected, strict=True))


def test_steps_of_a_tensor_have_one_length_whatever_the_gradient():
    learner = L2O(value=quadratic, preprocessing="moments", normalised=True, hidden=5)
    params = tree.map(torch.Tensor.double, learner.init(2))
    slopes = torch.randn(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states = learner.blank(slopes, 7)
    steps, after = learner.write(params, slopes, states, [3, 4])
    larger, _ = learner.write(params, 1e4 * slopes, states, [3, 4])
    assert torch.allclose(steps, larger, rtol=1e-6)
    parts = [learner.write(params, part, learner.blank(slopes, len(part)))[0] for part in slopes.split([3, 4])]
    assert torch.allclose(steps, torch.cat(parts), rtol=1e-9)
    assert [layer[0].shape for layer in after] == [(7, 5), (7, 5), (7, 3)]


def test_a_fresh_start_is_of_the_networks_own_entries_and_another_for_each_task():
    learner = L2O(model=Module(classifier), inner_steps=0, fresh_start=True)
    params, support = learner.init(0), NeedlesInNoise(dtype=torch.float32).episodes(0, 2).support
    first, second = (learner.start(params, tree.slice(support, i)).weights for i in range(2))
    again = learner.start(params, tree.slice(support, 0)).weights
    own = tree.part(params, "start")
    assert any(not torch.equal(first[k], second[k]) for k in own)
    assert all(torch.equal(first[k], again[k]) for k in own)
    assert all(set(first[k].flatten().tolist()) <= set(own[k].flatten().tolist()) for k in own)


def test_a_fresh_start_is_not_learned():
    learner = L2O(model=Module(classifier), inner_steps=2, fresh_start=True)
    gradient, _ = meta_gradient(learner, learner.init(0), NeedlesInNoise(dtype=torch.float32).episodes(0, 2), "vmap")
    assert all(not g.any() for k, g in gradient.items() if k.startswith("start."))


def test_functions_that_count_more_have_the_same_values_elsewhere():
    plain, rescaled = Functions(seed=3).episodes(0, 5), Functions(seed=3, rescale=100.0).episodes(0, 5)
    assert isinstance(rescaled.support.x, dict)
    factors = rescaled.support.x["factor.theta"]
    assert factors.shape == (5,) and factors.min() >= 0.01 and factors.max() <= 100 and factors.unique().numel() == 5
    for one, other in zip(
        *(map(lambda i, e=e: tree.slice(e, i).support, range(5)) for e in (plain, rescaled)), strict=True
    ):
        start, moved = ({"theta": s.x["start.theta"]} for s in (one, other))
        assert torch.allclose(quadratic(start, one.x, one.key), quadratic(moved, other.x, other.key), rtol=1e-4)
        assert not torch.allclose(start["theta"], moved["theta"])
    with pytest.raises(InputError, match="rescale"):
        Functions(rescale=0.5)


def test_bad_fields_are_refused():
    with pytest.raises(InputError, match="bring their own start"):
        L2O(value=quadratic, fresh_start=True)
    with pytest.raises(InputError, match="either a value"):
        L2O()
    with pytest.raises(InputError, match="shortest"):
        L2O(value=quadratic, inner_steps=5, shortest=6)
