"""Heads behind the map of a run: where they fit, what they answer, and that a task keeps them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from innerloop.core.dry_run import support
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.fewshot import file
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.mapped import OnMap, map_of
from innerloop.fewshot.rows import Rows
from innerloop.fewshot.settings import Head
from innerloop.fewshot.sources import Source, source
from innerloop.learners.closed_form.ridge_discriminant import RidgeDiscriminant
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import Distance, ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.nn.residual import Residual
from tests.fewshot.test_heads import WIDTH, rows, words
from tests.problems import encoder as with_norms


def mapped(distance: Distance = "squared_euclidean") -> Source:
    """A run over the rows of an encoder, whose map is not the identity."""
    learner = ProtoNet(encoder=Residual(inputs=WIDTH), distance=distance)
    params = learner.init(0)
    name = next(name for name in params if name.endswith("map.weight"))
    params[name] = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)) / WIDTH**0.5
    return replace(words(), learner=learner, params=params, head=None, encoder_name="words", name="runs/p")


def taught(head: Head | None, of: Source | None = None, **how) -> FewShotClassifier:
    x, y = rows(**how)
    return FewShotClassifier(of or mapped(), head=head).fit(Rows(x), y)


def test_a_head_learns_from_what_the_map_makes():
    of, (x, y) = mapped(), rows()
    seen = map_of(of.learner, of.params)
    assert seen is not None
    ridge = taught("ridge")
    assert isinstance(ridge.learner, OnMap) and isinstance(ridge.learner.head, RidgeDiscriminant)
    query, labels = rows(shots=30, seed=5)
    classes = torch.tensor([int(label[-1]) for label in y])
    alone = ridge.learner.head
    known = alone.adapt({}, support(seen.rows(x), classes, 6))
    assert torch.equal(alone.predict({}, known, seen.rows(query)).double(), ridge.task.logits(query))
    assert ridge.score(Rows(query), labels) > taught("own").score(Rows(query), labels) + 0.1


def test_without_a_head_a_run_answers_with_its_own_learner_as_it_always_did(tmp_path):
    plain, own = taught(None), taught("own")
    query, _ = rows(seed=3)
    assert plain.show()["head"] is None and own.show()["head"]["reason"] == "own was asked for"
    assert (plain.predict_proba(Rows(query)) == own.predict_proba(Rows(query))).all()
    task = file.read(plain.save(tmp_path / "p.fewshot"), encoder=lambda name: mapped().encoder)
    assert task.source.head is None and task.choice is None and isinstance(task.source.learner, ProtoNet)


def test_auto_asks_the_runs_own_learner_as_well():
    about = taught("auto", shots=30).show()["head"]
    assert about["accuracy"].keys() == {"own", "ridge", "linear"} and about["head"] in ("ridge", "linear")
    assert "on 180 held-out examples (own " in about["reason"]
    single = taught("auto", shots=1)
    assert single.show()["head"]["head"] == "own" and isinstance(single.learner, ProtoNet)
    assert taught("auto", loud=0.1).show()["head"]["head"] == "own"  # the simplest of those that are as good


@pytest.mark.parametrize("head", ["auto", "centroid", "own", "random_projection"])
def test_a_file_keeps_the_head_and_the_run_behind_it(head, tmp_path, monkeypatch):
    monkeypatch.setattr("innerloop.fewshot.heads._UNITS", 40)
    classifier = taught(head, mapped("cosine")).rejecting(0.2)
    task = file.read(classifier.save(tmp_path / "t.fewshot"), encoder=lambda name: mapped().encoder)
    again = FewShotClassifier(task.source).holding(task)
    query, _ = rows(seed=3)
    assert again.show() == classifier.show()
    assert (again.predict_proba(Rows(query)) == classifier.predict_proba(Rows(query))).all()
    x, y = rows(shots=30, seed=11)
    for one in (again, classifier):
        one.partial_fit(Rows(x), y)
    assert again.show()["head"] == classifier.show()["head"] and again.show()["head"]["asked"] == head
    assert (again.predict_proba(Rows(query)) == classifier.predict_proba(Rows(query))).all()


def test_heads_weigh_and_a_runs_own_learner_does_not():
    x, y = rows(ways=3, shots=4)
    twice = FewShotClassifier(mapped(), head="ridge").fit(Rows(x), y, [2] * 4 + [1] * 8)
    query, _ = rows(seed=3)
    assert not np.allclose(
        twice.predict_proba(Rows(query)), taught("ridge", ways=3, shots=4).predict_proba(Rows(query))
    )
    with pytest.raises(InputError, match="counts every example as one"):
        FewShotClassifier(mapped(), head="own").fit(Rows(x), y, [2] * 12)


def test_where_no_head_fits_it_is_said():
    plain = MAML(model=MLP(inputs=WIDTH, outputs=2))
    assert map_of(plain, plain.init(0)) is None
    norms = ProtoNet(encoder=Module(with_norms))
    assert map_of(norms, norms.init(0)) is None
    of = replace(mapped(), learner=plain, params=plain.init(0))
    with pytest.raises(InputError, match="a run that maps rows, such as intents"):
        FewShotClassifier(of, head="ridge").fit(*rows())
    with pytest.raises(InputError, match="no learner of its own"):
        FewShotClassifier(words(), head="own").fit(*rows())
    with pytest.raises(InputError, match="leave head out"):
        FewShotClassifier(mapped(), head="ridge", tune_encoder=5.0).fit(["ab", "ba", "cd", "dc"], [0, 0, 1, 1])
    assert source("kanji-protonet").takes_heads is False and mapped().takes_heads
