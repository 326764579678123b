from typing import Any

import pytest

from innerloop.core.errors import InputError
from innerloop.runs.audit import AuditOptions, audit_any

HERE = "tests.runs.own"
SMALL: dict[str, Any] = {"data": "digits", "ways": 3, "plans": ("vmap",), "learner": "maml"}


def rows(name: str, **options):
    found = audit_any(f"{HERE}:{name}", AuditOptions(**SMALL | options))
    return found, {check.name: check for check in found.checks}


@pytest.mark.parametrize("name", ["Net", "net"])
def test_a_network_of_ones_own_is_audited_inside_maml(name):
    found, checks = rows(name, inner_steps=3)
    assert found.passed and found.learner == "MAML"
    assert checks["meta-gradient"].details == {"order": 2}
    assert checks["plan vmap"].passed and checks["split overlap"].passed


def test_it_may_be_an_encoder_a_regressor_or_a_learner():
    assert rows("features", learner="protonet")[0].learner == "ProtoNet"
    assert rows("regressor", data="sinusoid", ways=None)[1]["meta-gradient"].passed
    assert rows("learner")[0].learner == "NearestCentroid"


def test_a_planted_detach_fails():
    found, checks = rows("Detached")
    assert not found.passed and checks["meta-gradient"].passed is False


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("features", {}, r"returns \[3, 7\] for 3 examples; maml needs .* \[3, 3\]: .*--ways 7.*--learner protonet"),
        ("pair", {}, "Pair returns a tuple: a network must return one tensor"),
        ("dropped", {}, "'0' is Dropout with rate 0.5"),
        ("Net", {"data": "kanji"}, r"cannot take 3 examples of shape \[1, 28, 28\]"),
        ("regressor", {"data": "sinusoid"}, "sinusoid has no ways: leave out --ways"),
        ("Net", {"learner": "anil"}, "holds no single network: choose one of .*maml, "),
        ("Net", {"learner": None}, "a network is audited inside a learner: choose one of .*maml, "),
        ("regressor", {"data": "digits"}, "cannot take 3 examples"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, said):
    with pytest.raises(InputError, match=said) as caught:
        rows(name, **options)
    assert "\n" not in str(caught.value)


def test_other_tasks_are_for_learners_and_networks():
    options: dict[str, Any] = SMALL | {"shots": 2}
    found = audit_any("protonet", AuditOptions(**options))
    assert found.passed
    with pytest.raises(InputError, match=r"package\.module:attribute"):
        audit_any("nets.py")
