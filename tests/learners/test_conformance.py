"""The suite asks every learner of values for a regression, and no other."""

import importlib
import pkgutil

import tests.learners
from innerloop.learners import catalogue
from tests.agents import AgentConformance
from tests.conformance import Conformance
from tests.regression_conformance import Regression

ASKED = [name for name in vars(Regression) if name.startswith("test_")]


def suites() -> list[type[Conformance]]:
    return [m for m in _members() if issubclass(m, Conformance) and hasattr(m, "learner")]


def agents() -> list[type[AgentConformance]]:
    """The suites of those who act, whose tasks have no rows."""
    return [m for m in _members() if issubclass(m, AgentConformance) and hasattr(m, "learner")]


def _members() -> list[type]:
    names = [info.name for info in pkgutil.walk_packages(tests.learners.__path__, "tests.learners.") if not info.ispkg]
    members = [member for name in names for member in vars(importlib.import_module(name)).values()]
    return [m for m in members if isinstance(m, type)]


def test_who_takes_values_is_asked_for_a_regression():
    every = suites()
    values = {type(suite.learner) for suite in every if "values" in suite.learner.targets}
    assert values == {learner for learner in catalogue().values() if "values" in learner.targets}
    for suite in every:
        asked = [getattr(suite, name) is not None for name in ASKED]
        assert len(asked) >= 5 and all(asked) == any(asked) == ("values" in suite.learner.targets), suite
