"""Gradients of pieces of an unroll: what they estimate, and that a run stopped in mid-unroll goes on bit for bit."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Unrolled
from innerloop.core.model import Module
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.engine.unroll_gradients import PES, TruncatedBPTT
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.functions import Functions, quadratic
from tests.compared import distance
from tests.problems import NeedlesInNoise, classifier, named_input

STEPS, PIECE = 20, 2


class Descent(NamedTuple):
    weights: Tensor
    momentum: Tensor
    step: Tensor


@dataclass(frozen=True, kw_only=True)
class Rates(Unrolled):
    """Gradient descent with learned logarithms of the rate of each coordinate: few parameters, long consequences."""

    additive: ClassVar[bool] = True
    inner_steps: int = STEPS
    transductive: bool = False

    def init(self, seed):
        return {"rates": torch.full((4,), -3.0, dtype=torch.float64), "decay": torch.zeros(1, dtype=torch.float64)}

    def start(self, params, support):
        start = named_input(support, "start")
        return Descent(start, 0 * start, torch.zeros((), dtype=torch.int64))

    def advance(self, params, carry, support):
        curvature = named_input(support, "curvature")
        slope = curvature * carry.weights
        momentum = params["decay"].sigmoid() * carry.momentum + slope
        weights = carry.weights - params["rates"].exp() * momentum
        return Descent(weights, momentum, carry.step + 1), (0.5 * curvature * weights.square()).sum()

    def ended(self, carry, support):
        return carry.step >= self.inner_steps

    def finish(self, params, carry, support):
        return carry.weights

    def predict(self, params, adapted, x):
        return adapted[None]

    def loss(self, params, episode):
        carry, total = self.start(params, episode.support), torch.zeros((), dtype=torch.float64)
        for _ in range(self.inner_steps):
            carry, loss = self.advance(params, carry, episode.support)
            total = total + loss
        return total, {}


def bowls(count):
    """Of very unlike curvatures, where what a step costs shows late."""
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    curvature = torch.tensor([10.0, 3.0, 1.0, 0.1], dtype=torch.float64).expand(count, 4)
    episodes = Functions().episodes(0, count)
    batch = episodes.support._replace(x={"start": start, "curvature": curvature.clone()})
    return episodes._replace(support=batch, query=batch)


def whole(estimator, learner, params, episodes, pieces, forget=False):
    """The sum of an estimator's gradients over an unroll."""
    state, total = estimator.begin(learner, params, episodes), {k: 0 * v for k, v in params.items()}
    for step in range(pieces):
        if forget:
            state = state._replace(noise=tree.map(torch.zeros_like, state.noise))
        gradient, state, _ = estimator.gradient(learner, params, state, episodes, step)
        total = tree.map(torch.add, total, gradient)
    return total


def cosine(a, b):
    return float(torch.cosine_similarity(*(torch.cat([v.flatten() for v in tree.flatten(t)]) for t in (a, b)), dim=0))


def test_pes_is_nearest_to_the_full_gradient_then_truncation_then_plain_evolution():
    learner, episodes = Rates(), bowls(4000)
    params = learner.init(0)
    full, _ = meta_gradient(learner, params, episodes, "vmap")
    pieces = STEPS // PIECE
    pes = cosine(whole(PES(length=PIECE), learner, params, episodes, pieces), full)
    truncated = cosine(whole(TruncatedBPTT(length=PIECE), learner, params, episodes, pieces), full)
    plain = cosine(whole(PES(length=PIECE), learner, params, episodes, pieces, forget=True), full)
    assert pes > 0.95
    assert pes > truncated > plain


@pytest.mark.parametrize("plan", ["vmap", "replay"])
def test_a_piece_as_long_as_the_unroll_is_exact(plan):
    learner, episodes = L2O(value=quadratic, inner_steps=3), Functions().episodes(0, 6)
    params = learner.init(0)
    expected, _ = meta_gradient(learner, params, episodes, "loop")
    estimator = TruncatedBPTT(length=3, plan=plan)
    found, _, _ = estimator.gradient(learner, params, estimator.begin(learner, params, episodes), episodes, 0)
    assert distance(found, expected) < 1e-5


