"""Updates on rollouts, in float64: what the trust region computes against autograd, and that its limit holds."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import linalg
from innerloop.core.agent import Replayed
from innerloop.core.errors import FailedError, InputError
from innerloop.core.model import Module
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.clipped import Clipped
from innerloop.engine.trust_region import TrustRegion, collect, divergence, gradient, replayed, surrogate
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks
from tests.agents import double, tasks
from tests.problems import NeedlesInNoise, classifier

ENVIRONMENT = Navigation(horizon=8)
LEARNER = MAMLRL(env=ENVIRONMENT, model=Gaussian(hidden=(4,)), trajectories=6)
SAMPLER = EnvironmentTasks(environment=ENVIRONMENT)


def flat(params):
    return torch.cat([v.reshape(-1) for v in params.values()])


def folded(vector, like):
    parts = vector.split([v.numel() for v in like.values()])
    return {k: part.view_as(v) for (k, v), part in zip(like.items(), parts, strict=True)}


@pytest.fixture
def params():
    return double(LEARNER.init(0))


@pytest.fixture
def episodes():
    return tasks(ENVIRONMENT, 4)


def test_products_are_those_of_the_hessian_of_the_divergence_after_adaptation(params, episodes):
    collected, _ = collect(LEARNER, params, episodes, 0)

    def spread(vector):
        return divergence(replayed(LEARNER, folded(vector, params), episodes, collected))

    hessian: Any = torch.autograd.functional.hessian(spread, flat(params))
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    slope = gradient(divergence(replayed(LEARNER, leaves, episodes, collected)), leaves, again=True)
    for seed in range(3):
        vector = torch.randn(len(hessian), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        product = flat(gradient(linalg.dot(slope, folded(vector, params)), leaves, kept=True))
        assert torch.allclose(product, hessian @ vector, rtol=1e-9, atol=1e-12)
    assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-10, "a Fisher matrix is positive semi-definite"
    # Without adaptation it is another one.
    still = replace(LEARNER, inner_steps=0)
    alone, _ = collect(still, params, episodes, 0)
    other: Any = torch.autograd.functional.hessian(
        lambda v: divergence(replayed(still, folded(v, params), episodes, alone)), flat(params)
    )
    assert float((hessian - other).norm() / hessian.norm()) > 0.05


def test_some_steps_alone_have_the_second_derivative_of_a_divergence_that_is_0(params, episodes):
    collected, _ = collect(LEARNER, params, episodes, 0)
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    spread = divergence(replayed(LEARNER, leaves, episodes, collected, every=3))
    slope = gradient(spread, leaves, again=True)
    assert abs(float(spread)) < 1e-12 and max(float(s.abs().max()) for s in slope.values()) < 1e-12
    columns = [
        flat(gradient(linalg.dot(slope, folded(unit, params)), leaves, kept=True))
        for unit in torch.eye(len(flat(params)), dtype=torch.float64)
    ]
    assert float(torch.linalg.eigvalsh(torch.stack(columns)).min()) > -1e-10


@pytest.mark.parametrize(
    "update", [TrustRegion(max_kl=0.02), TrustRegion(max_kl=0.02, every=2)], ids=["all", "every 2"]
)
def test_an_accepted_step_keeps_the_limit_and_lowers_the_surrogate(params, episodes, update):
    state = update.begin(LEARNER, params, episodes)
    after, state, metrics = update.step(LEARNER, params, state, episodes, 0, 1.0)
    collected, _ = collect(LEARNER, params, episodes, 0)
    at = [replayed(LEARNER, p, episodes, collected) for p in (params, after)]
    assert int(state.refused) == 0 and float(metrics["kl"]) == pytest.approx(float(divergence(at[1])), rel=1e-9)
    assert 0.002 < float(divergence(at[1])) <= 0.02
    assert float(surrogate(at[1])) < float(surrogate(at[0]))
    assert float(metrics["gained"]) == pytest.approx(float(surrogate(at[0]) - surrogate(at[1])), rel=1e-9)


def test_the_first_try_is_as_long_as_the_quadratic_divergence_allows(params, episodes):
    """One half of s'Fs is the limit, where a step is so short that nothing else counts."""
    small, tried = 1e-9, TrustRegion(max_kl=1e-9, iterations=5, damping=0.0)
    after, _, metrics = tried.step(LEARNER, params, tried.begin(LEARNER, params, episodes), episodes, 0, 1.0)
    lengths = [small * 0.8 ** (2 * k) for k in range(15)]  # the divergence of every length that is tried
    assert min(abs(float(metrics["kl"]) / length - 1) for length in lengths) < 1e-3
    assert any(not torch.equal(after[k], params[k]) for k in params)


