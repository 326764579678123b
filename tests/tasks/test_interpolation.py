"""Interpolated tasks: one lambda a task, class r with class r, a function of `(seed, i)` alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import BatchSampler, Distorted, EpisodeSampler, Interpolated, Pool, Sinusoid
from innerloop.tasks.interpolation import PARTNER
from tests.tasks import pools

PICTURES = pools.pictures(classes=8, instances=5, size=12)


def sampler(pool: Pool = PICTURES, **options: Any) -> EpisodeSampler:
    return EpisodeSampler(pool=pool, **{"ways": 3, "shots": 2, "queries": 2, "seed": 4} | options)


def drawn(sampler: Any, first: int, count: int) -> Any:
    return sampler.episodes(first, count)


def test_a_task_is_the_same_whatever_is_drawn_with_it():
    mixed = Interpolated(sampler=sampler())
    together, alone = drawn(mixed, 0, 3), drawn(mixed, 1, 1)
    assert torch.equal(together.support.x[1], alone.support.x[0])
    assert torch.equal(together.query.x[1], alone.query.x[0])


def test_every_example_of_a_task_is_as_much_of_one_class_as_of_the_same_other():
    """Rows tell their class: of the mixture, all of a label are one number, by one lambda for support and query."""
    rows = sampler(pools.tagged([5] * 8))
    mixed, own, other = (
        drawn(s, i, 40) for s, i in ((Interpolated(sampler=rows, share=1), 0), (rows, 0), (rows, PARTNER))
    )
    for i in range(40):
        lambdas = []
        for got, a, b in zip(mixed, own, other, strict=True):
            assert torch.equal(got.y, a.y) and torch.equal(got.key, a.key)
            for label in range(3):
                x, a_class, b_class = (part.x[i, part.y[i] == label, 0] for part in (got, a, b))
                assert (x == x[0]).all()
                if a_class[0] != b_class[0]:
                    lambdas.append((x[0] - b_class[0]) / (a_class[0] - b_class[0]))
        assert torch.stack(lambdas).std() < 1e-5 and 0 < lambdas[0] < 1
    used = mixed.support.x[..., 1].frac().unique()
    assert len(used) > 40  # no two tasks have the same lambda


def test_a_share_is_mixed_and_the_others_are_as_they_were_to_the_bit():
    plain, half = drawn(sampler(), 0, 400), drawn(Interpolated(sampler=sampler(), share=0.25), 0, 400)
    same = (plain.support.x == half.support.x).flatten(1).all(1)
    assert torch.equal(same, (plain.query.x == half.query.x).flatten(1).all(1))
    assert 0.68 < same.float().mean() < 0.82
    never = drawn(Interpolated(sampler=sampler(), share=0), 0, 4)
    assert torch.equal(never.support.x, plain.support.x[:4])


def test_pictures_are_distorted_and_then_mixed():
    distorted = Distorted(sampler=sampler())
    mixed = Interpolated(sampler=distorted, share=1)
    own, other = drawn(distorted, 3, 1).support.x, drawn(distorted, 3 + PARTNER, 1).support.x
    got = drawn(mixed, 3, 1).support.x
    weight = ((got - other) * (own - other)).sum() / (own - other).square().sum()
    assert torch.allclose(got, weight * own + (1 - weight) * other, atol=1e-5)
    about = mixed.describe()
    assert about["interpolated"] == {"share": 1, "beta": 2.0} and "distorted" in about


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sampler(ways=(2, 4)), r"equally many; these have \[2, 4\] ways"),
        (lambda: sampler(shots=(1, 2)), r"and \[1, 2\] shots"),
        (lambda: sampler(unlabelled=1), "unlabelled ones have none"),
        (lambda: BatchSampler(pool=PICTURES, batch_size=4), "batches have none of their own"),
        (lambda: Sinusoid(), "have none of their own"),
    ],
)
def test_what_cannot_be_mixed_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        Interpolated(sampler=make())


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"share": -0.1}, {"beta": 0}])
def test_a_share_or_beta_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(Interpolated(sampler=sampler()), **wrong)
