"""What every agent must satisfy. Inherit, and set `learner` and `environment`: its tasks are an environment's."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import config, tree
from innerloop.core.agent import Agent
from innerloop.core.types import Episode, Params
from innerloop.engine import meta_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.trust_region import collect, divergence, gradient, replayed, surrogate
from innerloop.tasks.environments.sampler import EnvironmentTasks
from tests.compared import answer, check_gradient, close, distance

PLANS = [
    Plan("vmap", 3),
    Plan("vmap", 2),
    Plan("threads", threads=2),
    pytest.param(Plan("replay", 3), marks=pytest.mark.slow),
]


def double(params: Params) -> Params:
    return {k: v.double() for k, v in params.items()}


def tasks(environment: Any, count: int, seed: int = 0) -> Episode:
    """Tasks in float64."""
    episodes = EnvironmentTasks(environment=environment, seed=seed).episodes(0, count)
    return tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, episodes)


class AgentConformance:
    """Inherited by the test of every agent."""

    learner: Any
    training: EnvironmentTasks
    """What `meta_train` gets."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.training = EnvironmentTasks(environment=cls.learner.env)

    @pytest.fixture
    def params(self) -> Params:
        return double(self.learner.init(0))

    @pytest.fixture
    def episodes(self) -> Episode:
        return tasks(self.learner.env, 3)

    def test_init_is_a_function_of_its_seed(self):
        first, again, other = (self.learner.init(seed) for seed in (3, 3, 4))
        assert first.keys() == again.keys() and all(torch.equal(first[k], again[k]) for k in first)
        assert not first or any(not torch.equal(first[k], other[k]) for k in first)

    def test_nothing_is_mutated_and_no_global_randomness_drawn(self, params, episodes):
        kept, state = copy.deepcopy((params, episodes)), torch.get_rng_state()
        meta_gradient(self.learner, params, episodes, "loop")
        answer(
            self.learner, params, *(part for part in (tree.slice(episodes, 0).support, tree.slice(episodes, 0).query.x))
        )
        pairs = zip(tree.flatten(kept), tree.flatten((params, episodes)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) and torch.equal(state, torch.get_rng_state())

    @pytest.mark.parametrize("plan", PLANS, ids=str)
    def test_every_plan_gives_the_loops_gradient(self, params, episodes, plan):
        expected, metrics = meta_gradient(self.learner, params, episodes, "loop")
        found, same = meta_gradient(self.learner, params, episodes, plan)
        assert distance(found, expected) < 1e-12
        assert metrics.keys() == same.keys() and all(close(metrics[k], same[k], 1e-12) for k in metrics)

    def test_the_gradient_is_the_derivative_of_the_loss_with_rollouts_held(self, params, episodes):
        if params:
            check_gradient(self.learner, params, episodes)

    def test_a_return_repeats_and_depends_on_the_key(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        first, again = (answer(self.learner, params, support, query.x) for _ in range(2))
        other = answer(self.learner, params, support._replace(key=support.key + 1), query.x)
        assert first.shape == (1, 1) and torch.equal(first, again) and self.learner.stochastic
        assert getattr(self.learner, "rule", "") == "oracle" or not torch.equal(first, other)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dtype_is_kept(self, dtype):
        cast = lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf  # noqa: E731
        params, episodes = tree.map(cast, (self.learner.init(0), tasks(self.learner.env, 2)))
        gradient, metrics = meta_gradient(self.learner, params, episodes, "vmap")
        assert all(v.dtype == dtype for v in (*gradient.values(), metrics["loss"]))

    def test_config_and_pickle_round_trip(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        expected = answer(self.learner, params, support, query.x)
        for other in (config.decode(config.encode(self.learner)), pickle.loads(pickle.dumps(self.learner))):
            assert other == self.learner
            assert torch.equal(answer(other, params, support, query.x), expected)

    def test_where_nothing_has_moved_the_surrogate_is_the_policy_gradient(self, params, episodes):
        learner: Any = self.learner
        if not isinstance(learner, Agent):
            return
        collected, _ = collect(learner, params, episodes, 0)
        leaves = {k: v.requires_grad_() for k, v in params.items()}
        seen = replayed(learner, leaves, episodes, collected)
        assert float(seen.log_ratio.detach().abs().max()) < 1e-12
        assert float(seen.divergence.detach().abs().max()) < 1e-12
        slope = gradient(surrogate(seen), leaves, kept=True)
        expected, _ = meta_gradient(self.learner, params, episodes, "loop")
        assert distance(slope, expected) < 1e-10
        flat = gradient(divergence(seen), leaves)
        assert all(float(g.abs().max()) < 1e-10 for g in flat.values())

    def test_adapting_to_nothing_is_no_adaptation(self, params, episodes):
        if "inner_steps" in self.learner.__dataclass_fields__:
            still = replace(self.learner, inner_steps=0)
            support = tree.slice(episodes, 0).support
            # Some adapt no weights: what they learn is in a memory.
            weights = getattr(still.adapt(params, support), "weights", params)
            assert all(torch.equal(weights[k], params[k]) for k in weights)