def test_where_nothing_will_do_the_parameters_stay_and_it_is_counted(params, episodes):
    update = TrustRegion(tries=1, max_kl=5.0, iterations=1, damping=0.0)  # far outside of what is nearly quadratic
    state, refused = update.begin(LEARNER, params, episodes), 0
    for number in range(4):
        after, state, metrics = update.step(LEARNER, params, state, episodes, number, 1.0)
        refused += "kl" not in metrics
        assert ("kl" in metrics) or all(torch.equal(after[k], params[k]) for k in params)
    assert int(state.refused) == refused


def test_the_clipped_surrogate_gains_and_has_the_same_first_slope(params, episodes):
    update = Clipped(epochs=1, clip=None)
    collected, _ = collect(LEARNER, params, episodes, 0)
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    plain, near = (
        gradient(f(replayed(LEARNER, leaves, episodes, collected)), leaves) for f in (surrogate, update._loss)
    )
    assert all(torch.allclose(plain[k], near[k], rtol=1e-12) for k in plain)
    several = Clipped(epochs=8)
    state = several.begin(LEARNER, params, episodes)
    _, state, metrics = several.step(LEARNER, params, state, episodes, 0, 3e-3)
    assert float(metrics["gained"]) > 0 and state.moments is not None and float(state.moments.step) == 8
    short = Clipped(epochs=8, max_kl=1e-9)
    _, state, _ = short.step(LEARNER, params, short.begin(LEARNER, params, episodes), episodes, 0, 3e-3)
    assert state.moments is not None and float(state.moments.step) == 1, "it stops once the policy has gone too far"


def test_no_more_is_gained_from_ratios_that_are_clipped():
    log_ratio = torch.tensor([[[0.5, -0.5, 0.5, -0.5]]], requires_grad=True)
    worth, live = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]]), torch.ones(1, 1, 4, dtype=torch.bool)
    loss = Clipped()._loss(Replayed(log_ratio, worth, torch.zeros(1, 1, 4), live, torch.zeros(1)))
    (slope,) = torch.autograd.grad(loss, log_ratio)
    assert (slope[0, 0] != 0).tolist() == [False, True, True, False]


@pytest.mark.parametrize("update", [TrustRegion(), Clipped(epochs=2)], ids=["trust region", "clipped"])
def test_a_resumed_training_equals_an_unbroken_one(update, tmp_path):
    config = TrainConfig(steps=4, meta_batch_size=3, checkpoint_every=1)
    whole = meta_train(LEARNER, SAMPLER, config, update=update)
    meta_train(LEARNER, SAMPLER, replace(config, steps=2), tmp_path / "run", update=update)
    resumed = meta_train(LEARNER, SAMPLER, config, tmp_path / "run", update=update)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    with pytest.raises(InputError, match="another"):
        meta_train(LEARNER, SAMPLER, replace(config, steps=5), tmp_path / "run", update=TrustRegion(max_kl=0.5))


class Broken(Navigation):
    """Its reward is no number at the third step of tasks whose goal is on the right."""

    def step(self, task, state, action, key):
        state, reward, done = super().step(task, state, action, key)
        return state, torch.where(task["goal"][0] > 0, reward * torch.nan, reward), done


def test_a_reward_that_is_no_number_is_told_with_its_task_and_step():
    learner = replace(LEARNER, env=Broken(horizon=3))
    with pytest.raises(FailedError, match=r"reward is nan in task \d+, trajectory 0, at step 0"):
        meta_train(learner, EnvironmentTasks(environment=learner.env), TrainConfig(steps=2), update=TrustRegion())


class Over(Navigation):
    """Its episodes end with their first step, whose reward is always the same."""

    def step(self, task, state, action, key):
        return state, torch.ones_like(action[:, 0]), torch.ones_like(action[:, 0], dtype=torch.bool)


def test_episodes_that_are_over_at_once_teach_nothing_and_break_nothing():
    learner = replace(LEARNER, env=Over(horizon=4))
    for update in (TrustRegion(), Clipped(epochs=2)):
        after = meta_train(learner, EnvironmentTasks(environment=learner.env), TrainConfig(steps=2), update=update)
        assert all(torch.allclose(after[k], v, atol=1e-3) for k, v in learner.init(0).items())


def test_who_is_no_agent_is_refused_before_the_first_step():
    with pytest.raises(InputError, match="MAML is no agent"):
        meta_train(MAML(model=Module(classifier)), NeedlesInNoise(), TrainConfig(steps=1), update=TrustRegion())
    with pytest.raises(InputError, match="max_kl must be"):
        TrustRegion(max_kl=0.0)
