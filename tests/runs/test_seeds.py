import csv
import json
from dataclasses import replace

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import FailedError, InputError
from innerloop.report.report import write_comparison
from innerloop.runs.compare import CompareOptions, compare_runs
from innerloop.runs.run import Run
from innerloop.runs.seeds import runs_of, train_seeds
from tests.runs.test_build import small

FEW = CompareOptions(episodes=6, queries=3)
WORDS = ["train", "protonet", "--data", "digits", "--ways", "2", "--steps", "2", "--width", "4", "--plan", "loop"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two learners, with three seeds and with two."""
    out = tmp_path_factory.mktemp("seeds")
    train_seeds(small("protonet"), (0, 1, 10), out / "p")
    train_seeds(small("maml"), (0, 1), out / "m")
    return out


def test_every_seed_is_a_run_of_its_own(folder):
    assert [run.name for run in runs_of(folder / "p")] == ["seed-0", "seed-1", "seed-10"]
    assert runs_of(folder / "p" / "seed-0") == runs_of(folder) == []


def test_asked_again_they_go_on(tmp_path, monkeypatch):
    train, asked = Run.meta_train, []

    def dying(self, out, watchers=()):
        asked.append(out.name)
        if self.config.seed == 1 and asked.count("seed-1") == 1:
            raise FailedError("its loss is not finite")
        return train(self, out, watchers)

    monkeypatch.setattr(Run, "meta_train", dying)
    first = train_seeds(small("protonet"), (0, 1, 2), tmp_path)
    assert [one.error is None for one in first] == [True, False, True]
    again = train_seeds(small("protonet", steps=3), (0, 1, 2), tmp_path)
    assert [one.steps for one in again] == [3, 3, 3] and not any(one.error for one in again)


def test_where_all_fail_it_fails(tmp_path):
    with pytest.raises(InputError, match="given twice"):
        train_seeds(small("protonet"), (1, 1), tmp_path)
    with pytest.raises(InputError, match="ways"):
        train_seeds(replace(small("maml"), task=small("maml").task.changed({"ways": 40})), (0, 1), tmp_path)


def test_runs_that_differ_in_their_seed_alone_are_summed_up(folder):
    comparison = compare_runs([folder / "p", folder / "m"], FEW)
    p, m = comparison.groups
    assert (p.name, m.name, p.seeds, m.seeds) == ("p", "m", (0, 1, 10), (0, 1))
    assert [row.result.learner for row in comparison.rows][:3] == ["p/seed-0", "p/seed-1", "p/seed-10"]
    means = [row.result.mean for row in comparison.rows]
    assert p.tasks.mean == pytest.approx(sum(means[:3]) / 3) and p.spread is not None
    assert m.difference is not None and m.difference.mean == pytest.approx(m.tasks.mean - p.tasks.mean)
    assert m.over_seeds is not None and "between seeds" in str(comparison)
    assert json.loads(json.dumps(comparison.to_json()))["groups"][0]["runs"] == ["p/seed-0", "p/seed-1", "p/seed-10"]
    page = write_comparison(folder / "page.html", comparison).read_text()
    assert "Several seeds" in page
    loose = compare_runs([folder / "m" / "seed-1", *runs_of(folder / "p")[:2]], FEW)
    assert [(g.name, len(g.results)) for g in loose.groups] == [("m/seed-1", 1), ("p", 2)]
    alone = compare_runs([folder / "m" / "seed-1"], replace(FEW, baselines=True))
    assert not alone.seeded and "groups" not in alone.to_json() and "between seeds" not in str(alone)


def test_the_command_line_trains_and_compares_them(tmp_path, capsys):
    out = tmp_path / "p"
    assert main([*WORDS, "--seeds", "0", "1", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["steps"] for one in found["runs"]] == [2, 2]
    (out / "seed-1" / "state.pt").write_bytes(b"damaged")
    assert main([*WORDS, "--seeds", "0", "1", "--out", str(out)]) == 1
    told = capsys.readouterr()
    assert "seed 0: 2 steps" in told.out and "seed-1: " in told.err
    assert main([*WORDS, "--seeds", "0", "1", "--seed", "3", "--out", str(out)]) == 2
    assert main(["test", str(out)]) == 2 and "holds runs of several seeds" in capsys.readouterr().err
    table, paper = tmp_path / "a.csv", tmp_path / "a.tex"
    words = ["compare", str(out / "seed-0"), "--episodes", "6", "--csv", str(table), "--latex", str(paper)]
    assert main(words) == 0
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert (row["kind"], row["name"], row["seed"]) == ("run", "seed-0", "0") and 0 <= float(row["mean"]) <= 1
    assert r"\toprule" in paper.read_text()
