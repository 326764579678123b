import math
from dataclasses import dataclass, replace

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.scores import SCORES
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.evaluate.select import Selection, select
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import Scored, Splits
from innerloop.tasks.datasets.omniglot import OneShotRuns
from tests.evaluate import tiny
from tests.evaluate.test_result import PRECISION


def sampler(split="validation"):
    return replace(tiny.sampler(), pool=tiny.pool(split=split))


def test_the_best_value_on_the_same_tasks_is_chosen():
    learner = tiny.maml()
    params = learner.init(0)
    found = select(learner, params, sampler(), "inner_steps", (0, 5, 1), 20)
    means = {
        steps: meta_test(replace(learner, inner_steps=steps), params, sampler(), 20, quiet=True).mean
        for steps in (0, 5, 1)
    }
    assert {value: score.mean for value, score in found.scores} == means
    assert means[found.value] == max(means.values()) and all(math.isfinite(s.ci95) for _, s in found.scores)
    assert "inner_steps = " in str(found) and "20 meta-validation tasks, inductive" in str(found)


def unseen():
    """Tasks of a pool that knows what it is for, whatever its split is called."""
    parts = {name: tiny.pool(split=f"vinyals-{name}") for name in ("train", "validation", "test")}
    return replace(tiny.sampler(), pool=Splits(**parts).test)


def test_a_role_is_known_and_never_guessed_from_a_name():
    config = TrainConfig(steps=2, validate_every=1, validation_episodes=2, plan="loop")
    learner = tiny.maml(steps=1)
    with pytest.raises(InputError, match="the checkpoint must not be chosen on the classes of the meta-test"):
        meta_train(learner, tiny.sampler(), config, validation=unseen())
    for pool in (unseen().pool.take([0, 1, 2, 3, 4, 5]), unseen().pool.rotated(), unseen().pool.to("cpu")):
        assert pool.role == "test", "what is made of test classes is of test classes"
    named = sampler("test")  # a pool of nobody's splits, with that name
    assert select(learner, learner.init(0), named, "inner_steps", (1, 2), 4).episodes == 4
    assert OneShotRuns.role == "test"


def test_of_equals_the_first_wins():
    learner = tiny.maml(steps=0)
    assert select(learner, learner.init(0), sampler(), "inner_lr", (0.3, 0.1), 4).value == 0.3


def test_the_test_classes_are_not_for_choosing():
    learner = tiny.maml()
    with pytest.raises(InputError, match="must not be chosen on the classes of the meta-test"):
        select(learner, learner.init(0), unseen(), "inner_steps", (1, 2), 4)
    with pytest.raises(InputError, match="nothing to choose inner_steps from"):
        select(learner, learner.init(0), sampler(), "inner_steps", (), 4)


@dataclass(frozen=True, kw_only=True)
class Avoiding(NearestCentroid):
    """Never names the first class where it is shifted far."""

    shift: float = 0.0

    def predict(self, params, adapted, x):
        outputs = super().predict(params, adapted, x)
        return outputs - self.shift * (torch.arange(outputs.shape[-1]) == 0)


def test_a_value_without_a_score_is_never_chosen():
    tasks = Scored(sampler(), PRECISION.name)
    chosen = select(Avoiding(), {}, tasks, "shift", (1e9, 0.0, 1e9), 6)
    assert chosen.value == 0.0 and [math.isnan(total.mean) for _, total in chosen.scores] == [True, False, True]
    nothing = select(Avoiding(), {}, tasks, "shift", (1e9, 2e9), 6)
    assert nothing.value == 1e9, "of equals the first"


def test_a_choice_in_words():
    scores = ((1, Interval(0.5, 0.01)), (5, Interval(0.75, 0.02)))
    one = Selection("inner_steps", 5, scores, SCORES["accuracy"], 200, "inductive")
    text = "inner_steps = 5, chosen on 200 meta-validation tasks, inductive (1: 50.0 ± 1.0%, 5: 75.0 ± 2.0%)"
    assert str(one) == text


def test_values_of_a_field_that_is_not_there_are_refused():
    with pytest.raises(TypeError, match="inner_stepz"):
        select(tiny.maml(), tiny.maml().init(0), sampler(), "inner_stepz", (1,), 2)
