import json
from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.engine import checkpoint
from innerloop.report.report import write_comparison
from innerloop.runs import build
from innerloop.runs.compare import CompareOptions, compare_runs
from innerloop.runs.measure import MetaTestOptions, measure
from tests.report.test_report import Page
from tests.runs.test_build import small

FEW = CompareOptions(episodes=6, queries=3)


@pytest.fixture
def runs(tmp_path):
    """Three learners on digits, 2 ways."""
    for name in ("protonet", "maml", "nearest_centroid"):
        build(small(name)).meta_train(tmp_path / name)
    return [tmp_path / name for name in ("protonet", "maml", "nearest_centroid")]


def test_all_on_the_same_tasks(runs):
    messages = []
    comparison = compare_runs(runs, FEW, progress=messages.append)
    assert [row.result.learner for row in comparison.rows] == ["protonet", "maml", "nearest_centroid"] and len(
        messages
    ) == 3
    assert len({row.result.protocol.hash for row in comparison.rows}) == 1
    first = comparison.rows[0]
    for row in comparison.rows[1:]:
        gap = row.result.scores - first.result.scores
        assert row.difference is not None and row.difference.mean == pytest.approx(gap.mean().item())
        assert row.difference.ci95 == pytest.approx(1.96 * gap.std().item() / 6**0.5)
    for row, path in zip(comparison.rows, runs, strict=True):
        _, params = checkpoint.load(path)
        assert row.cost is not None and row.cost.memory is not None
        assert row.cost.parameters == sum(v.numel() for v in params.values()) and row.cost.memory > 0
    table = str(comparison).splitlines()
    assert " ".join(table[0].split()) == "run learner accuracy against protonet ms a task MB a task parameters"
    assert len(table) == 2 + 3 + 2 and "thread for each task" in table[-1] and "*" not in str(comparison)
    assert json.loads(json.dumps(comparison.to_json()))["rows"][1]["difference"]["ci95"] >= 0


def test_what_is_known_is_not_measured_again(runs):
    measure(runs[0], MetaTestOptions(episodes=6, queries=3, baselines=False))
    messages = []
    comparison = compare_runs(runs[:2], FEW, progress=messages.append)
    assert len(messages) == 1 and "maml" in messages[0]
    assert [row.stored for row in comparison.rows] == [True, False] and "*: measured earlier" in str(comparison)
    again = compare_runs(runs[:2], FEW, progress=messages.append)
    assert len(messages) == 1 and all(row.stored for row in again.rows)
    assert all(torch.equal(a.result.scores, b.result.scores) for a, b in zip(comparison.rows, again.rows, strict=True))
    compare_runs(runs[:2], replace(FEW, again=True), progress=messages.append)
    assert len(messages) == 3


def test_the_curve_may_be_left_out(runs):
    plain = MetaTestOptions(episodes=4, queries=3, baselines=False)
    full, short = measure(runs[1], plain).result, measure(runs[1], replace(plain, curve=False)).result
    assert full.curve is not None and short.curve is None
    assert full.protocol == short.protocol and torch.equal(full.scores, short.scores)


def test_a_result_of_other_parameters_does_not_count(runs):
    compare_runs(runs[:1], FEW)
    learner, params = checkpoint.load(runs[0])
    checkpoint.save_params(runs[0], learner, {k: v + 0.1 for k, v in params.items()})
    assert not compare_runs(runs[:1], FEW).rows[0].stored


def test_files_are_checked_as_runs_are(runs):
    measure(runs[0], MetaTestOptions(episodes=6, queries=3))
    own, baseline = (next(runs[0].glob(f"test-*{label}.json")) for label in ("[0-9a-f]", "-untrained"))
    learner, params = checkpoint.load(runs[0])
    checkpoint.save_params(runs[0], learner, {k: v + 0.1 for k, v in params.items()})
    found = compare_runs([own, baseline], FEW)
    first, second = found.rows
    assert first.result.learner == f"{own.name} (of other parameters than the run has now)"
    assert second.result.learner == f"{baseline.name} (baseline)" and second.warning is None
    assert f"attention: {first.warning}" in str(found) and "`innerloop test" in str(found)
    rows = found.to_json()["rows"]
    assert [row["baseline"] for row in rows] == [None, "untrained"] and rows[0]["warning"] == first.warning
    own.write_text(own.read_text().replace(": 6,", ": 7,"))
    with pytest.raises(InputError, match="was edited"):
        compare_runs([own, baseline], FEW)


def test_an_edited_result_of_a_run_is_measured_again(runs):
    true = measure(runs[0], MetaTestOptions(episodes=6, queries=3, baselines=False))
    content = json.loads(true.file.read_text())
    for edits in ({"scores": [1.0] * 6}, {"scores": [1.0] * 6, "digest": None}):
        true.file.write_text(json.dumps(content | edits))
        (row,) = compare_runs(runs[:1], FEW).rows
        assert not row.stored and torch.equal(row.result.scores, true.result.scores)


def test_baselines_stand_below(runs):
    comparison = compare_runs(runs[:2], replace(FEW, baselines=True))
    names = ["protonet", "maml", "pixels, nearest centroid", "protonet, untrained", "maml, untrained"]
    assert [row.result.learner for row in comparison.rows] == names
    costs = [row.cost for row in comparison.rows if row.cost is not None]
    assert [cost.parameters > 0 for cost in costs] == [True, True, False, True, True]


def test_stored_results_alone_or_beside_runs(runs):
    compare_runs(runs[:2], FEW)
    files = [next(run.glob("test-*.json")) for run in runs[:2]]
    comparison = compare_runs(files, FEW)
    assert [row.result.learner for row in comparison.rows] == [
        f"{run.name}/{file.name}" for run, file in zip(runs, files, strict=False)
    ]
    assert all(row.stored and row.cost is None for row in comparison.rows) and "–" not in str(comparison)
    mixed = compare_runs([files[0], runs[1]], FEW)
    assert mixed.rows[1].difference == comparison.rows[1].difference and "–" in str(mixed)


def test_unlike_tasks_are_refused_before_anything_is_tested(runs, tmp_path):
    usual = small("protonet")
    other = build(replace(usual, task=replace(usual.task, shots=2)))
    other.meta_train(tmp_path / "other")
    with pytest.raises(InputError, match=r"protonet and other .*shots: 1 against 2.*--shots"):
        compare_runs([runs[0], tmp_path / "other"], FEW)
    assert not list(tmp_path.glob("*/test-*.json"))
    assert len(compare_runs([runs[0], tmp_path / "other"], replace(FEW, shots=2)).rows) == 2
    file = next(runs[0].glob("test-*.json"))
    with pytest.raises(InputError, match="episodes: 6 against 5"):
        compare_runs([file, runs[1]], replace(FEW, shots=2, episodes=5))


def test_the_page(runs, tmp_path):
    comparison = compare_runs(runs, FEW)
    page = Page(write_comparison(tmp_path / "new" / "page.html", comparison, "innerloop compare <a> b").read_text())
    for words in (
        "How it was measured",
        "protonet",
        "ProtoNet",
        "MB a task",
        "Do it again",
        "<a> b",
        comparison.protocol.hash,
    ):
        assert words in page.words
    outside = [
        v for tag, attrs in page.seen for k, v in attrs.items() if k in ("src", "href") and not str(v).startswith("#")
    ]
    assert not outside, "one file that needs nothing else"
    assert any(tag == "svg" for tag, _ in page.seen)
