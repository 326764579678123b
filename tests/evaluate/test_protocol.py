"""Protocols: what they hash, how they differ, and how they read."""

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.core.errors import InputError
from innerloop.core.scores import SCORES
from innerloop.evaluate import Protocol
from innerloop.evaluate.meta_test import protocol as protocol_of
from innerloop.evaluate.protocol import SELECTION
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import Scored
from tests.evaluate import tiny

PLAIN = st.none() | st.booleans() | st.integers(-9, 99) | st.floats(-9, 9) | st.text(max_size=4)
SAMPLERS = st.dictionaries(st.text(min_size=1, max_size=6), PLAIN | st.lists(PLAIN, max_size=3), max_size=5)


def protocol(**fields: Any) -> Protocol:
    return Protocol(
        **{"sampler": {"dataset": "blobs", "split": "test", "ways": 5, "shots": 1}, "episodes": 600} | fields
    )


@settings(max_examples=50)
@given(SAMPLERS, st.integers(1, 9))
def test_a_protocol_is_the_same_after_a_file(sampler, episodes):
    one = protocol(sampler=sampler, episodes=episodes)
    again = Protocol.from_json(json.loads(json.dumps(one.to_json())))
    assert again.hash == one.hash and again == one and not one.differences(again)


@settings(max_examples=50)
@given(SAMPLERS, SAMPLERS)
def test_protocols_have_one_hash_exactly_where_nothing_differs(a, b):
    one, other = protocol(sampler=a), protocol(sampler=b)
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (one.hash == other.hash) == same


def test_the_hash_is_of_canonical_json():
    content = {k: v for k, v in protocol(adaptation_steps=5).to_json().items() if k != "adaptation_steps"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert protocol().hash == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_tuples_and_lists_are_one_range():
    assert protocol(sampler={"ways": (2, 5)}).hash == protocol(sampler={"ways": [2, 5]}).hash
    assert not protocol(sampler={"ways": (2, 5)}).differences(protocol(sampler={"ways": [2, 5]}))


def test_a_sampler_that_json_cannot_hold_has_no_hash():
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = protocol(sampler={"noise": math.inf}).hash
    with pytest.raises(TypeError):
        _ = protocol(sampler={"noise": object()}).hash


def test_steps_are_told_and_not_hashed():
    few, many = protocol(adaptation_steps=1), protocol(adaptation_steps=10)
    assert few == many and few.hash == many.hash and not few.differences(many)
    assert many.to_json()["adaptation_steps"] == 10
    assert dict(few.rows())["adaptation steps"] == "1" and dict(protocol().rows())["adaptation steps"] == "none"


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, []),
        ({"episodes": 10, "first": 600}, ["episodes: 600 against 10", "first: 0 against 600"]),
        ({"metric": "nll"}, ["metric: accuracy against nll"]),
        (
            {"sampler": {"dataset": "blobs", "split": "test", "ways": [2, 5]}},
            ["ways: 5 against [2, 5]", "shots: 1 against nothing"],
        ),
        (
            {"sampler": {"dataset": "blobs", "split": "test", "ways": 5, "shots": 1, "unlabelled": 3}},
            ["unlabelled: nothing against 3"],
        ),
        ({"selection": "chosen on these classes"}, [f"selection: {SELECTION} against chosen on these classes"]),
    ],
)
def test_differences_in_lines(fields, lines):
    assert protocol().differences(protocol(**fields)) == lines
    assert len(protocol(**fields).differences(protocol())) == len(lines)


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({"dataset": "omniglot", "split": "test", "ways": 5, "shots": 1}, "5-way 1-shot omniglot test"),
        ({"dataset": "blobs", "ways": [2, 5], "shots": (1, 3)}, "2 to 5-way 1 to 3-shot blobs"),
        ({"dataset": "sinusoid", "shots": 10, "ways": None}, "10-shot sinusoid"),
        ({"split": "test", "shots": 0}, "0-shot test"),
        ({}, ""),
    ],
)
def test_the_task_in_words(sampler, words):
    assert protocol(sampler=sampler).task == words


def test_rows_of_a_table():
    one = protocol(sampler={"dataset": "blobs", "same_group": 0.5, "ways": (2, 5), "groups": None})
    rows = one.rows()
    assert rows[:4] == [("dataset", "blobs"), ("same group", "0.5"), ("ways", "[2, 5]"), ("groups", "null")]
    assert rows[-1] == ("hash", one.hash) and all(isinstance(v, str) for _, v in rows)
    assert ("episodes", "600") in rows and ("normalisation", "inductive") in rows and ("metric", "accuracy") in rows


@pytest.mark.parametrize("content", [{}, {"sampler": {}}, {"sampler": {}, "episodes": 1, "steps": 2}])
def test_fields_of_another_version_are_refused(content):
    with pytest.raises(InputError, match="not a protocol of this version"):
        Protocol.from_json(content)


def test_the_score_is_the_one_named():
    assert all(protocol(metric=name).score is score for name, score in SCORES.items())
    with pytest.raises(InputError, match=r"no score 'accuracyy'.*did you mean 'accuracy'"):
        _ = protocol(metric="accuracyy").score


def test_a_test_knows_its_protocol_before_it_is_made():
    one = protocol_of(tiny.maml(3), Scored(tiny.sampler(), "nll"), 7, first=2, selection="on validation classes")
    assert (one.episodes, one.first, one.metric, one.adaptation_steps) == (7, 2, "nll", 3)
    assert one.selection == "on validation classes" and one.normalisation == "inductive" and "score" not in one.sampler
    other = protocol_of(NearestCentroid(transductive=True), tiny.sampler(), 7)
    assert other.adaptation_steps is None and other.normalisation == "transductive"
    assert one.sampler == other.sampler, "tasks are the same whatever they are scored by"
