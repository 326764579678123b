"""Scores by the number of shots: nested, paired, and extended no further than they allow."""

from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.scores import Accuracy, MeanSquaredError
from innerloop.core.types import Batch
from innerloop.evaluate import meta_test
from innerloop.evaluate.by_shots import ByShots, check_shots
from innerloop.evaluate.shots import _fewer, by_shots
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, Pool, Sinusoid


def sampler(shots=5):
    x = (
        torch.randn(12, 16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        + torch.arange(12.0).view(12, 1, 1, 1, 1) / 9
    )
    pool = Pool.from_arrays(x.flatten(0, 1).numpy(), torch.arange(12).repeat_interleave(16).numpy())
    return EpisodeSampler(pool=pool, ways=4, shots=shots, queries=6, seed=3)


def curve(power, shots=(1, 2, 5, 10), tasks=300, seed=0):
    """Accuracy 0.95 - 0.45 k^-power in tasks of 25 queries, some harder than others."""
    generator = torch.Generator().manual_seed(seed)
    hard = 0.08 * torch.randn(1, tasks, 1, generator=generator, dtype=torch.float64)
    means = torch.tensor([0.95 - 0.45 * k**-power for k in shots], dtype=torch.float64)[:, None, None] + hard
    scores = torch.binomial(torch.full_like(means, 25.0), means.clamp(0, 1), generator=generator) / 25
    return ByShots(shots=shots, scores=scores, score=Accuracy())


def test_supports_are_nested_and_the_most_shots_are_the_usual_test():
    learner = NearestCentroid()
    found = by_shots(learner, {}, sampler(), (5, 1, 2), 12)
    assert found.by_shots.shots == (1, 2, 5)
    usual = meta_test(learner, {}, sampler(), 12, quiet=True)
    assert torch.equal(found.by_shots.scores[-1], usual.scores) and found.protocol == usual.protocol
    task = sampler().episodes(0, 1)
    assert isinstance(task.support.x, torch.Tensor)
    support = Batch(task.support.x[0], task.support.y[0])
    assert isinstance(support.x, torch.Tensor)
    one, two = _fewer(support, 1), _fewer(support, 2)
    assert one.y.tolist() == [0, 1, 2, 3] and two.y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert isinstance(one.x, torch.Tensor) and isinstance(two.x, torch.Tensor)
    assert torch.equal(one.x, support.x[::5]) and torch.equal(two.x[::2], one.x)


def test_unlabelled_and_padded_rows_stay():
    y = torch.tensor([0, 0, 1, 1, -1, -1])
    batch = Batch(torch.arange(6.0)[:, None], y, torch.tensor([True, True, True, True, True, False]))
    fewer = _fewer(batch, 1)
    assert (
        fewer.y.tolist() == [0, 1, -1, -1]
        and fewer.mask is not None
        and fewer.mask.tolist() == [True, True, True, False]
    )


def test_points_of_functions_are_shots_too():
    learner = MAML(model=MLP(hidden=(8,)), objective=regression, inner_lr=0.01)
    found = by_shots(learner, learner.init(0), Sinusoid(shots=10, queries=10, seed=1), (2, 5, 10), 6)
    assert found.by_shots.score == MeanSquaredError() and found.by_shots.scores.shape == (3, 6, 1)


def test_what_a_label_buys_is_paired():
    found = curve(0.5)
    first = found.gains[0]
    gap = (found.scores[1] - found.scores[0])[:, 0]
    assert (first.less, first.more) == (1, 2) and first.difference.mean == pytest.approx(gap.mean())
    assert first.difference.ci95 == pytest.approx(1.96 * gap.std() / 300**0.5)
    assert found.gains[1].each.mean == pytest.approx(found.gains[1].difference.mean / 3)


@pytest.mark.parametrize("shots", [(1, 2, 5), (1, 2, 5, 10)])
def test_the_forecast_holds_what_comes(shots):
    hits = widths = 0
    for power in (0.3, 0.5, 0.9):
        for seed in range(5):
            ahead = curve(power, shots, seed=seed).forecast()
            assert ahead.total is not None and ahead.shots == shots[-1] + 10
            hits += abs(ahead.total.mean - (0.95 - 0.45 * ahead.shots**-power)) <= ahead.total.ci95
            widths += ahead.total.ci95
    assert hits >= 14 and widths / 15 < 0.1


def test_what_cannot_be_forecast_is_said():
    assert "takes 3 numbers of shots" in curve(0.5, (1, 5)).forecast().reason
    jump = curve(0.5)
    scores = jump.scores.clone()
    scores[-1] = (scores[-1] - 0.4).clamp(0, 1)  # more shots that make it far worse
    found = replace(jump, scores=scores)
    assert found.forecast().total is None and "a curve like this cannot be extended" in str(found)
    assert found.to_json()["forecast"]["total"] is None


def test_bad_numbers_are_refused():
    for shots, said in (((0, 1), "at least 1, got 0"), ((2, 2), "2 shots are given twice"), ((), "give the numbers")):
        with pytest.raises(InputError, match=said):
            check_shots(shots)
    with pytest.raises(InputError, match="the tasks have 5 shots: give some with 10"):
        by_shots(NearestCentroid(), {}, sampler(), (1, 10), 2)
