import sys
from dataclasses import dataclass

import pytest

from innerloop.core.errors import InputError
from innerloop.core.sensible import Sensible, by_kind
from innerloop.learners import catalogue
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.problems.classes import Classes
from innerloop.runs import build, defaults
from innerloop.runs.defaults import learner_class


@dataclass(frozen=True, kw_only=True)
class Silent(ProtoNet):
    """Inherits everything, and says nothing."""


@dataclass(frozen=True, kw_only=True)
class Outspoken(ProtoNet):
    """On batches a ProtoNet learns nothing, but it may say so."""

    trains_on = ("batches",)
    sensible = by_kind(classes=Sensible(task={"shots": 3}, train={"meta_lr": 0.5}, choices={"scale": (1.0, 2.0)}))


@pytest.fixture
def own(monkeypatch):
    """A catalogue with two learners of one's own."""
    everyone = catalogue() | {"silent": Silent, "outspoken": Outspoken}
    monkeypatch.setattr(sys.modules[learner_class.__module__], "catalogue", lambda: everyone)


def test_a_learner_that_does_not_say_what_it_trains_on_is_refused(own):
    with pytest.raises(InputError, match="Silent does not say what it is trained on: set its trains_on, of episodes, "):
        defaults("silent")


def test_what_a_learner_says_is_where_its_runs_begin(own):
    options = defaults("outspoken", "digits")
    assert isinstance(options.task, Classes)
    assert (options.task.shots, options.task.train_ways, options.train.meta_lr) == (3, None, 0.5)
    run = build(options)
    assert run.train.describe()["kind"] == "batches" and run.choices == {"scale": (1.0, 2.0)}


@pytest.mark.parametrize("name", catalogue())
def test_every_learner_says_what_it_trains_on(name):
    assert learner_class(name).trains_on and defaults(name).learner == name


def test_kinds_of_problems_have_defaults_of_their_own():
    assert defaults("maml", "sinusoid").fields["inner_lr"] == 0.01
    assert defaults("reptile", "sinusoid").train.steps == 30000
    assert defaults("l2o").task.data == "functions" and defaults("l2o", "digits").train.meta_batch_size == 8
    assert defaults("hypergradient").learner == "learned_rates"
