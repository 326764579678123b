import math
from dataclasses import replace

import pytest

from innerloop.core.errors import InputError
from innerloop.evaluate import meta_test
from innerloop.evaluate.select import select
from tests.evaluate import tiny


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
    assert "inner_steps = " in str(found) and "20 meta-validation tasks" in str(found)


def test_of_equals_the_first_wins():
    learner = tiny.maml(steps=0)
    assert select(learner, learner.init(0), sampler(), "inner_lr", (0.3, 0.1), 4).value == 0.3


def test_the_test_classes_are_not_for_choosing():
    learner = tiny.maml()
    with pytest.raises(InputError, match="must not be chosen on the classes of the meta-test"):
        select(learner, learner.init(0), sampler("test"), "inner_steps", (1, 2), 4)
    with pytest.raises(InputError, match="nothing to choose inner_steps from"):
        select(learner, learner.init(0), sampler(), "inner_steps", (), 4)
