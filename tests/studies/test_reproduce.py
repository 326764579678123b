"""Suites of runs on sinusoids that take a second each: what is trained, what goes on, and what the table says of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from innerloop.core.errors import FailedError, InputError
from innerloop.evaluate.result import Result
from innerloop.runs.paper import Figure, Row
from innerloop.studies import reproduce as module
from innerloop.studies.reproduce import OUTCOME, SuiteOptions, jobs, reproduce
from innerloop.studies.reproductions import listed, table_of, write_table
from innerloop.studies.workers import claimed

FEW = SuiteOptions(rows=("maml-5s", "meta_sgd-5s"), seeds=(0, 1), minutes=0.01, episodes=6)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Two rows, two seeds."""
    out = tmp_path_factory.mktemp("suites") / "s"
    heard: list[str] = []
    reproduce("sinusoid", FEW, out, progress=heard.append)
    return out, heard


def test_every_row_and_seed_is_a_run_of_its_own(suite):
    out, heard = suite
    every = jobs("sinusoid", FEW, out)
    assert [(job.row.name, job.seed) for job in every] == [(n, s) for s in (0, 1) for n in FEW.rows]
    assert len(heard) == 4 and heard[0].startswith("1 of 4: maml-5s, seed 0: ")
    for job in every:
        outcome, config = job.outcome, json.loads((job.folder / "config.json").read_text())
        assert outcome is not None and outcome["steps"] > 0 and outcome["reason"] is None
        assert config["train"]["seed"] == job.seed and config["train"]["cpu_minutes"] == 0.01
        fair, paper = (Result.load(job.folder / outcome["tests"][name]).protocol for name in ("fair", "paper"))
        assert fair.sampler["queries"] == 100 and paper.sampler["queries"] == 5
        assert fair.episodes == paper.episodes == 6


def test_what_is_finished_is_not_trained_again(suite, monkeypatch):
    out, _ = suite
    before = [(job.folder / OUTCOME).read_text() for job in jobs("sinusoid", FEW, out)]
    monkeypatch.setattr(module, "attempt", lambda *_: pytest.fail("it was trained again"))
    reproduce("sinusoid", FEW, out)
    assert [(job.folder / OUTCOME).read_text() for job in jobs("sinusoid", FEW, out)] == before


def test_a_run_that_was_trained_is_only_tested(suite, tmp_path, monkeypatch):
    options, out = replace(FEW, rows=("maml-5s",), seeds=(4,)), tmp_path / "s"
    (job,) = reproduce("sinusoid", options, out)
    before = (job.folder / "params.safetensors").read_bytes()
    (job.folder / OUTCOME).unlink()
    monkeypatch.setattr("innerloop.engine.train._Training.advance", lambda *_: pytest.fail("it was trained again"))
    reproduce("sinusoid", options, out)
    assert job.outcome is not None and (job.folder / "params.safetensors").read_bytes() == before


def test_the_table_has_every_row_and_says_what_was_not_run(suite):
    table = table_of("sinusoid", FEW, suite[0])
    lines = {line.split("|")[1].strip(): line for line in str(table).splitlines() if line.startswith("| ")}
    assert "not run | not run | not run | 0.77 ± 0.11 [" in lines["maml-10s"] and lines["maml-10s"].endswith("| – |")
    ours = table.lines[0].fair
    assert ours is not None and ours.cells[2] in lines["maml-5s"] and ours.spread is not None
    assert "100 tasks" not in lines["maml-5s"] and "(6 tasks, 5 points, 1 inner step)" in lines["maml-5s"]
    assert "from memory, not looked up" in str(table) and "read in a public note" in str(table)
    assert "--minutes 0.01 --episodes 6 --seeds 0 1`: 4 of 12 trainings" in str(table)
    dated = [
        line._replace(outcomes=tuple({**o, "date": f"2020-02-0{1 + i}"} for i, o in enumerate(line.outcomes)))
        for line in table.lines
    ]
    assert ". 1 February 2020 to 2 February 2020, " in str(table._replace(lines=tuple(dated)))
    many = table._replace(options=replace(FEW, episodes=2_000_000))
    assert "--episodes 2000000 " in str(many)
    rows = {row["row"]: row for row in table.to_json()["rows"]}
    assert rows["maml-5s"]["fair"]["mean"] == pytest.approx(sum(ours.means) / 2) and rows["maml-10s"]["fair"] is None
    assert rows["reptile-5s"]["paper"] is None and rows["maml-5s"]["cpu_hours"] > 0


