"""A learned optimizer on the quadratics of Andrychowicz et al., beside Adam at the best of 14 rates."""

import pytest

from innerloop.core.interval import Interval
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate.optimizer_curves import descend
from innerloop.learners.optimizers.l2o import L2O
from innerloop.tasks.functions import Functions, quadratic
from tests.field.margins import holds

pytestmark = pytest.mark.slow


def share(a: Interval, b: Interval) -> Interval:
    value = a.mean / b.mean
    return Interval(value, value * ((a.ci95 / a.mean) ** 2 + (b.ci95 / b.mean) ** 2) ** 0.5)


def test_it_is_below_tuned_adam_at_its_horizon_and_beyond(seed):
    """As shares of what Adam has; intervals over functions, as if the two were not of the same ones.

    Parameters and rates are chosen on validation functions. At five times the horizon it need only be finite.

    docs/algorithms.md has three seeds and longer trainings.
    """
    learner, validation = L2O(value=quadratic), Functions(seed=1)
    config = TrainConfig(
        steps=200,
        meta_batch_size=128,
        meta_lr=1e-2,
        clip=1.0,
        schedule="cosine",
        estimator="truncated",
        seed=seed,
        validate_every=50,
        plan="replay",
    )
    params = meta_train(learner, Functions(seed=100 * seed), config, validation=validation)
    found = descend(learner, params, Functions(seed=77), validation, functions=512)
    ours, adam = found.rows[0], next(row for row in found.rows if row.name == "Adam")
    last = [Interval(row.mean[19], row.ci95[19]) for row in (ours, adam)]
    holds("l2o, share of Adam's sum up to the horizon", *share(ours.sums[0], adam.sums[0]), most=0.9)
    holds("l2o, share of Adam's value at the horizon", *share(*last), most=0.8)
    holds("l2o, share of Adam's sum up to twice the horizon", *share(ours.sums[1], adam.sums[1]), most=1.0)
    holds("l2o, value at five times the horizon", ours.mean[-1], ours.ci95[-1], most=10.0)
