import numpy as np
import pytest

from innerloop.apps.text.watch import charts, run_length
from innerloop.apps.text.watch.charts import CALM, Chart, Design, design, odds_times
from innerloop.apps.text.watch.run_length import chain, counts, run_lengths, settled
from tests.apps.text.watch.streams import BEGIN


def test_counts_are_binomial():
    x, chances = counts(3, 0.25)
    assert x.tolist() == [0, 1, 2, 3] and chances.tolist() == pytest.approx([27 / 64, 27 / 64, 9 / 64, 1 / 64])
    x, chances = counts(100_000, 0.001)
    assert (x * chances).sum() == pytest.approx(100) and len(x) < 1000


def test_the_markov_chain_of_one_state_is_the_geometric_distribution():
    # A limit that one count alone crosses: the run ends with chance 1 - 0.9^5 in every window.
    shewhart = Design(kind="ewma", base=0.1, surge=0.2, limit=1e-9)
    assert run_lengths(chain(0.0, shewhart.steps([5], 0.1), 1e-9))[0] == pytest.approx(1 / (1 - 0.9**5))


def simulated(one: Design, size: int, rate: float, runs: int = 1000, seed: int = 0) -> np.ndarray:
    """Run lengths of a chart, by drawing."""
    rng = np.random.default_rng(seed)
    value, length, alive, i = np.zeros(runs), np.zeros(runs), np.ones(runs, bool), 0
    while alive.any():
        i += 1
        value = np.maximum(0, one.decay * value + one.step(rng.binomial(size, rate, runs), size))
        over = alive & (value >= one.limit)
        length[over] = i
        alive &= ~over
    return length


@pytest.mark.parametrize("kind", charts.KINDS)
@pytest.mark.parametrize("size", [20, 200])
def test_run_lengths_are_those_of_theory(kind, size):
    one = design(kind, 0.1, odds_times(0.1, 2), [size] * 5, 200)
    for rate in (0.1, 0.2):
        theory = run_lengths(chain(one.decay, one.steps([size], rate), one.limit))[0]
        found = simulated(one, size, rate)
        error = found.std() / len(found) ** 0.5
        assert abs(found.mean() - theory) < 4 * error + 0.05 * theory
        if rate == 0.1:
            assert 200 <= theory < 400, "whole counts make it longer than was asked for, never shorter"


def test_a_chart_is_told_about_windows_of_different_sizes():
    one = design("cusum", 0.05, 0.1, [10, 20, 40, 80], 100)
    rng, lengths = np.random.default_rng(0), []
    for _ in range(400):
        chart, i = Chart(design=one), 0
        while not chart.on:
            i += 1
            size = int(rng.choice([10, 20, 40, 80]))
            chart = chart.after(int(rng.binomial(size, 0.05)), size, i)
        lengths.append(i)
    assert np.mean(lengths) == pytest.approx(
        run_lengths(chain(1.0, one.steps([10, 20, 40, 80], 0.05), one.limit))[0], rel=0.2
    )


def test_a_chart_that_runs_settles_above_0():
    one = design("ewma", 0.1, 0.2, [50] * 5, 200)
    moves = chain(one.decay, one.steps([50], 0.1), one.limit)
    share = settled(moves)
    assert share.sum() == pytest.approx(1) and (share @ moves / (share @ moves).sum()) == pytest.approx(share, abs=1e-9)


def test_an_alert_lasts_until_the_chart_is_far_below_its_limit_and_comes_down_again():
    one = Design(kind="cusum", base=0.1, surge=0.2, limit=4.0)
    chart = Chart(design=one)
    for i in range(50):
        chart = chart.after(30, 50, BEGIN + i)
    assert chart.on and chart.value == 8.0 and chart.rose == BEGIN, "capped, so that it comes down soon"
    seen = []
    while chart.value > 0:
        chart = chart.after(4, 50, BEGIN)
        seen.append((chart.value > CALM * one.limit, chart.on))
    assert all(above == on for above, on in seen) and not chart.on and chart.rose is None
    assert Chart.from_json(chart.to_json()) == chart


@pytest.mark.parametrize(("base", "size"), [(1e-4, 5), (0.999, 50), (0.5, 1)])
def test_odd_rates_have_limits(base, size):
    for kind in charts.KINDS:
        one = design(kind, base, odds_times(base, 2), [size], 1e5)
        assert 0 < one.limit < 60 and np.isfinite(one.limit)


def test_sizes_are_represented_by_a_few():
    assert run_length.representative([3]) == [3] and run_length.representative([9, 1, 5]) == [1, 5, 9]
    assert run_length.representative(list(range(100))) == [12, 37, 62, 87]
