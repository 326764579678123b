"""Help of every option: nobody has to read the source to know what to give."""

from dataclasses import fields

import pytest

from innerloop.cli.fields import field_docs
from innerloop.engine import TrainConfig
from innerloop.learners import catalogue
from innerloop.problems import kinds
from innerloop.problems.learner import hyper_parameters


@pytest.mark.parametrize("name", catalogue())
def test_every_hyper_parameter_says_what_it_is(name):
    docs = field_docs(catalogue()[name])
    assert [k for k in hyper_parameters(catalogue()[name]) if not docs.get(k)] == []


def test_every_option_of_training_and_of_tasks_says_what_it_is():
    for cls in (TrainConfig, *kinds().values(), *(kind.network_options for kind in kinds().values())):
        docs = field_docs(cls)
        assert [f.name for f in fields(cls) if f.init and not docs.get(f.name)] == [], cls.__name__
