"""Rows without a label reach those alone who declare that they use them, by whatever door."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from innerloop.core import tree, unlabelled
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.core.unlabelled import labelled, visible
from innerloop.core.wrapper import Wrapper
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.step import meta_gradient
from innerloop.evaluate import meta_test
from innerloop.evaluate.calibration import calibrate
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.metric.soft_kmeans import SoftKMeans
from innerloop.tasks import EpisodeSampler
from tests.evaluate import tiny
from tests.problems import classifier, encoder

ROWS = Batch(x=torch.arange(6.0)[:, None], y=torch.tensor([0, -1, 1, -1, 0, 1]), classes=torch.tensor([True, True]))


def same(a: Any, b: Any) -> bool:
    pairs = zip(tree.items(a), tree.items(b), strict=True)
    return all(p == q and torch.equal(v, w) for (p, v), (q, w) in pairs)


def test_real_rows_without_a_label_are_taken_out():
    known = labelled(ROWS)
    assert isinstance(known.x, torch.Tensor)
    assert known.x.flatten().tolist() == [0, 2, 4, 5] and known.y.tolist() == [0, 1, 0, 1] and known.mask is None
    assert labelled(known) is known
    padded = ROWS._replace(mask=torch.tensor([True, False, True, True, True, True]))
    rest = labelled(padded)
    assert rest.y.tolist() == [0, -1, 1, 0, 1] and rest.mask is not None and rest.mask.tolist() == [1, 0, 1, 1, 1]
    several = ROWS._replace(x={"a": ROWS.x, "b": ROWS.y})
    assert isinstance(several.x, dict) and set(labelled(several).x) == {"a", "b"}


def test_padding_and_values_stay():
    padding = ROWS._replace(mask=ROWS.y >= 0)
    assert labelled(padding) is padding
    values = ROWS._replace(y=-torch.ones(6, 1))
    assert labelled(values) is values


def test_of_a_support_without_any_label_padding_stays():
    nothing = labelled(ROWS._replace(y=torch.full((6,), -1)))
    assert nothing.mask is not None and len(nothing.y) == 6 and not nothing.mask.any()


def test_of_stacked_tasks_common_places_go_and_others_become_padding():
    y = torch.tensor([[0, 1, -1, -1, 0], [1, -1, -1, 0, 0]])
    support = Batch(x=torch.arange(10.0).view(2, 5, 1), y=y, classes=torch.ones(2, 2, dtype=torch.bool))
    rest = labelled(support, stacked=True)
    assert rest.y.shape == (2, 4) and rest.mask is not None
    assert rest.mask.tolist() == [[1, 1, 0, 1], [1, 0, 1, 1]]
    tails = support._replace(y=torch.tensor([[0, 1, 1, -1, -1], [1, 0, 1, -1, -1]]))
    assert labelled(tails, stacked=True).mask is None


SAMPLERS = [tiny.sampler(), replace(tiny.sampler(), unlabelled=2, distractors=1)]


@pytest.mark.exact
@pytest.mark.parametrize("plan", ["loop", "threads", "vmap", "replay", "auto"])
def test_training_and_testing_are_the_same_with_and_without(plan):
    learner = tiny.maml()
    config = TrainConfig(steps=3, meta_batch_size=2, validate_every=1, validation_episodes=3, plan=plan)
    config = replace(config, plan="loop") if plan == "auto" else config
    parameters, results = [], []
    for sampler in SAMPLERS:
        validation = replace(sampler, pool=tiny.pool(split="validation"))
        parameters.append(meta_train(learner, sampler, config, validation=validation))
        results.append(meta_test(learner, parameters[-1], sampler, 4, quiet=True))
    assert same(*parameters)
    assert torch.equal(results[0].scores, results[1].scores) and results[0].curve == results[1].curve
    episodes = [sampler.episodes(0, 3) for sampler in SAMPLERS]
    with_them, without = (meta_gradient(learner, learner.init(0), e, plan) for e in episodes)
    if plan == "auto":  # it may time another plan as the fastest for the other shape
        torch.testing.assert_close(with_them, without)
    else:
        assert same(with_them, without)
    assert calibrate(learner, parameters[0], SAMPLERS[0], 4) == calibrate(learner, parameters[0], SAMPLERS[1], 4)


@dataclass(frozen=True, kw_only=True)
class Own(ProtoNet):
    """A learner of a user that counts the rows it is given."""

    trains_on = ("episodes",)
    rows: ClassVar[list[int]] = []

    def adapt(self, params, support):
        self.rows.append(len(support.y))
        return super().adapt(params, support)


@dataclass(frozen=True, kw_only=True)
class Using(Own):
    trains_on = ("episodes",)
    uses_unlabelled = True
    rows: ClassVar[list[int]] = []


@pytest.mark.parametrize("kind, rows", [(Own, 4), (Using, 6)])
def test_a_learner_of_yours_declares_it(kind, rows):
    learner = kind(encoder=Module(encoder))
    support = Batch(torch.randn(6, 8), ROWS.y, classes=ROWS.classes)
    kind.rows.clear()
    learner.adapt(learner.init(0), support)
    learner.loss(learner.init(0), Episode(support=support, query=support._replace(y=ROWS.y.abs())))
    assert set(kind.rows) == {rows}


def test_a_wrapper_declares_what_the_learner_in_it_declares():
    episodes = SAMPLERS[1].episodes(0, 2)
    cases: list[tuple[Any, bool]] = [
        (ProtoNet(encoder=Module(encoder)), False),
        (SoftKMeans(encoder=Module(encoder)), True),
    ]
    for learner, sees in cases:
        around = Wrapper(learner=learner)
        assert around.uses_unlabelled is sees and (visible(around, episodes) is episodes) is sees


def test_every_step_of_an_unrolled_learner_sees_labelled_rows_alone():
    learner = MAML(model=Module(classifier), inner_steps=2)
    params, x = learner.init(0), torch.randn(6, 8)
    support = Batch(x, ROWS.y, classes=torch.ones(3, dtype=torch.bool))
    answers = []
    for rows in (support, labelled(support)):
        carry = learner.start(params, rows)
        for _ in range(2):
            carry, _ = learner.advance(params, carry, rows)
        answers.append(learner.predict(params, learner.finish(params, carry, rows), x))
    assert torch.equal(*answers)


def test_samplers_put_them_where_they_can_be_taken_out():
    sampler = EpisodeSampler(pool=tiny.pool(), ways=(2, 3), shots=(1, 2), queries=2, unlabelled=2)
    episodes = sampler.episodes(0, 6)
    rest = labelled(episodes.support, stacked=True)
    assert rest.mask is not None and bool(((rest.y >= 0) >= rest.mask).all())
    assert int(rest.mask.sum()) == int((episodes.support.y >= 0).sum())


def test_a_learner_looks_once_for_all_inner_steps(monkeypatch):
    """A look waits for the device, where the rows are on one."""
    looks = []
    monkeypatch.setattr(unlabelled, "labelled", lambda support: (looks.append(support), labelled(support))[1])
    learner = tiny.maml(steps=5)
    params, task = learner.init(0), tree.slice(tiny.sampler().episodes(0, 1), 0)
    support = task.support._replace(y=task.support.y.clone())
    support.y[0] = -1
    adapted = learner.adapt(params, support)
    assert len(looks) == 1
    assert same(adapted, learner.adapt(params, labelled(support)))
    carry = learner.start(params, support)
    learner.advance(params, carry, support)
    assert len(looks) == 4, "each call from outside is looked at"


def test_a_method_that_fails_leaves_the_next_call_guarded():
    class Failing(ProtoNet):
        def adapt(self, params, support):
            assert -1 not in support.y
            if not params:
                raise RuntimeError
            return super().adapt(params, support)

    learner = Failing(encoder=tiny.protonet().encoder)
    support = tree.slice(tiny.sampler().episodes(0, 1), 0).support
    support = support._replace(y=torch.where(torch.arange(len(support.y)) == 0, -1, support.y))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            learner.adapt({}, support)
    learner.adapt(learner.init(0), support)