def test_a_gap_is_explained_or_open(suite):
    (line, *_), options = table_of("sinusoid", FEW, suite[0]).lines, FEW
    assert line.as_paper is not None
    ours = line.as_paper.tasks.mean

    def why(value: float, **changes: object) -> str:
        row = replace(line.row, paper=Figure(value, None, "here", "a book"), **changes)
        return line._replace(row=row).why(options)

    assert why(ours).endswith("within the intervals")
    assert why(10 * ours + 100).endswith("ours is better")
    assert "training tasks, the full size has 1,750,000" in why(-100.0)
    as_long = replace(line.row.full, train=replace(line.row.full.train, steps=1))
    assert why(-100.0, full=as_long).endswith(": open")
    assert line._replace(row=replace(line.row, paper=None)).why(options) == "the paper has no number"
    assert line._replace(as_paper=None).why(options) == "not run"
    recalled = replace(line.row, paper=Figure(ours, None, "here", None))
    assert " to a number from memory: " in line._replace(row=recalled).why(options)


def test_the_table_takes_the_place_of_an_earlier_one(suite, tmp_path):
    page, table = tmp_path / "docs" / "page.md", table_of("sinusoid", FEW, suite[0])
    write_table(page, table)
    first = page.read_text()
    assert first.startswith("# Reproductions") and first.count("## sinusoid") == 1
    page.write_text("My own words.\n\n" + first + "\nAnd these.\n")
    write_table(page, table_of("clinc150", replace(FEW, rows=()), tmp_path / "nothing"))
    write_table(page, table)
    text = page.read_text()
    assert text.startswith("My own words.") and text.count("## sinusoid") == text.count("## clinc150") == 1
    assert text.index("And these.") < text.index("## clinc150") and str(table) in text
    page.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(InputError, match="name another file by --table"):
        write_table(page, table)
    assert page.read_bytes() == b"\xff\xfe\xfd"


def test_a_training_that_diverges_is_said_and_the_others_go_on(tmp_path, monkeypatch):
    train, begun = Row.run, time.process_time()

    def run(self, budget, seed=0, *arguments):
        if seed == 0:
            while time.process_time() < begun + 0.3:
                pass
            raise FailedError("the loss is not finite at step 3")
        return train(self, budget, seed, *arguments)

    options = replace(FEW, rows=("maml-5s",))
    every = jobs("sinusoid", options, tmp_path)
    monkeypatch.setattr(Row, "run", run)
    heard: list[str] = []
    module.work(every, options, module.Context(), heard.append)
    assert "failed: the loss is not finite at step 3" in heard[0]
    table = table_of("sinusoid", options, tmp_path)
    line = table.lines[0]
    assert line.outcomes[0]["test_cpu_seconds"] == 0 and line.outcomes[0]["cpu_seconds"] > 0, "counted once"
    assert line.fair is not None and len(line.fair.results) == 1 and ", 1 failed |" in str(table)
    assert line.to_json(options)["failed"] == ["the loss is not finite at step 3"]


def test_another_process_has_it(tmp_path):
    with claimed(tmp_path / "run") as mine:
        assert mine
        code = "import sys; from pathlib import Path; from innerloop.studies.workers import claimed\n"
        code += f"with claimed(Path({str(tmp_path / 'run')!r})) as mine: print(mine)"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert said == ("False\n" if os.name != "nt" else "True\n")
    with claimed(tmp_path / "run") as mine:
        assert mine


