"""Learned and hand-made optimizers on the same functions."""

import json
import math

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import Interval
from innerloop.evaluate import optimizer_curves
from innerloop.evaluate.optimizer_curves import (
    OPTIMIZERS,
    RATES,
    Descent,
    OptimizerCurves,
    Tuned,
    descend,
    hand_made,
    learned,
    tune,
)
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.functions import FAMILIES, Functions, quadratic


def test_hand_made_optimizers_take_the_steps_of_each_problem_alone():
    tasks = Functions().episodes(0, 3).support
    found = hand_made(L2O(value=quadratic), Tuned("SGD", 0.01), tasks, 4)
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
    found, expected = learned(learner, params, tasks, 5), hand_made(learner, Tuned("Adam", 0.0), tasks, 5)
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
        (found.rows[1], hand_made(learner, Tuned("SGD", 0.01), tasks, 15)),
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


@pytest.fixture
def curves() -> OptimizerCurves:
    """Three optimizers by hand; momentum has diverged at its third step."""

    def row(name: str, rate: float | None, *mean: float) -> Descent:
        sums = tuple(Interval(sum(mean[:h]), 0.5) for h in (2, 3))
        return Descent(name=name, rate=rate, mean=mean, ci95=(0.25,) * 3, sums=sums)

    rows = (
        row("L2O", None, 3.0, 2.0, 1.0),
        row("momentum", 0.0123, 4.0, 9.0, math.inf),
        row("Adam", 0.1, 4.0, 4.0, 4.0),
    )
    return OptimizerCurves(dataset="quadratics", split="test", seed=3, functions=9, horizons=(2, 3), rows=rows)


def test_the_table_of_curves_by_hand(curves):
    assert curves.table() == [
        ["optimizer", "rate", "sum to 2", "at 2", "sum to 3", "at 3"],
        ["L2O", "", "5 ± 0.5", "2 ± 0.25", "6 ± 0.5", "1 ± 0.25"],
        ["momentum", "0.012", "13 ± 0.5", "9 ± 0.25", "diverged", "diverged"],
        ["Adam", "0.1", "8 ± 0.5", "4 ± 0.25", "12 ± 0.5", "4 ± 0.25"],
    ]


def test_ratios_are_of_sums_of_values(curves):
    learned_one, momentum, adam = curves.rows
    assert curves.ratio(learned_one, 2) == 5 / 8 and curves.ratio(learned_one, 3) == 0.5 and curves.ratio(adam, 3) == 1
    assert curves.ratio(adam, 2, to="momentum") == 8 / 13 and curves.ratio(momentum, 3) == math.inf
    with pytest.raises(ValueError, match="not in tuple"):
        curves.ratio(adam, 4)


def test_curves_in_words(curves):
    head, *_, about, ratios = str(curves).splitlines()
    assert head.split()[:2] == ["optimizer", "rate"] and len(str(curves).splitlines()) == 6
    assert about.startswith("9 test functions of quadratics; ± is a 95% interval over them; one training, on 2 steps")
    assert ratios == "sum of values, times Adam's: 0.62 to 2 steps, 0.50 to 3 steps"


def test_curves_as_json_have_no_infinity(curves):
    content = json.loads(json.dumps(curves.to_json(), allow_nan=False))
    assert {k: content[k] for k in ("dataset", "split", "seed", "functions")} == {
        "dataset": "quadratics",
        "split": "test",
        "seed": 3,
        "functions": 9,
    }
    first, momentum, _ = content["rows"]
    assert first["optimizer"] == "L2O" and first["rate"] is None
    assert first["sums"] == {"2": {"mean": 5, "ci95": 0.5}, "3": {"mean": 6, "ci95": 0.5}}
    assert momentum["values"] == {"2": {"mean": 9, "ci95": 0.25}, "3": {"mean": None, "ci95": 0.25}}
    assert momentum["sums"]["3"]["mean"] is None and momentum["rate"] == 0.0123


def test_files_of_curves_are_found_by_both_of_their_names(curves, tmp_path):
    path = curves.save(tmp_path)
    assert path.name == "optimizer-curves-test-3.json"
    old = tmp_path / "descents-test-3.json"
    old.write_text(path.read_text())
    (tmp_path / "test-3.json").write_text("{}")
    assert optimizer_curves.saved(tmp_path) == [old, path]
    again = OptimizerCurves.load(old)
    assert again.rows[0] == curves.rows[0] and again.rows[2] == curves.rows[2] and again.horizons == (2, 3)
    assert math.isnan(again.rows[1].mean[2]) and again.rows[1].rate == 0.0123
    assert again.table() == curves.table(), "what diverged says so from the file too"


@pytest.mark.parametrize("text", ["", "[]", "null", '{"rows": 3}', '{"rows": [], "horizons": [1], "steps": 2}'])
def test_files_of_something_else_hold_no_curves(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json holds no curves of this version"):
        OptimizerCurves.load(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"cannot read .*y\.json: No such file"):
        OptimizerCurves.load(tmp_path / "y.json")


def test_every_optimizer_is_torchs_own():
    """Against each class of `torch.optim` on one function, with settings written out here."""
    tasks = Functions().episodes(0, 2).support
    kinds = {
        "SGD": lambda p: torch.optim.SGD(p, lr=0.003),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.003, momentum=0.9),
        "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.003, alpha=0.99, eps=1e-8),
        "Adam": lambda p: torch.optim.Adam(p, lr=0.003, betas=(0.9, 0.999), eps=1e-8),
    }
    assert kinds.keys() == OPTIMIZERS.keys()
    x = tree.slice(tasks, 1).x
    for name, kind in kinds.items():
        theta = x["start.theta"].clone().requires_grad_()
        optimizer, expected = kind([theta]), []
        for _ in range(4):
            optimizer.zero_grad()
            (x["matrix"] @ theta - x["target"]).square().sum().backward()
            optimizer.step()
            expected.append((x["matrix"] @ theta - x["target"]).square().sum().item())
        values = hand_made(L2O(value=quadratic), Tuned(name, 0.003), tasks, 4)[:, 1]
        assert values.tolist() == pytest.approx(expected, rel=1e-4), name


def test_optimizers_that_diverge_at_every_rate_are_named(monkeypatch):
    monkeypatch.setattr(optimizer_curves, "RATES", (1e30, 3e30))
    with pytest.raises(FailedError, match=r"SGD diverges at every rate from 1e\+30 to 3e\+30"):
        tune(L2O(value=quadratic), Functions(seed=1), 3, tasks=4)


def test_one_function_has_no_interval():
    with pytest.raises(InputError, match="at least 2 functions, got 1"):
        descend(L2O(value=quadratic), {}, Functions(seed=2), Functions(seed=1), functions=1)
