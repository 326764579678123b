"""Plain pre-training on Omniglot (Vinyals split), against thresholds measured on two cores; pixels reach 0.44."""

from dataclasses import replace

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import compare, meta_test
from innerloop.learners.baselines.linear_probe import LinearProbe
from innerloop.learners.baselines.multi_task import MultiTask
from innerloop.learners.baselines.simple_shot import SimpleShot
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks import BatchSampler, EpisodeSampler, TaskBatchSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow


def networks(splits):
    return {"encoder": Conv4(outputs=None, width=32), "head": Linear(inputs=32, outputs=len(splits.train))}


def accuracy(learner, params, splits):
    sampler = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    return meta_test(learner, params, sampler, episodes=200, quiet=True)


def test_one_pre_training_and_what_is_made_of_it(splits, seed):
    learner = SimpleShot(**networks(splits))
    config = TrainConfig(steps=300, meta_batch_size=1, meta_lr=3e-3, seed=seed, plan="loop")
    params = meta_train(learner, BatchSampler(pool=splits.train, batch_size=64, seed=seed), config)
    results = {t: accuracy(replace(learner, transform=t), params, splits) for t in ("centred_l2", "l2", "none")}
    results["probe"] = accuracy(LinearProbe(**networks(splits), C=1.0), params, splits)
    for name, result in results.items():
        holds(f"pre-training, {name}", result.mean, result.ci95, least=0.53)
        if name != "centred_l2":
            apart = compare(results["centred_l2"], result).rows[1].difference
            assert apart is not None
            holds(f"pre-training, {name} and centred_l2 apart", abs(apart.mean), apart.ci95, most=0.06)


def test_a_head_for_each_alphabet(splits, seed):
    learner = MultiTask(**networks(splits))
    config = TrainConfig(steps=300, meta_batch_size=4, meta_lr=3e-3, seed=seed, plan="loop")
    sampler = TaskBatchSampler(pool=splits.train, batch_size=16, seed=seed)
    assert len(sampler.tasks) == 33 * 4
    result = accuracy(learner, meta_train(learner, sampler, config), splits)
    holds("multi-task", result.mean, result.ci95, least=0.55)
