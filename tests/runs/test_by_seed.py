"""Groups of runs that differ in their seed alone: judged together, with how they learned."""

import csv
import json

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.engine.metrics import read_metrics
from innerloop.runs import build
from innerloop.runs.compare import CompareOptions, compare_runs
from tests.runs.test_build import small

FEW = CompareOptions(episodes=6, queries=3, by="seed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two learners on digits with two seeds each, and one with one."""
    folder = tmp_path_factory.mktemp("runs")
    from dataclasses import replace

    for name, seeds in (("protonet", (0, 1)), ("maml", (0, 1)), ("anil", (0,))):
        for seed in seeds:
            options = small(name)
            train = replace(options.train, seed=seed, steps=4, validate_every=2, validation_episodes=3)
            build(replace(options, train=train)).meta_train(folder / name / f"seed-{seed}")
    return folder


def test_groups_are_judged_and_their_curves_are_those_of_the_logs(runs):
    found = compare_runs([runs / "protonet", runs / "maml", runs / "anil"], FEW)
    assert [group.name for group in found.groups] == ["protonet", "maml", "seed-0"] or len(found.groups) == 3
    first, second, third = found.groups
    assert first.p is None and second.p is not None and third.p is not None
    smaller, larger = sorted((second, third), key=lambda group: group.p or 0)
    assert smaller.p_holm == pytest.approx(min(1, 2 * (smaller.p or 0))) and (larger.p_holm or 0) >= (larger.p or 0)
    assert found.learning is not None
    curve = found.learning.by_steps[1]
    logged = [read_metrics(run / "metrics.jsonl") for run in second.runs]
    means = [[e["validation"]["mean"] for e in one if "validation" in e] for one in logged]
    assert [mark.at for mark in curve.marks] == [2, 4] and curve.runs == 2
    assert [mark.mean for mark in curve.marks] == pytest.approx([sum(pair) / 2 for pair in zip(*means, strict=True)])
    by_time = found.learning.by_seconds[1]
    assert by_time.marks[-1].mean == pytest.approx(curve.marks[-1].mean)
    ends = [max(e["cpu_seconds"] for e in one if "cpu_seconds" in e) for one in logged]
    assert by_time.marks[-1].at == pytest.approx(max(ends))
    text = str(found)
    assert "p (Holm)" in text and "of one seed" in text and "ms a task" not in text


def test_every_output_has_them(runs, tmp_path, capsys):
    paths = [str(runs / "protonet"), str(runs / "maml")]
    options = ["--by", "seed", "--episodes", "6", "--queries", "3", "--json"]
    files = [str(tmp_path / name) for name in ("t.csv", "t.tex", "t.html")]
    outputs = ["--csv", files[0], "--latex", files[1], "--html", files[2]]
    assert main(["compare", *paths, *options, *outputs]) == 0
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert content["groups"][1]["p_holm"] is not None and len(content["learning"]["by_steps"][0]["points"]) == 2
    lines = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert {line["kind"] for line in lines} == {"run", "seeds", "curve by step", "curve by cpu_seconds"}
    assert (tmp_path / "t.tex").read_text().count("\\begin{tabular}") == 3
    page = (tmp_path / "t.html").read_text()
    assert "How they learned" in page and page.count("processor seconds") >= 2 and "p (Holm)" in page


def test_single_runs_are_refused_before_anything_is_tested(runs):
    with pytest.raises(InputError, match="no two of these do: train each with several"):
        compare_runs([runs / "protonet" / "seed-0", runs / "maml" / "seed-0"], FEW, progress=pytest.fail)