def test_what_is_refused(suite, tmp_path, monkeypatch):
    out = suite[0]
    for options, says in (
        (replace(FEW, minutes=1.0), "their minutes 0.01, not 1.0. Ask for the same"),
        (replace(FEW, budget="paper", seeds=(7,)), "their budget cpu-hour, not paper"),
        (replace(FEW, episodes=None, seeds=(7,)), "their episodes 6, not 400"),
        (replace(FEW, seeds=(1, 1)), "seed 1 is given twice"),
        (replace(FEW, seeds=()), "no seed is given"),
        (replace(FEW, rows=("mamml",)), "did you mean 'maml'"),
    ):
        options = replace(options, seeds=options.seeds if options.seeds != FEW.seeds else (8,))
        with pytest.raises(InputError, match=says):
            reproduce("sinusoid", options, out)
    monkeypatch.setattr(Row, "run", lambda *_: pytest.fail("data were read before the folder was looked at"))
    with pytest.raises(InputError, match="their suite sinusoid, not clinc150"):
        reproduce("clinc150", replace(FEW, rows=()), out)
    with pytest.raises(InputError, match="is a run by itself"):
        reproduce("sinusoid", replace(FEW, seeds=(9,)), out / "maml-5s" / "seed-0")
    with pytest.raises(InputError, match="workers must be a whole number of at least"):
        SuiteOptions(workers=0)
    (tmp_path / "suite.json").write_text("[")
    with pytest.raises(InputError, match="is damaged: remove it"):
        reproduce("sinusoid", FEW, tmp_path)


def test_data_that_are_not_there_are_told_before_anything_is_written(tmp_path):
    out, here = tmp_path / "s", tmp_path / "empty"
    here.mkdir()
    with pytest.raises(InputError, match="clinc150"):
        reproduce("clinc150", SuiteOptions(), out, module.Context(data_root=here, cache=here))
    assert not out.exists()


def test_rows_are_listed():
    rows = [job.row for job in jobs("sinusoid", FEW, "nowhere")][:1]
    (one,) = listed(rows)
    assert str(one).startswith("maml-5s\n  paper: 1.13 ± 0.18 (Li et al. 2017, table 1: read in")
    assert "trained: 2 processor minutes, at most 70,000 steps of 25 tasks (cpu-hour); 70,000 steps" in str(one)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills process groups")
def test_a_suite_killed_again_and_again_ends_with_every_training(tmp_path):
    out, draws = tmp_path / "s", random.Random(7)
    words = ["reproduce", "sinusoid", "--rows", "maml", "meta_sgd-5s", "--seeds", "0", "1", "--minutes", "0.05"]
    words += ["--episodes", "6", "--workers", "2", "--out", str(out), "--table", str(tmp_path / "table.md"), "--json"]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    code = "import sys; from innerloop.cli.main import main; sys.exit(main(sys.argv[1:]))"

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)

    for _ in range(2):
        process = start()
        deadline = time.monotonic() + 120
        before = len(list(out.glob("*/*/config.json")))
        while len(list(out.glob("*/*/config.json"))) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draws.uniform(0.2, 3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    options = SuiteOptions(rows=("maml", "meta_sgd-5s"), seeds=(0, 1), minutes=0.05, episodes=6)
    assert any(job.outcome is None for job in jobs("sinusoid", options, out)), "it was killed while there was work"
    process = start()
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0
    for job in jobs("sinusoid", options, out):
        outcome = job.outcome
        assert outcome is not None and outcome["reason"] is None
        lines = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "loss" in line] == list(range(1, outcome["steps"] + 1))
    rows = {row["row"]: row for row in json.loads(printed)["rows"]}
    assert rows["maml-5s"]["fair"]["seeds"] == [0, 1] and rows["reptile-5s"]["gap"] == "not run"
