"""Learned and hand-made optimizers on the same functions."""

import math

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.evaluate import optimizer_curves
from innerloop.evaluate.optimizer_curves import OPTIMIZERS, RATES, OptimizerCurves, Tuned, descend, learned, made, tune
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.functions import FAMILIES, Functions, quadratic


def test_hand_made_optimizers_take_the_steps_of_each_problem_alone():
    tasks = Functions().episodes(0, 3).support
    found = made(L2O(value=quadratic), Tuned("SGD", 0.01), tasks, 4)
    for i in range(3):
        x = tree.slice(tasks, i).x
        theta = x["start.theta"].clone()
        for value in found[:, i]:
            theta = theta - 0.01 * 2 * x["matrix"].T @ (x["matrix"] @ theta - x["target"])
            assert float(value) == pytest.approx(float((x["matrix"] @ theta - x["target"]).square().sum()), rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_see_the_same_values_where_neither_moves(family):
    learner, tasks = L2O(value=FAMILIES[family][1]), Functions(family=family).episodes(0, 3).support
    params = {k: 0 * v if k.startswith("output") else v for k, v in learner.init(0).items()}
    found, expected = learned(learner, params, tasks, 5), made(learner, Tuned("Adam", 0.0), tasks, 5)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.fixture
def found(monkeypatch):
    monkeypatch.setattr(optimizer_curves, "RATES", (0.01, 30.0))  # the second diverges
    learner = L2O(value=quadratic, inner_steps=3)
    return descend(learner, learner.init(0), Functions(seed=2), Functions(seed=1), functions=70)


def test_all_are_judged_at_the_horizon_and_its_multiples(found):
    assert [row.name for row in found.rows] == ["L2O", *OPTIMIZERS] and found.horizons == (3, 6, 15)
    assert [row.rate for row in found.rows] == [None, 0.01, 0.01, 0.01, 0.01]
    learner, tasks = L2O(value=quadratic, inner_steps=3), Functions(seed=2).episodes(0, 70).support
    for row, values in (
        (found.rows[0], learned(learner, learner.init(0), tasks, 15)),
        (found.rows[1], made(learner, Tuned("SGD", 0.01), tasks, 15)),
    ):
        assert row.mean == pytest.approx(values.mean(1).tolist(), rel=1e-4)
        assert [s.mean for s in row.sums] == pytest.approx([float(values[:h].sum(0).mean()) for h in (3, 6, 15)])
    assert found.ratio(found.rows[0], 6) == found.rows[0].sums[1].mean / found.rows[4].sums[1].mean


def test_curves_come_back_from_their_file(found, tmp_path):
    broken = found.rows[1].__class__(**vars(found.rows[1]) | {"mean": (1.0, math.inf, *found.rows[1].mean[2:])})
    path = OptimizerCurves(**vars(found) | {"rows": (found.rows[0], broken)}).save(tmp_path)
    again = OptimizerCurves.load(path)
    assert again.rows[0] == found.rows[0] and math.isnan(again.rows[1].mean[1]) and again.rows[0].rate is None
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match=r"x\.json"):
        OptimizerCurves.load(tmp_path / "x.json")


def test_what_diverged_says_so(found):
    row = found.rows[1].__class__(**vars(found.rows[1]) | {"mean": (math.nan,) * 15})
    assert "diverged" in OptimizerCurves(**vars(found) | {"rows": (row,)}).table()[1]


def test_rates_are_searched_on_a_grid_that_holds_the_best():
    """At the edge of the grid nobody would know what lies beyond."""
    for name, rate in tune(L2O(value=quadratic), Functions(seed=1), 30, tasks=16):
        assert RATES[0] < rate < RATES[-1], name
