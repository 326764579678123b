"""Wrong values for every field of every learner: one message at once, or a learner that works."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.learners import catalogue
from tests.learners.test_conformance import agents, suites
from tests.problems import NeedlesInNoise

WRONG = ("gelu", "", -1, 0, -0.5, 1.5, math.nan, math.inf, True, None, (), [1, 2], {}, nn.Linear, object(), 2j, "1")
SUITES = suites() + agents()


def works(learner: Any, suite: Any) -> None:
    params = learner.init(0)
    learner.annealed(0.0)
    learner.loss(params, tree.slice(suite.training.episodes(0, 1), 0))
    acts = "returns" in learner.targets
    tasks = suite.training if acts else NeedlesInNoise(dtype=torch.float32)
    support, query = tree.slice(tasks.episodes(0, 1), 0)
    learner.predict(params, learner.adapt(params, support), query.x)


def test_every_learner_of_the_catalogue_is_walked():
    assert {type(suite.learner) for suite in SUITES} >= set(catalogue().values())


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_a_wrong_value_of_any_field_is_refused_or_works(suite):
    refused = 0
    for field in fields(suite.learner):
        for value in WRONG:
            try:
                works(replace(suite.learner, **{field.name: value}), suite)
            except InputError:
                refused += 1
            except Exception as error:
                pytest.fail(f"{field.name}={value!r}: {type(error).__name__}: {error}")
    assert refused > 10 * len(fields(suite.learner)) // 2


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_the_message_names_class_field_and_value(suite):
    name = type(suite.learner).__name__
    for field in fields(suite.learner):
        with pytest.raises(InputError, match=rf"^{name}: .*{field.name} .*2j|^{name}: .*{field.name} .*"):
            replace(suite.learner, **{field.name: 2j})


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_numpys_numbers_are_those_of_python(suite):
    kinds = {int: np.int64, float: np.float64, bool: np.bool_}
    for field in fields(suite.learner):
        value = getattr(suite.learner, field.name)
        if type(value) in kinds:
            same = replace(suite.learner, **{field.name: kinds[type(value)](value)})
            assert same == suite.learner and type(getattr(same, field.name)) is type(value)
