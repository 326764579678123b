from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import Interval
from innerloop.core.types import Episode
from innerloop.evaluate import verification
from innerloop.evaluate.verification import Pairs, Verification, auc, best_threshold, eer, roc, verify
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
    most = 1 - 0.025 ** (1 / 20)  # no mistake in 20 episodes does not say that there is none
    assert found.accuracy == pytest.approx((1, most)) and found.auc == pytest.approx((1, most))
    assert found.eer == pytest.approx((0, most))
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


@st.composite
def pairs(draw) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores with ties, of at least one pair of each kind, and how often each counts."""
    n = draw(st.integers(2, 30))
    scores = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    same = [True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))]
    weights = [1, 1, *draw(st.lists(st.integers(0, 3), min_size=n - 2, max_size=n - 2))]
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(same), torch.tensor(weights)


@settings(max_examples=60)
@given(pairs())
def test_a_weight_is_a_number_of_copies(drawn):
    scores, same, weights = drawn
    copies = scores.repeat_interleave(weights), same.repeat_interleave(weights)
    assert auc(scores, same, weights) == pytest.approx(auc(*copies))
    assert eer(scores, same, weights) == pytest.approx(eer(*copies))
    assert auc(*copies) == pytest.approx(roc_auc_score(copies[1], copies[0]))


@settings(max_examples=60)
@given(pairs())
def test_the_curve_rises_and_the_other_way_round_it_is_mirrored(drawn):
    scores, same, _ = drawn
    false, true, thresholds = roc(scores, same)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1) and thresholds[0] == torch.inf
    assert all(bool((part.diff() >= 0).all()) for part in (false, true)) and bool((thresholds.diff() < 0).all())
    for at, parts in zip(thresholds, torch.stack([false, true], 1), strict=True):
        assert parts.tolist() == pytest.approx([(scores >= at)[kind].double().mean().item() for kind in (~same, same)])
    assert auc(-scores, same) == pytest.approx(1 - auc(scores, same))
    assert eer(scores, same) == pytest.approx(eer(-scores, ~same)), "what is refused and accepted swap places"
    assert 0 <= eer(scores, same) <= 1
    moved = 2 * scores + 5
    assert (auc(moved, same), eer(moved, same)) == (auc(scores, same), eer(scores, same)), "only the order counts"


@settings(max_examples=60)
@given(pairs())
def test_the_best_threshold_lies_between_two_scores(drawn):
    scores, same, _ = drawn
    at, accuracy = best_threshold(scores, same)
    assert ((scores >= at) == same).double().mean().item() == pytest.approx(accuracy)
    above, below = scores[scores >= at], scores[scores < at]
    assert len(above) and (not len(below) or at == (above.min() + below.max()) / 2)


def test_intervals_of_areas_are_a_bootstrap_over_episodes(monkeypatch):
    """Drawn again here by NumPy, from the same episodes and with other numbers."""
    g = torch.Generator().manual_seed(0)
    same = (torch.arange(12) < 6).expand(40, -1)
    scores = torch.randn(40, 12, generator=g, dtype=torch.float64) + same + torch.randn(40, 1, generator=g) * same
    monkeypatch.setattr(verification, "_RESAMPLES", 150)
    area, error = verification._resampled(Pairs(scores, same))
    assert (area.mean, error.mean) == (auc(scores.flatten(), same.flatten()), eer(scores.flatten(), same.flatten()))
    rng, samples = np.random.default_rng(0), []
    for _ in range(150):
        rows = torch.from_numpy(rng.integers(0, 40, 40))
        samples.append((auc(scores[rows].flatten(), same[rows].flatten()), eer(scores[rows].flatten(), same.flatten())))
    expected = 1.96 * np.std(samples, 0)
    assert (area.ci95, error.ci95) == pytest.approx(tuple(expected), rel=0.3)
    assert verification._resampled(Pairs(scores, same)) == (area, error), "seeded"


def test_the_threshold_is_that_of_the_validation_pairs():
    """Under a shift between the two, accuracy falls and the areas do not."""
    learner = Pixels()
    params = {"none": torch.zeros(0)}
    known, unseen = sampler("validation"), sampler("test", seed=5)
    far = Scaled(unseen, 10.0)
    near, result = verify(learner, params, known, unseen, episodes=5), verify(learner, params, known, far, episodes=5)
    assert result.threshold == near.threshold and result.auc == near.auc and result.eer == near.eer
    assert near.accuracy.mean == 1 and result.accuracy.mean == 0.5, "all pairs are refused"


@dataclass(frozen=True)
class Scaled:
    """Episodes whose pictures are brighter."""

    sampler: EpisodeSampler
    factor: float

    def episodes(self, first: int, count: int) -> Episode:
        support, query = self.sampler.episodes(first, count)
        return Episode(
            *(part._replace(x=tree.map(lambda leaf: leaf * self.factor, part.x)) for part in (support, query))
        )

    def describe(self) -> dict[str, object]:
        return self.sampler.describe()


def test_a_verification_in_words():
    one = Verification(
        accuracy=Interval(0.912, 0.0049),
        auc=Interval(0.9561, 0.004),
        eer=Interval(0.085, 0.006),
        threshold=-1.23456,
        validation_accuracy=0.93,
        pairs=240,
        sampler={},
    )
    assert str(one).splitlines() == [
        "accuracy  91.2 ± 0.5% at the threshold -1.235 of the validation classes",
        "AUC       95.6 ± 0.4%",
        "EER       8.5 ± 0.6%",
    ]
