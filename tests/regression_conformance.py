"""What every learner whose targets may be values must satisfy, on ragged planes: a part of `tests.conformance`."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.scores import MeanSquaredError
from innerloop.core.types import Episode, Params
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.engine.step import validation_scores
from tests.compared import answer, check_gradient, close, distance
from tests.problems import RaggedPlanes, real_rows


class Regression:
    """What holds for learners whose targets may be values, on tasks that are ragged."""

    learner: Learner
    train: TrainConfig
    less_error = 0.8
    """The share of an untrained learner's squared error on unseen tasks that meta-training leaves at most."""

    @pytest.fixture
    def regressor(self) -> Learner:
        """As it is, where values are all that it learns."""
        changes: dict[str, Any] = {"objective": regression} if "classes" in self.learner.targets else {}
        return replace(self.learner, **changes)

    @pytest.fixture
    def ragged(self) -> Episode:
        return RaggedPlanes().episodes(0, 4)

    @pytest.mark.parametrize(
        "plan", [Plan("vmap", 3), Plan("threads", threads=2), Plan("loop", recompute=True)], ids=str
    )
    def test_every_plan_gives_the_loops_gradient_of_a_regression(self, params, regressor, ragged, plan):
        expected, metrics = meta_gradient(regressor, params, ragged, "loop")
        gradient, same = meta_gradient(regressor, params, ragged, plan)
        assert distance(gradient, expected) < 1e-8
        assert metrics.keys() == same.keys() and all(torch.allclose(metrics[k], same[k]) for k in metrics)

    def test_the_gradient_of_a_regression_is_the_derivative_of_its_loss(self, params, regressor, ragged):
        check_gradient(regressor, params, ragged)

    def test_a_regression_does_not_see_padding(self, params, regressor, ragged):
        for i in range(tree.length(ragged)):
            episode = tree.slice(ragged, i)
            real = Episode(*map(real_rows, episode))
            answers = [answer(regressor, params, e.support, real.query.x) for e in (episode, real)]
            assert close(answers[0], answers[1]) and answers[0].shape == real.query.y.shape
            losses = [regressor.loss(params, e)[0] for e in (episode, real)]
            assert close(losses[0], losses[1])

    def test_order_and_other_queries_in_a_regression(self, params, regressor):
        support, query = map(real_rows, tree.slice(RaggedPlanes(fewest=8).episodes(0, 1), 0))
        together = answer(regressor, params, support, query.x)
        turned = tree.map(lambda leaf: leaf.flip(0), support._replace(key=None))._replace(key=support.key)
        assert close(answer(regressor, params, turned, query.x), together) is not regressor.ordered
        rows = [tree.slice(query.x, slice(i, i + 1)) for i in range(len(query.y))]
        alone = torch.cat([answer(regressor, params, support, row) for row in rows])
        assert close(alone, together)

    def test_it_learns_a_regression_that_needs_learning(self, regressor):
        def error(params: Params) -> float:
            unseen = RaggedPlanes(seed=1, dtype=torch.float32).episodes(0, 60)
            return float(validation_scores(regressor, params, unseen, MeanSquaredError()).mean())

        config = replace(self.train, steps=self.train.steps // 2)
        params = meta_train(regressor, RaggedPlanes(dtype=torch.float32), config)
        assert error(params) < self.less_error * error(regressor.init(0))
