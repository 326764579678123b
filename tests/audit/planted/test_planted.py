"""An audit finds planted bugs, each by the check that is for it, and says nothing against honest code."""

import importlib
from typing import Any

import pytest

from innerloop.audit import Audit, audit, check_learner, check_plans
from innerloop.learners import catalogue
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.runs.audit import AuditOptions, audit_learner
from tests.audit.planted import data, healthy, learners, networks
from tests.problems import classifiers

BUGS = learners.BUGS | networks.BUGS | data.BUGS
FEWEST = 28
FEW = {"episodes": 4, "plans": ()}
"""What does not look at chance needs no more tasks."""


LONG = {
    "meta-gradient": (check_learner, "meta_gradient_check"),
    "plan loop": (importlib.import_module("innerloop.audit.audit"), "plan_checks"),
}
"""Checks that take most of the time: they are left out where they are not what should find a bug."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """How fast a plan is is not looked at here."""
    monkeypatch.setattr(check_plans, "_RUNS", 1)


def failed(found: Audit) -> set[str]:
    return {check.name for check in found.checks if check.passed is False}


def test_planted_bugs_are_found():
    missed = {}
    for name, bug in BUGS.items():
        options: dict[str, Any] = FEW if name not in data.BUGS else {"episodes": 24, "plans": ()}
        with pytest.MonkeyPatch.context() as patch:
            for check, place in LONG.items():
                if check != bug.check:
                    patch.setattr(*place, lambda *_: ())
            names = failed(audit(**options | bug.arguments))
        if bug.check not in names:
            missed[name] = f"{bug.check} did not fail, but {', '.join(sorted(names)) or 'nothing'} did"
    assert len(BUGS) >= 30 and len(BUGS) - len(missed) >= FEWEST, missed
    assert not missed, missed


@pytest.mark.parametrize("name", healthy.NETWORKS)
def test_honest_networks_pass(name):
    tasks: Any = healthy.Sentences() if name == "word vectors" else learners.sampler()
    for learner in (MAML(model=healthy.NETWORKS[name], inner_lr=0.1), ProtoNet(encoder=healthy.NETWORKS[name])):
        found = audit(learner, None, tasks, episodes=8, plans=("vmap",))
        assert found.passed, str(found)


def test_honest_splits_pass():
    assert audit(sampler=learners.sampler(), plans=(), **data.changed()).passed


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue())
def test_the_catalogue_passes(name):
    """With the networks and settings of a run on digits; learned optimizers and learners of values on their own."""
    own = name in ("l2o", "learning_to_adapt") or name not in classifiers()
    digits: Any = {} if own else {"data": "digits", "ways": 3, "shots": 2}
    found = audit_learner(name, AuditOptions(**digits, plans=()))
    assert found.passed, str(found)
