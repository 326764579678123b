"""Labels that are bought one by one, on unseen tasks."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.evaluate import kept
from innerloop.evaluate.active import active
from innerloop.evaluate.active_curves import ActiveCurves, saved
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.tasks import EpisodeSampler, Pool, Sinusoid
from tests.core.test_predictive import Committee
from tests.evaluate import tiny
from tests.problems import INPUTS, encoder


def blobs(classes: int = 6, instances: int = 12, spread: float = 1.3) -> Pool:
    """Classes that overlap, in rows of which no two are the same."""
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, 1, INPUTS, generator=g)
    data = centres + spread * torch.randn(classes, instances, INPUTS, generator=g)
    names = tuple(f"test/{i}" for i in range(classes))
    return Pool(data=data, counts=torch.full((classes,), instances), names=names, dataset="blobs", split="test")


def linear() -> torch.nn.Module:
    return torch.nn.Linear(INPUTS, 6)


SAMPLER = EpisodeSampler(pool=blobs(), ways=4, shots=1, queries=4, seed=1)
LEARNER = NearestCentroid()


def test_once_all_is_bought_every_rule_has_bought_the_same():
    curves = active(LEARNER, {}, SAMPLER, 5, labels=28, candidates=7)
    assert curves.labels == 28 and curves.rules == ["margin", "entropy"] and curves.episodes == 5
    ends = [values[:, -1] for values in curves.scores.values()]
    starts = [values[:, 0] for values in curves.scores.values()]
    assert all(torch.equal(end, ends[0]) for end in ends) and all(torch.equal(one, starts[0]) for one in starts)
    assert not torch.equal(curves.scores["margin"][:, 3], curves.scores["random"][:, 3])
    wide = tree.slice(replace(SAMPLER, shots=8).episodes(0, 1), 0)
    expected = LEARNER.predict({}, LEARNER.adapt({}, wide.support), wide.query.x).argmax(-1) == wide.query.y
    assert ends[0][0].item() == pytest.approx(expected.double().mean().item())


def test_it_is_a_function_of_the_task_alone():
    curves = active(LEARNER, {}, SAMPLER, 4, labels=3)
    for other in (
        active(LEARNER, {}, SAMPLER, 4, labels=3, threads=2, by=("entropy", "margin")),
        active(LEARNER, {}, SAMPLER, 4, labels=5),
    ):
        assert all(torch.equal(other.scores[k][:, :4], v) for k, v in curves.scores.items())
    last = active(LEARNER, {}, SAMPLER, 1, labels=3, first=3)
    assert all(torch.equal(last.scores[k], v[3:]) for k, v in curves.scores.items())


@dataclass(frozen=True, kw_only=True)
class Spy(ProtoNet):
    """Remembers what it learned from and what it was asked about."""

    seen: ClassVar[list[Batch]] = []
    asked: ClassVar[list[torch.Tensor]] = []

    def adapt(self, params, support):
        self.seen.append(support)
        return super().adapt(params, support)

    def predict(self, params, adapted, x):
        assert isinstance(x, torch.Tensor)
        self.asked.append(x)
        return super().predict(params, adapted, x)


def test_a_query_is_never_bought_and_labels_come_one_by_one():
    learner = Spy(encoder=Module(encoder))
    for calls in (Spy.seen, Spy.asked):
        calls.clear()
    active(learner, learner.init(0), SAMPLER, 1, labels=4, by=("margin",), threads=1)
    query = tree.slice(replace(SAMPLER, shots=8).episodes(0, 1), 0).query.x
    assert isinstance(query, torch.Tensor) and any(torch.equal(x, query) for x in Spy.asked)
    rows = torch.cat([support.x for support in Spy.seen])  # pyright: ignore[reportArgumentType]
    assert not (torch.cdist(rows, query) == 0).any()
    sizes = [len(support.y) for support in Spy.seen]
    assert sizes[-9:] == [4, *range(5, 9), *range(5, 9)], "from one label a class, by random and by the rule"
    for before, after in zip(Spy.seen[-4:-1], Spy.seen[-3:], strict=True):
        assert torch.equal(before.x, after.x[:-1]), "what was bought stays"  # pyright: ignore[reportArgumentType, reportIndexIssue]


@dataclass(frozen=True, kw_only=True)
class Growing(GaussianMemory):
    """Counts its updates."""

    updates: ClassVar[list[int]] = []

    def update(self, params, adapted, more):
        self.updates.append(len(more.y))
        return super().update(params, adapted, more)


class Anew(Growing):
    incremental = False


def test_a_label_is_an_update_only_where_that_is_learning_anew():
    plain, normed = (Growing(encoder=Module(factory)) for factory in (linear, encoder))
    Growing.updates.clear()
    fast = active(plain, plain.init(0), SAMPLER, 3, labels=5)
    assert len(Growing.updates) == 1 + 3 * 5 * 3, "asked once whether it is, then by three rules in three tasks"
    slow = active(Anew(encoder=Module(linear)), plain.init(0), SAMPLER, 3, labels=5)
    assert all(torch.equal(fast.scores[k], v) for k, v in slow.scores.items())
    Growing.updates.clear()
    active(normed, normed.init(0), SAMPLER, 2, labels=5)
    assert len(Growing.updates) == 1, "the statistics of its norm say no"


def test_classes_without_a_label_are_found():
    curves = active(LEARNER, {}, SAMPLER, 30, labels=6, candidates=5, missing=2)
    assert all(values[:, 0].max() <= 0.5 for values in curves.scores.values()), "two of four classes are not known"
    assert curves.scores["margin"][:, -1].mean() > 0.5
    assert "none in 2 of 4 classes" in curves.conditions


def test_members_that_disagree_decide_where_there_are_some():
    learner = Committee()
    curves = active(learner, learner.init(0), SAMPLER, 3, labels=3, by=("margin", "mutual_information"))
    assert curves.rules == ["margin", "mutual_information"]
    assert not torch.equal(curves.scores["margin"], curves.scores["mutual_information"])
    assert active(learner, learner.init(0), SAMPLER, 1, labels=1).rules == ["margin", "entropy", "mutual_information"]
    one = Committee(members=1)
    assert active(one, one.init(0), SAMPLER, 1, labels=1).rules == ["margin", "entropy"]
    for alone in (one, LEARNER):
        with pytest.raises(InputError, match="learner of several members"):
            active(alone, alone.init(0), SAMPLER, 1, labels=1, by=("mutual_information",))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": 29, "candidates": 7}, "29 labels cannot be bought of 28 candidates"),
        ({"candidates": 8}, "leave 7 examples of a class to buy labels of, not 8"),
        ({"missing": 3}, "3 of 4 classes cannot begin without a label"),
        ({"labels": 0}, "at least 1 episode and 1 label"),
        ({"sampler": replace(SAMPLER, queries=11)}, "leave 0 examples"),
        ({"sampler": replace(SAMPLER, ways=(3, 4))}, "fixed number of ways"),
        ({"sampler": Sinusoid()}, "Sinusoid draws none"),
    ],
)
def test_what_cannot_be_bought_is_refused(changes, says):
    options = {"sampler": SAMPLER, "labels": 2} | changes
    with pytest.raises(InputError, match=says):
        active(LEARNER, {}, episodes=2, **options)


def test_it_is_kept_with_a_digest_and_says_how_to_measure_it_again(tmp_path):
    curves = active(LEARNER, {}, SAMPLER, 4, labels=3)
    file = curves.save(tmp_path)
    again = ActiveCurves.load(file)
    assert all(torch.equal(again.scores[k], v) for k, v in curves.scores.items())
    assert str(again) == str(curves) and "margin, against random" in str(curves) and again.to_json() == curves.to_json()
    assert saved(tmp_path) == [file] == [one.path for one in kept.active(tmp_path)]
    assert again.command("runs/p").endswith("--active 3 --candidates 7 --by margin entropy")
    curve, gain = curves.curve("margin"), curves.difference("margin", 3)
    assert curve[3].mean - curves.curve("random")[3].mean == pytest.approx(gain.mean)
    content = json.loads(file.read_text())
    content["scores"]["margin"][0][3] = 1.5
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="was edited after it was measured"):
        ActiveCurves.load(file)
    assert kept.active(tmp_path)[0].result is None
    file.write_text("{}")
    with pytest.raises(InputError, match="holds no active learning"):
        ActiveCurves.load(file)


def test_learners_of_pictures_take_part():
    learner = tiny.maml(steps=1)
    curves = active(learner, learner.init(0), tiny.sampler(), 2, labels=2, by=("entropy",))
    assert curves.scores["entropy"].shape == (2, 3)
