"""What does not go together is refused before any work, in one message."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.fits import check_params
from innerloop.core.model import Module
from innerloop.core.plain import plain
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.learners.gradient.learned_rates import LearnedRates
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.maml_plus_plus import MAMLPlusPlus
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks
from tests.problems import INPUTS, NeedlesInNoise

TASKS = NeedlesInNoise(dtype=torch.float32)
LEARNER = MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=3), inner_lr=0.1)


def config(**fields) -> TrainConfig:
    return TrainConfig(**({"steps": 2, "plan": "loop"} | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adamw"}, "no optimizer 'adamw': use adam, sgd"),
        ({"schedule": "cos"}, "use constant, cosine, linear, step"),
        ({"estimator": "es"}, "use exact, truncated, pes"),
        ({"layout": "nhwc"}, "no layout 'nhwc'"),
        ({"precision": "half"}, "no precision"),
        ({"plan": "fast"}, "no plan 'fast'"),
        ({"meta_lr": -1e-3}, "meta_lr must be a rate"),
        ({"meta_lr": math.nan}, "meta_lr must be a rate"),
        ({"meta_lr": "1e-3"}, "meta_lr must be a rate from 0 up, got '1e-3'"),
        ({"steps": 2.5}, "steps must be a whole number from 0 up, got 2.5"),
        ({"steps": True}, "steps must be a whole number"),
        ({"clip": 0.0}, "clip must be more than 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        config(**fields)


def test_numpy_numbers_and_lists_are_what_they_mean(tmp_path):
    assert plain([np.int64(3), (np.float32(0.5), "a", [True])]) == (3, (0.5, "a", (True,)))
    learner = MAML(model=MLP(inputs=np.int64(INPUTS), hidden=[np.int32(4)], outputs=3), inner_lr=np.float32(0.5))  # pyright: ignore
    assert learner == MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=3), inner_lr=0.5)
    hash(learner)
    fields = {"steps": np.int64(2), "meta_lr": np.float32(0.01), "clip": np.float64(1), "seed": np.uint8(1)}
    record = {"shape": (1, np.int64(2)), "rate": np.float32(0.5)}
    for _ in range(2):
        meta_train(learner, TASKS, config(**fields), out=tmp_path, record=record)
    with pytest.raises(InputError, match="plain JSON"):
        meta_train(learner, TASKS, config(), record={"x": torch.ones(2)})


@pytest.mark.parametrize("fields", [{"inner_lr": -0.1}, {"inner_lr": math.nan}, {"inner_lr": "0.1"}])
def test_rates_that_are_none_are_refused(fields):
    with pytest.raises(InputError, match="inner_lr must be a rate"):
        MAML(model=LEARNER.model, **fields)


@pytest.mark.parametrize("steps", [-1, 1.5, "2", True])
def test_steps_that_are_no_number_are_refused(steps):
    with pytest.raises(InputError, match="inner_steps must be a whole number"):
        MAML(model=LEARNER.model, inner_steps=steps)


def test_modules_and_classes_in_place_of_learners_are_refused():
    with pytest.raises(InputError, match=r"model=Module\(lambda: network\)"):
        MAML(model=nn.Linear(INPUTS, 3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="MAML is no learner"):
        meta_train(MAML, TASKS, config())  # pyright: ignore[reportArgumentType]


def test_parameters_that_are_missing_or_of_another_network_are_refused():
    params = LEARNER.init(0)
    first = next(iter(params))
    less = {k: v for k, v in params.items() if k != first}
    with pytest.raises(InputError, match=f"'{first}' of MAML is missing"):
        meta_test(LEARNER, less, TASKS, 2, quiet=True)
    with pytest.raises(InputError, match="has shape"):
        meta_test(LEARNER, params | {first: torch.zeros(1)}, TASKS, 2, quiet=True)
    with pytest.raises(InputError, match="which the learner has not"):
        meta_train(LEARNER, TASKS, config(), start={"encoder.weight": torch.zeros(3)})
    with pytest.raises(InputError, match="has shape"):
        meta_train(LEARNER, TASKS, config(), start={first: torch.zeros(1)})


def test_a_network_with_fewer_outputs_than_ways_is_refused():
    narrow = MAML(model=MLP(inputs=INPUTS, hidden=(4,), outputs=2))
    with pytest.raises(InputError, match="2 outputs, and these tasks have 3 classes"):
        meta_train(narrow, TASKS, config())
    with pytest.raises(InputError, match="2 outputs, and these tasks have 3 classes"):
        meta_test(narrow, narrow.init(0), TASKS, 2, quiet=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [MAML, ProtoNet])
def test_tasks_come_in_the_type_of_the_network(dtype, kind):
    net = Module(lambda: nn.Linear(INPUTS, 3, bias=False).to(dtype))
    learner = MAML(model=net) if kind is MAML else ProtoNet(encoder=net)
    params = [meta_train(learner, NeedlesInNoise(dtype=of), config()) for of in (torch.float32, torch.float64)]
    assert all(v.dtype == dtype for p in params for v in p.values())
    assert all(torch.allclose(params[0][k], params[1][k], atol=1e-5) for k in params[0])
    scores = [
        meta_test(learner, params[0], NeedlesInNoise(dtype=of), 4, quiet=True).mean
        for of in (torch.float32, torch.float64)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


def test_only_what_a_learner_completes_may_grow():
    memory = GaussianMemory(encoder=MLP(inputs=4, hidden=(3,), outputs=2))
    params = memory.init(0)
    with pytest.raises(InputError, match="'log_sigma' has shape"):
        check_params(memory, params | {"log_sigma": torch.zeros(2)})
    check_params(memory, params | {"log_sigma": params["log_sigma"] + 1})


def test_rates_of_each_step_are_tested_with_fewer_steps_and_with_more():
    net, room = MLP(inputs=INPUTS, hidden=(4,), outputs=3), Navigation(horizon=3)
    agent = MAMLRL(env=room, model=Gaussian(2, (4,), 2), trajectories=2, inner_steps=2, learn_rates=True)
    others = (MAMLPlusPlus(model=net, inner_steps=2), LearnedRates(model=net, inner_steps=2, rates="weight"))
    for learner, tasks in ((agent, EnvironmentTasks(environment=room)), *((other, TASKS) for other in others)):
        params = learner.init(0)
        scores = [
            meta_test(replace(learner, inner_steps=steps), params, tasks, 2, quiet=True).mean for steps in (1, 2, 3)
        ]
        assert all(map(math.isfinite, scores))
        name = next(k for k in params if k.startswith(learner.by_step))
        for wrong in (torch.zeros(2, 7, 7), torch.zeros(0, *params[name].shape[1:]), torch.zeros(())):
            with pytest.raises(InputError, match=f"'{name}' has shape"):
                check_params(learner, params | {name: wrong})
