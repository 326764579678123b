"""Tables of results: paired differences, costs, stars and notes."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from innerloop.core.errors import InputError
from innerloop.evaluate import Comparison, Protocol, Result, compare, meta_test
from innerloop.evaluate.compare import COSTS, SAME, Cost, Row, comparable, refuse_unlike
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from tests.evaluate import tiny


def result(name: str, scores: Any, metric: str = "accuracy", **fields: Any) -> Result:
    values = torch.as_tensor(scores, dtype=torch.float64)
    values = values[:, None] if values.dim() == 1 else values
    about = Protocol(sampler={"dataset": "blobs", "split": "test", "ways": 5}, episodes=len(values), metric=metric)
    return Result(**{"learner": name, "protocol": about, "scores": values, "seconds_per_task": 0.0123} | fields)


@pytest.fixture
def pair() -> tuple[Result, Result]:
    g = torch.Generator().manual_seed(0)
    hard = torch.rand(50, generator=g, dtype=torch.float64)
    return result("pixels", hard), result("maml", hard + 0.05 * torch.rand(50, generator=g, dtype=torch.float64))


def test_differences_are_scipys_paired_ones(pair):
    pixels, maml = pair
    gap = compare(*pair).rows[1].difference
    assert gap is not None
    t = stats.ttest_rel(maml.scores[:, 0], pixels.scores[:, 0]).statistic
    assert gap.mean / (gap.ci95 / 1.96) == pytest.approx(t)
    assert gap.ci95 < 0.2 * maml.ci95, "hard tasks are hard for both"


def test_every_row_is_against_the_first(pair):
    pixels, maml = pair
    other = result("other", pixels.scores - 0.25)
    table = compare(pixels, maml, other)
    assert [row.result for row in table.rows] == [pixels, maml, other] and table.protocol == pixels.protocol
    assert table.rows[0].difference is None and table.rows[0].cells[2] == ""
    assert table.rows[2].difference == pytest.approx((-0.25, 0), abs=1e-12)
    assert table.rows[2].cells == ("other", other.number, "-25.0 ± 0.0 points")
    assert len(compare(pixels).rows) == 1


def test_a_score_that_is_no_mean_is_resampled_in_pairs():
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 9, 40)
    errors = rng.uniform(0, 1, 40) * rows
    ours, theirs = (result(str(k), np.stack([k * errors, rows], 1), "rmse") for k in (1, 4))
    gap = compare(ours, theirs).rows[1].difference
    assert gap is not None and gap.mean == pytest.approx(ours.mean), "the root of four times the errors is twice"
    assert gap.ci95 == pytest.approx(ours.ci95), "and so it is in every sample"
    with pytest.raises(InputError, match="metric: rmse against accuracy"):
        compare(ours, result("x", rows / 9))


def test_the_table_without_costs(pair):
    lines = str(compare(*pair)).splitlines()
    assert lines[0].split() == ["learner", "accuracy", "against", "pixels"] and set(lines[1]) == {"-", " "}
    assert lines[2] == f"pixels   {pair[0].number}", "the first has no difference, and no spaces at the end"
    assert lines[3].startswith(f"maml     {pair[1].number}  +") and lines[3].endswith(" points")
    assert lines[4:] == [
        "50 episodes, inductive, 5-way blobs test; ± is a 95% interval over episodes; differences are paired; "
        "± over tasks, one training"
    ]


def costly(pair: tuple[Result, Result], stored: bool) -> Comparison:
    table = compare(*pair)
    rows = (table.rows[0], table.rows[1]._replace(cost=Cost("MAML", 112_101, 2_345_678), stored=stored))
    return replace(table, rows=rows)


def test_the_table_with_costs(pair):
    table = costly(pair, stored=False)
    assert table.costed and not compare(*pair).costed
    head, _, first, second, *notes = str(table).splitlines()
    assert head.split("  ")[0] == "run" and head.endswith("ms a task  MB a task  parameters") and "learner" in head
    assert first.split() == ["pixels", *pair[0].number.split(), "12.3", "–", "–"]
    assert second.split()[:2] == ["maml", "MAML"] and second.split()[-3:] == ["12.3", "2.3", "112,101"]
    assert notes == table.notes.splitlines() and notes[1] == COSTS


def test_a_star_says_that_a_time_is_from_an_earlier_test(pair):
    table = costly(pair, stored=True)
    assert table.rows[1].costs == ("12.3*", "2.3", "112,101") and table.rows[0].costs == ("12.3", "–", "–")
    assert table.notes.endswith("; *: measured earlier") and "12.3*" in str(table)


def test_a_comparison_as_json(pair):
    table = costly(pair, stored=True)
    content = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert content["hash"] == table.protocol.hash and content["measured"] == table.notes
    assert Protocol.from_json(content["protocol"]) == table.protocol
    first, second = content["rows"]
    assert first["difference"] is None and "parameters" not in first and first["stored"] is False
    gap = table.rows[1].difference
    assert gap is not None and second["difference"] == {"mean": gap.mean, "ci95": gap.ci95}
    assert (second["name"], second["learner"]) == ("maml", "MAML") and second["stored"] is True
    assert (second["parameters"], second["memory_per_task_bytes"]) == (112_101, 2_345_678)
    assert second["mean"] == pair[1].mean and second["seconds_per_task"] == 0.0123 and "scores" not in second


def test_one_episode_has_no_interval_in_json_either():
    table = compare(result("a", [0.5]), result("b", [0.75]))
    first, second = json.loads(json.dumps(table.to_json(), allow_nan=False))["rows"]
    assert first["ci95"] is None and second["difference"] == {"mean": 0.25, "ci95": None}
    assert "+25.0 points (one episode: no interval)" in str(table)


def test_unlike_results_are_refused_with_all_that_differs(pair):
    other = replace(pair[1], protocol=replace(pair[1].protocol, first=5, normalisation="transductive"))
    with pytest.raises(InputError) as error:
        compare(pair[0], pair[1], other)
    text = str(error.value)
    assert text.startswith("pixels and maml are not tested on the same episodes in the same way (")
    assert "(first: 0 against 5; normalisation: inductive against transductive)" in text and text.endswith(SAME)


def test_other_steps_are_a_property_of_the_learner(pair):
    steps = [replace(one.protocol, adaptation_steps=n) for n, one in enumerate(pair)]
    refuse_unlike("a", steps[0], "b", steps[1], "")
    row = Row(replace(pair[1], protocol=steps[1]), None)
    assert row.to_json()["adaptation_steps"] == 1


def test_steps_are_called_as_all_rows_call_theirs(pair):
    stepping = [replace(one, protocol=replace(one.protocol, adaptation_steps=1)) for one in pair]
    trial = replace(stepping[1], step_name="episode")
    assert compare(pair[0], trial).step_name == "episode" and compare(*pair).step_name == "inner step"
    assert compare(stepping[0], trial).step_name == "step"


def test_what_is_not_measured_on_as_many_episodes_is_no_pair(pair):
    short = replace(pair[1], scores=pair[1].scores[:-1])
    with pytest.raises(InputError, match="the same tasks, got 49 and 50"):
        compare(pair[0], short)


def test_a_number_without_a_value_stays_without(pair):
    broken = replace(pair[1], scores=pair[1].scores * math.nan)
    row = compare(pair[0], broken).rows[1]
    assert row.difference is not None and math.isnan(row.difference.mean)
    assert json.dumps(row.to_json(), allow_nan=False)


def test_other_data_under_the_same_names_are_not_compared():
    tests = []
    for data in (tiny.pool().data, tiny.pool().data.flip(-1)):
        sampler = replace(tiny.sampler(), pool=replace(tiny.pool(), data=data))
        tests.append(meta_test(NearestCentroid(), {}, sampler, 4, quiet=True))
    with pytest.raises(InputError, match=r"not tested on the same episodes in the same way \(data: "):
        compare(*tests)
    about = dict(tests[0].protocol.sampler)
    del about["data"], about["draws"]
    old = replace(tests[0], learner="old", protocol=replace(tests[0].protocol, sampler=about))
    with pytest.raises(InputError, match=r"of old is of an earlier release.*renew it by `innerloop test RUN`"):
        compare(tests[0], old)
    with pytest.raises(InputError, match=r"of old and of older is of an earlier release"):
        compare(old, replace(old, learner="older"))
    assert compare(old).rows
    assert comparable([old, tests[0], old, tests[0]], lambda one: one) == [[old], [tests[0], tests[0]], [old]]
