"""Several seeds as one row, and tables for other programs."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from innerloop.core.errors import InputError
from innerloop.core.interval import between
from innerloop.core.scores import Score
from innerloop.evaluate import Comparison, compare
from innerloop.evaluate.groups import grouped
from innerloop.evaluate.tables import to_csv, to_latex
from tests.evaluate.test_compare import result


def of_seeds(name: str, levels: list[float], tasks: int = 200):
    noise = torch.rand(tasks, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = torch.rand(len(levels), tasks, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return [result(f"{name}/{i}", level + 0.1 * noise + 0.02 * own[i]) for i, level in enumerate(levels)]


def compared(*kinds: tuple[str, list[float]]) -> Comparison:
    results, keys = [], []
    for name, levels in kinds:
        results += of_seeds(name, levels)
        keys += [name] * len(levels)
    seeds = [int(r.learner.rpartition("/")[2]) for r in results]
    return replace(compare(*results), groups=grouped(results, keys, keys, seeds))


def test_tasks_and_seeds_are_told_apart():
    near, far = compared(("a", [0.5, 0.5, 0.5]), ("b", [0.4, 0.6, 0.53])).groups
    assert near.spread is not None and far.spread is not None and far.spread > 50 * near.spread
    scores = torch.stack([r.scores[:, 0] for r in far.results]).mean(0)
    assert far.tasks == (pytest.approx(scores.mean()), pytest.approx(1.96 * scores.std() / 200**0.5))
    assert far.difference is not None and far.over_seeds is not None and far.over_seeds > 50 * far.difference.ci95
    # 1 point more is far beyond the interval over tasks, and nothing against what the seeds move.
    assert far.difference.mean > 3 * far.difference.ci95 and far.alike(near)
    assert "over seeds" in str(compared(("a", [0.5, 0.5]), ("b", [0.4, 0.6])))


def test_the_interval_between_seeds_is_welchs():
    for a, b in (([0.5, 0.6, 0.55], [0.4, 0.7]), (list(np.linspace(0, 1, 15)), list(np.linspace(0, 2, 9)))):
        wide = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        ours = between(a, b)
        assert ours.mean == pytest.approx(np.mean(a) - np.mean(b))
        assert (wide.high - wide.low) / 2 * 0.999 <= ours.ci95  # whole degrees of freedom are the wider
        assert ours.ci95 < (wide.high - wide.low) / 2 * 1.6
    assert between([1.0, 1.0], [1.0, 1.0]) == (0, 0)
    with pytest.raises(InputError, match="at least two of each"):
        between([1.0], [1.0, 2.0])


def test_a_score_that_is_no_mean_is_averaged_over_trainings():
    class Root(Score):
        def total(self, scores):
            return float(scores.mean()) ** 0.5

        def of(self, outputs, batch):
            raise NotImplementedError

    one, other = torch.rand(40, 1, generator=torch.Generator().manual_seed(0)), torch.ones(40, 1)
    both = Root().interval_of_mean([one, other])
    assert both.mean == pytest.approx((Root().total(one) + 1) / 2) and 0 < both.ci95 < Root().interval(one).ci95
    assert Root().difference_of_means([one, other], [one, other]) == (0, 0)


def test_the_csv_has_runs_and_seeds():
    rows = list(csv.DictReader(to_csv(compared(("a", [0.5, 0.6]), ("b", [0.4]))).splitlines()))
    assert [(row["kind"], row["name"], row["group"], row["seed"]) for row in rows] == [
        ("run", "a/0", "a", "0"),
        ("run", "a/1", "a", "1"),
        ("run", "b/0", "b", "0"),
        ("seeds", "a", "a", ""),
    ]
    assert float(rows[3]["mean"]) == pytest.approx((float(rows[0]["mean"]) + float(rows[1]["mean"])) / 2)


def test_the_latex_is_bold_where_nothing_is_told_from_the_best():
    table = to_latex(compared(("a_1", [0.5, 0.5]), ("b", [0.4, 0.4]), ("c&d", [0.45, 0.52])))
    a, b, c = [line for line in table.splitlines() if line.endswith(r"\\")][1:]
    assert a.startswith(r"a\_1 & $\mathbf{") and r"\mathbf" not in b and c.startswith(r"c\&d & $\mathbf{")
    single = to_latex(compare(*of_seeds("a", [0.5]), *of_seeds("b", [0.4])))
    assert "seeds" not in single.split(r"\toprule")[1] and r"\begin{tabular}{lr}" in single
