import json
import shlex
import sys
from dataclasses import dataclass, replace

import pytest

from innerloop.cli.fields import chosen, train_command
from innerloop.cli.options import flags, parse
from innerloop.core.errors import InputError
from innerloop.core.sensible import Sensible, by_kind
from innerloop.engine.checkpoint import read_config
from innerloop.learners import catalogue
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.problems.classes import Classes
from innerloop.runs import build, defaults
from innerloop.runs.defaults import learner_class
from innerloop.runs.record import command
from innerloop.studies.space import space_of
from tests.apps.recsys.small import taking


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


def test_a_flag_that_makes_other_tasks_has_defaults_of_its_own_and_stays_in_commands(tmp_path):
    rated, taken = defaults("anil", "movielens"), defaults("anil", "movielens", flags(["--implicit", "--json"]))
    assert not vars(rated.task)["implicit"] and (rated.train.steps, rated.fields["inner_lr"]) == (300, 0.1)
    assert vars(taken.task)["implicit"] and (taken.train.steps, taken.fields["inner_lr"]) == (1000, 0.5)
    maml = defaults("maml", "movielens", ["implicit"])
    assert (maml.train.steps, maml.fields["inner_lr"]) == (1000, 0.1), "what was measured for anil is said by anil"
    assert defaults("maml", "digits", ["implicit"]) == defaults("maml", "digits")
    assert flags(["--implicit", "--no-implicit", "--steps", "3"]) == ["steps"]
    assert flags(["--no-implicit", "--implicit"]) == ["implicit"]  # as the parser takes the last one
    words = shlex.split(command(read_config(run := taking(tmp_path))) or "")
    assert "--implicit" in words and words[words.index("--inner-lr") + 1] == "0.1", "not as it would be by default"
    usual = train_command("anil", words[words.index("--data") + 1], flags(words))
    again = build(chosen("anil", parse(type(usual), words[3:], "train", "", usual)))
    assert json.loads(json.dumps(again.record)) == read_config(run)["record"] and again.config.steps == 20


def test_what_is_set_by_hand_is_not_searched_and_what_a_flag_sets_is():
    options = defaults("anil", "movielens", ["implicit"])
    assert "inner_lr" in space_of(options).to_json()
    assert "inner_lr" not in space_of(replace(options, fields={**options.fields, "inner_lr": 0.1})).to_json()
