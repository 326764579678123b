"""What is searched: ranges of fields, ranges that are named, and functions."""

from dataclasses import fields, replace

import pytest

from innerloop.core.errors import InputError
from innerloop.core.searched import Among, Between, range_of
from innerloop.learners import catalogue
from innerloop.problems.learner import hyper_parameters
from innerloop.runs import defaults
from innerloop.studies.space import applied, identity, space_of

MAML, PROTONET = defaults("maml", "sinusoid"), defaults("protonet", "kanji")


def test_fields_say_where_they_are_searched():
    assert space_of(MAML).ranges == {
        "inner_steps": Between(1, 5),
        "inner_lr": Between(1e-3, 1.0, log=True),
        "meta_lr": Between(1e-4, 3e-2, log=True),
        "schedule": Among(("constant", "cosine")),
    }
    assert set(space_of(PROTONET).ranges) == {"distance", "meta_lr", "schedule", "width"}


def test_every_range_of_a_learner_holds_its_default():
    for name, cls in catalogue().items():
        own = hyper_parameters(cls)
        for f in fields(cls):
            one = range_of(f)
            if one is not None:
                assert f.name in own and one.holds(f.default), (name, f.name)


def test_what_decides_the_protocol_is_said_and_not_searched_by_itself():
    space = space_of(MAML)
    assert space.protocol == ("inner_steps",) and "part of the protocol" in str(space)
    assert "inner_steps: part of how a run is measured" in str(space.warning)
    assert space_of(PROTONET).warning is None
    assert not {"ways", "shots", "queries", "test_steps", "transductive"} & set(
        space_of(defaults("reptile", "kanji")).ranges
    )
    assert space_of(PROTONET, "shots=1|5").protocol == ("shots",)


def test_what_somebody_set_is_not_searched():
    changed = replace(MAML, fields=MAML.fields | {"inner_lr": 0.05})
    assert "inner_lr" not in space_of(changed).ranges
    assert space_of(changed, "inner_lr").usual == {"inner_lr": 0.05}


def test_a_range_is_widened_to_hold_the_default():
    space = space_of(defaults("maml", "clinc150"), "inner_lr")
    assert space.ranges["inner_lr"] == Between(1e-3, 80.0, log=True) and space.usual["inner_lr"] == 8.0
    assert space_of(PROTONET, "width=16|32").ranges["width"] == Among((64, 16, 32))


def test_named_options_are_the_whole_space():
    space = space_of(PROTONET, " meta-lr = 0.001:1:log, width=32|64 ,distance")
    assert list(space.ranges) == ["meta_lr", "width", "distance"]
    assert space.ranges["meta_lr"] == Between(0.001, 1.0, True) and space.ranges["width"] == Among((32, 64))
    assert space_of(defaults("imaml", "sinusoid"), "inner_steps=2:20").ranges["inner_steps"] == Between(2, 20)
    assert space_of(MAML, "first_order=true|false").ranges["first_order"] == Among((True, False))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("inner_lr=1:0.01:log", "the low end 1 is above the high end 0.01"),
        ("inner_lr=0:1:log", "begins above 0"),
        ("inner_lr=0:1:line", "write LOW:HIGH or LOW:HIGH:log"),
        ("iner_lr=0.1:1", "no option 'iner_lr' to search; did you mean 'inner_lr'"),
        ("inner_lr=0.1:1,inner_lr", "twice"),
        ("inner_lr=a:b", "ends must be numbers"),
        ("inner_steps=-1:3", "inner_steps must be a whole number from 0 up, got -1"),
        ("inner_steps=0.5:3.0", "inner_steps must be a whole number"),
        ("schedule=constant|coline", "there is no schedule 'coline'"),
        ("first_order", "has no range of its own"),
        ("steps=100:1000", "must be the same for all"),
        ("seed=0|1", "must be the same for all"),
        ("clip=1:10", "the default of clip is None"),
        ("", "--space is empty"),
        ("inner_lr=", "a value is empty"),
        ("inner_lr=nan:1", "inner_lr|finite"),
        ("mine.spaces:wide", "--allow mine"),
    ],
)
def test_impossible_spaces_are_refused(text, says):
    with pytest.raises(InputError, match=says):
        space_of(MAML, text)


def test_a_function_is_a_space():
    space = space_of(MAML, lambda trial: {"inner_lr": trial})
    assert space.suggest(0.5, first=False) == {"inner_lr": 0.5} and space.suggest(0.5, first=True) == {}
    with pytest.raises(InputError, match="takes one argument"):
        space_of(MAML, lambda: {})  # pyright: ignore[reportArgumentType]


def test_values_reach_the_part_they_belong_to():
    changed = applied(PROTONET, {"distance": "cosine", "width": 32, "meta_lr": 0.1, "shots": 5})
    assert (changed.fields["distance"], changed.network.width) == ("cosine", 32)  # pyright: ignore
    assert (changed.train.meta_lr, changed.task.shots) == (0.1, 5)  # pyright: ignore
    with pytest.raises(InputError, match="did you mean"):
        applied(MAML, {"iner_lr": 0.1})
    with pytest.raises(InputError, match="inner_lr must be"):
        applied(MAML, {"inner_lr": -1.0})


def test_a_study_knows_what_it_is_of():
    about = identity(MAML, space_of(MAML))
    assert about == identity(MAML, space_of(MAML)) != identity(MAML, space_of(MAML, "inner_lr"))
    assert about["train"]["steps"] == 1000 and "plan" not in about["train"]
