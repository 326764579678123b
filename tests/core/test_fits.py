"""Learners and tasks that do not go together are told so before the work."""

import pytest

from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import MassSpringDamper, Sinusoid


def maml(**fields):
    return MAML(model=MLP(**fields), inner_lr=0.01, objective=regression)


@pytest.mark.parametrize(
    ("learner", "tasks", "message"),
    [
        (MAML(model=MLP(), inner_lr=0.01), Sinusoid(), "tells classes apart, .* objective=regression"),
        (maml(inputs=3, outputs=1), MassSpringDamper(), r"has outputs \[n, 1\], and y of these tasks is \[n, 2\]"),
        (maml(inputs=1, outputs=2), Sinusoid(), r"has outputs \[n, 2\], and y of these tasks is \[n, 1\]"),
        (maml(inputs=2, outputs=2), MassSpringDamper(), r"cannot answer these tasks, whose x is \[16, 3\]"),
    ],
)
def test_tasks_that_a_learner_cannot_answer_are_refused(learner, tasks, message):
    with pytest.raises(InputError, match=message):
        meta_train(learner, tasks, TrainConfig(steps=1))


def test_scores_of_outputs_that_would_be_broadcast_are_refused():
    learner = maml(inputs=3, outputs=1)
    with pytest.raises(InputError, match="as many outputs as there are targets"):
        meta_test(learner, learner.init(0), MassSpringDamper(), 2)
