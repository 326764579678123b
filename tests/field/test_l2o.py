"""A learned optimizer on the quadratics of Andrychowicz et al., beside Adam at the best of 14 rates."""

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate.descents import descend
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.optimisation import Optimizees, quadratic

pytestmark = pytest.mark.slow


def test_it_is_below_tuned_adam_at_its_horizon_and_beyond():
    """Parameters and rates are chosen on validation functions. At five times the horizon it need only be finite.

    docs/algorithms.md has three seeds and longer trainings.
    """
    learner, validation = L2O(value=quadratic), Optimizees(seed=1)
    config = TrainConfig(
        steps=200,
        meta_batch_size=128,
        meta_lr=1e-2,
        clip=1.0,
        schedule="cosine",
        estimator="truncated",
        validate_every=50,
        plan="replay",
    )
    params = meta_train(learner, Optimizees(seed=0), config, validation=validation)
    found = descend(learner, params, Optimizees(seed=77), validation, functions=512)
    ours, adam = found.rows[0], next(row for row in found.rows if row.name == "Adam")
    assert ours.sums[0].mean <= 0.9 * adam.sums[0].mean
    assert ours.mean[19] <= 0.8 * adam.mean[19]
    assert ours.sums[1].mean <= adam.sums[1].mean
    assert ours.mean[-1] < 10
