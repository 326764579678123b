import json

import pytest

from innerloop.core import config
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from tests.problems import classifier


class Makers:
    @staticmethod
    def make():
        return classifier()


def through_json(value):
    return json.loads(json.dumps(config.encode(value)))


def test_round_trip_keeps_tuples_functions_and_none():
    for learner in (MAML(model=Conv4(outputs=None)), MAML(model=MLP(hidden=(3, 4))), MAML(model=Module(classifier))):
        assert config.decode(through_json(learner), allow=("tests",)) == learner


def test_a_field_that_came_later_is_left_out_at_its_default():
    assert "norm" not in through_json(Conv4())["fields"]
    bare = Conv4(norm=False)
    assert through_json(bare)["fields"]["norm"] is False and config.decode(through_json(bare)) == bare


@pytest.mark.parametrize("factory", [lambda: None, Makers.make], ids=["lambda", "method"])
def test_what_cannot_be_named_is_refused_at_save(factory):
    with pytest.raises(InputError, match="found again by its name"):
        config.encode(MAML(model=Module(factory)))


def test_objects_are_refused_at_save():
    with pytest.raises(InputError, match="cannot be saved"):
        config.encode({"a": 1})


@pytest.mark.parametrize(
    "value",
    [
        {"callable": "os:system"},
        {"class": "subprocess:Popen", "fields": {}},
        {"callable": "innerloop_evil:run"},
        {"callable": "tests.problems:classifier"},
        {"callable": "innerloop.core.files:os"},
        {"callable": "innerloop.core.files:tempfile.mkdtemp"},
        {"callable": "innerloop.engine.execute:ThreadPoolExecutor"},
        {"class": "innerloop.core.types:Batch", "fields": {"x": 1, "y": 2}},
        {"class": "innerloop.learners.gradient.maml:Nothing", "fields": {}},
        {"class": "innerloop.learners.gradient.nothing:MAML", "fields": {}},
        {"class": "innerloop.nn.mlp:MLP", "fields": {"unheard_of": 1}},
        {"class": ["innerloop.nn.mlp:MLP"], "fields": {}},
        {"anything": "else"},
    ],
    ids=str,
)
def test_foreign_and_broken_names_are_refused_at_load(value):
    with pytest.raises(InputError):
        config.decode(value)


def test_refusal_comes_before_the_import(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="foreign"):
        config.decode({"callable": "evil:run"})
