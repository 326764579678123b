"""A run with several numbers of shots, by the command."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.evaluate import kept
from innerloop.evaluate.shots import ShotCurve
from innerloop.runs import build
from tests.runs.test_build import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "protonet"
    build(small("protonet")).meta_train(folder)
    return folder


def test_the_command_says_what_labels_buy(run, capsys):
    assert main(["test", str(run), "--shots", "4", "1", "2", "--queries", "3", "--episodes", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [point["shots"] for point in found["points"]] == [1, 2, 4] and len(found["gains"]) == 2
    assert found["forecast"]["shots"] == 14 and found["file"].startswith(str(run / "shots-"))
    kept = json.loads(next(run.glob("shots-*.json")).read_text())
    assert len(kept["scores"]) == 3 and len(kept["scores"][0]) == 5
    assert main(["test", str(run), "--shots", "1", "2", "--queries", "3", "--episodes", "5"]) == 0
    assert "by one label of every class" in capsys.readouterr().out
    page = (run / "report.html").read_text()
    assert page.count("How much each label buys") == 2 and "a forecast takes 3 numbers of shots" in page
    assert "Episodes</h2>" in page, "the gallery stays"


def test_what_is_kept_is_read_back_and_an_edit_is_refused(run, capsys):
    assert main(["test", str(run), "--shots", "1", "3", "--queries", "3", "--episodes", "4"]) == 0
    capsys.readouterr()
    (one,) = [one for one in kept.by_shots(run) if one.result is not None and one.result.by_shots.shots == (1, 3)]
    assert one.result is not None and one.warning is None and one.result.step is not None
    again = one.result.command(run)
    assert again.endswith("--shots 1 3") and "--queries 3" in again and again.count("--shots") == 1
    assert one.result.save(run) == one.path and ShotCurve.load(one.path).to_json() == one.result.to_json()
    content = json.loads(one.path.read_text())
    for change in ({"scores": [[1.0]]}, {"shots": [3, 3]}, {"protocol": {}}):
        one.path.write_text(json.dumps(content | change))
        (bad,) = [other for other in kept.by_shots(run) if other.path == one.path]
        assert bad.result is None and one.path.name in str(bad.warning)
    one.path.unlink()


def test_one_number_is_the_usual_test(run, capsys):
    assert main(["test", str(run), "--shots", "2", "--queries", "3", "--episodes", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["protocol"]["sampler"]["shots"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shots", "1", "1"], "given twice"),
        (["--shots", "0", "2"], "at least 1, got 0"),
        (["--shots", "1", "100000"], "need"),
        (["--shots", "1", "2", "--active", "3"], "alone: give one"),
    ],
)
def test_bad_numbers_are_usage_errors(run, options, said, capsys):
    assert main(["test", str(run), *options]) == 2
    assert said in capsys.readouterr().err
