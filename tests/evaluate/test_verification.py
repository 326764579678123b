from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from innerloop.core.errors import FailedError, InputError
from innerloop.evaluate.verification import auc, best_threshold, eer, roc, verify
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.siamese import Siamese
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler
from tests.evaluate import tiny


def scored(seed: int, ties: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    same = torch.rand(80, generator=generator) < 0.4
    scores = torch.randn(80, generator=generator, dtype=torch.float64) + same
    return (scores * 2).round() if ties else scores, same


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_they_are_scikit_learns(seed, ties):
    scores, same = scored(seed, ties)
    weights = 1 + torch.arange(80) % 4
    for weight in (None, weights):
        given = None if weight is None else weight.numpy()
        false, true, thresholds = roc_curve(same, scores, sample_weight=given, drop_intermediate=False)
        found = [part.numpy() for part in roc(scores, same, weight)]
        assert all(np.allclose(a, b) for a, b in zip(found, (false, true, thresholds), strict=True))
        assert auc(scores, same, weight) == pytest.approx(roc_auc_score(same, scores, sample_weight=given))
        equal = brentq(lambda x, f=false, t=true: 1 - x - np.interp(x, f, t), 0, 1)
        assert eer(scores, same, weight) == pytest.approx(equal, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_threshold_is_right_more_often(seed):
    scores, same = scored(seed, ties=seed % 2 == 1)
    threshold, accuracy = best_threshold(scores, same)
    assert ((scores >= threshold) == same).double().mean().item() == pytest.approx(accuracy)
    tried = [((scores >= t) == same).double().mean().item() for t in (*scores, scores.max() + 1)]
    assert accuracy == pytest.approx(max(tried)) or accuracy == pytest.approx(max(tried[:-1]))


def test_extremes():
    same = torch.arange(10) < 5
    best, worst = -torch.arange(10.0), torch.arange(10.0)
    assert (auc(best, same), eer(best, same), best_threshold(best, same)) == (1, 0, (-4.5, 1))
    assert (auc(worst, same), eer(worst, same)) == (0, 1)
    level = torch.zeros(10)
    assert auc(level, same) == eer(level, same) == 0.5


@dataclass(frozen=True, kw_only=True)
class Pixels(NearestCentroid):
    """Compares raw inputs, and keeps what it was given as a reference."""

    def similarity(self, params, adapted, left, right):
        return -(left - right).square().flatten(1).sum(1)


def sampler(split: str, seed: int = 0, **options) -> EpisodeSampler:
    pool = tiny.pool(seed=seed, split=split)
    return EpisodeSampler(pool=pool, **({"ways": 6, "shots": 1, "queries": 1} | options))


def test_half_of_the_pairs_are_of_one_class():
    """Blobs under little noise are told apart without a mistake, if the pairs are what they are taken for."""
    learner = Pixels()
    params = {"none": torch.zeros(0)}
    found = verify(learner, params, sampler("validation"), sampler("test", seed=5), episodes=20)
    assert found.pairs == 20 * 12
    assert found.accuracy == (1, 0) and found.auc == pytest.approx((1, 0)) and found.eer == pytest.approx((0, 0))
    assert found.validation_accuracy == 1 and found.sampler["split"] == "test"


def test_chunks_change_nothing_and_neither_do_the_test_pairs_statistics():
    learner = Siamese(encoder=MLP(inputs=tiny.SIZE**2, hidden=(8,), outputs=4))
    params = learner.init(0)
    known, unseen = sampler("validation"), sampler("test", seed=5)
    found = verify(learner, params, known, unseen, episodes=10)
    assert verify(learner, params, known, unseen, episodes=10, chunk=3) == found
    assert 0 < found.accuracy.ci95 < 0.2 and 0 < found.auc.ci95 < 0.2
    fewer = verify(learner, params, known, replace(unseen, seed=3), episodes=10)
    assert fewer.threshold == found.threshold, "chosen without the test classes"


@pytest.mark.parametrize("ways", [1, 6])
def test_other_tasks_are_refused(ways):
    params = {"none": torch.zeros(0)}
    tasks = sampler("test", ways=ways, queries=1 if ways == 1 else 2)
    with pytest.raises(InputError, match="one shot and one query of each of 2 or more classes"):
        verify(Pixels(), params, tasks, tasks, episodes=2)
    with pytest.raises(InputError, match="at least 2 episodes"):
        verify(Pixels(), params, tasks, tasks, episodes=1)
    with pytest.raises(InputError, match="NearestCentroid does not say how alike"):
        verify(NearestCentroid(), params, tasks, tasks)


def test_nan_is_no_score():
    learner = Siamese(encoder=MLP(inputs=tiny.SIZE**2, hidden=(8,), outputs=4))
    params = {k: v * torch.nan for k, v in learner.init(0).items()}
    with pytest.raises(FailedError, match="not finite"):
        verify(learner, params, sampler("validation"), sampler("test"), episodes=2)