def test_an_ended_problem_gives_its_row_to_a_fresh_one():
    learner = L2O(value=quadratic, inner_steps=6, shortest=2)
    params, estimator, sampler = learner.init(0), TruncatedBPTT(length=2), Functions()
    first, later = sampler.episodes(0, 16), sampler.episodes(16, 16)
    state = estimator.begin(learner, params, first)
    _, state, _ = estimator.gradient(learner, params, state, first, 0)
    support = state.episodes.support
    ended = torch.stack([learner.ended(tree.slice(state.carry, i), tree.slice(support, i)) for i in range(16)])
    assert 0 < int(ended.sum()) < 16
    _, state, _ = estimator.gradient(learner, params, state, later, 1)
    key, old, new = (episodes.support.key for episodes in (state.episodes, first, later))
    assert key is not None and old is not None and new is not None
    assert torch.equal(key, torch.where(ended, new, old))
    assert torch.equal(state.carry.step, torch.where(ended, 2, 4))


@pytest.mark.parametrize("estimator", ["truncated", "pes"])
@pytest.mark.exact
def test_a_run_goes_on_in_mid_unroll_bit_for_bit(tmp_path, estimator):
    """Stopped after 3 of 7 pieces, where unrolls are of 4 pieces."""
    learner, sampler = L2O(value=quadratic, inner_steps=8, shortest=4, hidden=4), Functions(seed=3)

    def train(steps, out=None):
        config = TrainConfig(steps=steps, meta_batch_size=4, meta_lr=1e-2, estimator=estimator, unroll_length=2)
        return meta_train(learner, sampler, config, out)

    expected = train(7)
    train(3, tmp_path)
    found = train(7, tmp_path)
    assert all(torch.equal(found[k], expected[k]) for k in expected)


def test_what_cannot_be_cut_into_pieces_is_refused():
    learner, episodes = L2O(model=Module(classifier)), NeedlesInNoise().episodes(0, 2)
    params, estimator = {k: v.double() for k, v in learner.init(0).items()}, TruncatedBPTT(length=1)
    with pytest.raises(InputError, match="sum over steps"):
        estimator.gradient(learner, params, None, episodes, 0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="use vmap, replay or compile"):
        TruncatedBPTT(plan="loop")
    with pytest.raises(InputError, match="length of a piece"):
        PES(length=0)


@pytest.mark.parametrize("plan", ["vmap", "replay"])
def test_pieces_that_do_not_divide_the_unroll_end_at_its_horizon(plan):
    """Of the whole unroll in one longer piece, and of truncation by a slow loop without any estimator."""
    learner, episodes = Rates(inner_steps=7), bowls(3)
    params = learner.init(0)
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    longer = TruncatedBPTT(length=9, plan=plan)
    found, state, _ = longer.gradient(learner, params, longer.begin(learner, params, episodes), episodes, 0)
    assert distance(found, expected) < 1e-10
    assert state.carry.step.tolist() == [7, 7, 7]

    pieces = TruncatedBPTT(length=3, plan=plan)  # 3, 3 and 1
    state, total = pieces.begin(learner, params, episodes), tree.map(torch.zeros_like, params)
    for step in range(3):
        gradient, state, _ = pieces.gradient(learner, params, state, episodes, step)
        total = tree.map(torch.add, total, gradient)
    slow = tree.map(torch.zeros_like, params)
    for i in range(3):
        support = tree.slice(episodes.support, i)
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        carry = learner.start(leaves, support)
        for length in (3, 3, 1):
            carry, loss = tree.map(torch.Tensor.detach, carry), torch.zeros((), dtype=torch.float64)
            for _ in range(length):
                carry, value = learner.advance(leaves, carry, support)
                loss = loss + value
            slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
            slow = {k: slow[k] + slope / 3 for k, slope in zip(slow, slopes, strict=True)}
    assert distance(total, slow) < 1e-10


def test_pes_of_pieces_that_do_not_divide_the_unroll_is_unbiased():
    """1.41 of the exact gradient where pieces ran past the horizon (7 steps in pieces of 5)."""
    learner, episodes = Rates(inner_steps=7), bowls(2000)
    episodes = tree.map(lambda v: v[:1].expand_as(v) if v.is_floating_point() else v, episodes)  # one task, much noise
    params = learner.init(0)
    expected = meta_gradient(learner, params, tree.slice(episodes, slice(0, 1)), "loop")[0]
    pes = PES(length=5, sigma=0.01, plan="vmap")
    state, total = pes.begin(learner, params, episodes), tree.map(torch.zeros_like, params)
    for step in range(2):
        gradient, state, _ = pes.gradient(learner, params, state, episodes, step)
        total = tree.map(torch.add, total, gradient)
    along = sum((total[k] * expected[k]).sum() for k in total) / sum(v.square().sum() for v in expected.values())
    assert float(along) == pytest.approx(1, abs=0.1)
