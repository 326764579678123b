"""Learned and hand-made optimizers on the same functions."""

import pytest
import torch

from innerloop.core import tree
from innerloop.evaluate.descents import Tuned, learned, made
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.optimisation import FAMILIES, Optimizees, quadratic


def test_hand_made_optimizers_take_the_steps_of_each_problem_alone():
    tasks = Optimizees().episodes(0, 3).support
    found = made(L2O(value=quadratic), Tuned("SGD", 0.01), tasks, 4)
    for i in range(3):
        x = tree.slice(tasks, i).x
        theta = x["start.theta"].clone()
        for value in found[:, i]:
            theta = theta - 0.01 * 2 * x["matrix"].T @ (x["matrix"] @ theta - x["target"])
            assert float(value) == pytest.approx(float((x["matrix"] @ theta - x["target"]).square().sum()), rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_see_the_same_values_where_neither_moves(family):
    learner, tasks = L2O(value=FAMILIES[family][1]), Optimizees(family=family).episodes(0, 3).support
    params = {k: 0 * v if k.startswith("output") else v for k, v in learner.init(0).items()}
    found, expected = learned(learner, params, tasks, 5), made(learner, Tuned("Adam", 0.0), tasks, 5)
    assert torch.allclose(found, expected, atol=1e-4)
