import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.calibration import Calibration
from innerloop.evaluate.rejection import check_enough, highest, settled


def scores(mean, count, seed=0):
    return mean + torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (30, 0.9), (30, 0.5), (99, 0.99)])
def test_a_further_score_is_at_or_above_as_often_as_promised_and_hardly_more(count, coverage):
    draws = torch.rand(20_000, count + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = torch.tensor([highest(row[:-1], coverage) for row in draws[:4_000]])
    held = (draws[:4_000, -1] >= at).double().mean().item()
    assert coverage - 0.02 <= held <= coverage + 1 / (count + 1) + 0.02


def test_fewer_examples_than_a_promise_takes_are_refused_by_number():
    check_enough(9, 0.9, "sets")
    with pytest.raises(InputError, match=r"sets takes 9 examples that can be held out.*there are 8"):
        check_enough(8, 0.9, "sets")
    with pytest.raises(InputError, match="there are none"):
        check_enough(0, 0.5, "sets")
    for wrong in (0, 1, 90, float("nan"), True, "much"):
        with pytest.raises(InputError, match=r"such as 0\.9"):
            check_enough(100, wrong, "sets")  # pyright: ignore[reportArgumentType]


def test_either_share_is_held_and_both_are_told_with_their_intervals():
    inside, foreign = scores(3, 200), scores(0, 1000, 1)
    found = settled(inside, foreign, [], Calibration(), strangers=0.1)
    assert found.target == 0.1 and found.threshold is not None and found.coverage is not None
    assert (foreign >= found.threshold).double().mean() == pytest.approx(0.1)
    assert found.false_accepts is not None and found.false_accepts[0] < 0.1 < found.false_accepts[1]
    assert found.answered is not None and found.answered[0] < found.coverage < found.answered[1]
    again = settled(inside, foreign, [], Calibration(), coverage=0.9)
    assert again.threshold is not None and again.target is not None and again.coverage == pytest.approx(0.9, abs=0.01)
    assert (foreign >= again.threshold).double().mean() == pytest.approx(again.target)
    assert [point[0] for point in found.points] == sorted(point[0] for point in found.points) and len(found.points) > 5
    assert Calibration(**found.to_json()) == found
    assert found.covering(0.5).threshold == max(p[1] for p in found.points if p[2] >= 0.5)


def test_the_stricter_of_two_kinds_of_strangers_counts_and_without_examples_coverage_is_unknown():
    near = [scores(1, 20, seed) for seed in range(3, 8)]
    lax, strict = (
        settled(scores(3, 50), scores(0, 500, 1), some, Calibration(), strangers=0.05) for some in ([], near)
    )
    assert lax.threshold is not None and strict.threshold is not None and strict.threshold > lax.threshold
    alone = settled(None, scores(0, 500, 1), [], Calibration(), strangers=0.05)
    assert alone.threshold == lax.threshold and alone.coverage is None and "not known" in alone.sides
