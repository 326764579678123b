"""Figures of a stream against numbers worked out by hand."""

import math

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.scores import SCORES
from innerloop.evaluate.continual import figures, proficiency, regret

ACCURACY, ERROR = SCORES["accuracy"], SCORES["mse"]
R = torch.tensor(
    [[0.1, 0.2, 0.1], [0.9, 0.3, 0.1], [0.5, 0.8, 0.4], [0.4, 0.6, 1.0]],
    dtype=torch.float64,
)


def test_figures_name_what_they_are_divided_by():
    """Gains in lower-is-better scores are positive too: the same matrix of errors has the opposite signs."""
    found = figures(R, ACCURACY)
    expected = {
        "ACC": (2.0 / 3, 3),
        "LA": (2.7 / 3, 3),
        "BWT": ((-0.5 - 0.2) / 2, 2),
        "FWT": ((0.1 + 0.3) / 2, 2),
        "forgetting": ((0.5 + 0.2) / 2, 2),
    }
    for name, (value, over) in expected.items():
        assert found[name].value == pytest.approx(value)
        assert found[name].over == over
    errors = figures(1 - R, ERROR)
    assert errors["BWT"].value == pytest.approx(expected["BWT"][0])
    assert errors["forgetting"].value == pytest.approx(expected["forgetting"][0])


def test_the_best_there_was_need_not_be_the_first():
    again = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.9, 0.8]], dtype=torch.float64)
    twice = torch.cat([again, torch.tensor([[0.6, 0.7], [0.4, 0.9]], dtype=torch.float64)])
    found = figures(twice, ACCURACY)
    assert found["forgetting"].value == pytest.approx(((0.9 - 0.4) + (0.8 - 0.9)) / 2)
    assert found["BWT"].value == pytest.approx(((0.4 - 0.5) + (0.9 - 0.8)) / 2)
    assert found["BWT"].over == 2


def test_what_has_no_tasks_one_after_another_has_an_end_alone():
    mixed = figures(R[[0, 3]], ACCURACY)
    assert mixed["ACC"].value == pytest.approx(2 / 3)
    assert all(math.isnan(mixed[name].value) and mixed[name].over == 0 for name in mixed if name != "ACC")
    with pytest.raises(InputError, match="a row for the start and one an end"):
        figures(R[:3], ACCURACY)


def test_regret_and_its_slope():
    lost = regret([0.5, 0.7, 0.8], [0.9, 0.9, 0.9], ACCURACY)
    assert lost.rounds == pytest.approx((0.4, 0.2, 0.1))
    assert lost.slope == pytest.approx(-0.15)
    assert regret([3.0, 1.0], [1.0, 1.0], ERROR).mean == pytest.approx(1.0)


def test_proficiency_is_when_the_threshold_was_first_reached():
    curve = [(10, 0.4), (20, 0.7), (30, 0.6)]
    assert proficiency(curve, 0.7, ACCURACY) == 20
    assert proficiency(curve, 0.8, ACCURACY) is None
    assert proficiency([(10, 2.0), (20, 0.5)], 1.0, ERROR) == 20
