import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from innerloop.cli.main import VERBS, main
from innerloop.learners import catalogue
from innerloop.nn.mlp import MLP
from tests.cli.conftest import SMALL


def printed(capsys) -> list:
    """The JSON values on standard output, one a line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "usage: innerloop" in capsys.readouterr().out


@pytest.mark.parametrize("learner", catalogue())
@pytest.mark.parametrize("data", ["kanji", "sinusoid"])
def test_help_documents_every_hyper_parameter_without_drawing_data(learner, data, capsys):
    from innerloop.runs.defaults import hyper_parameters

    assert main(["train", learner, "--data", data, "--help"]) == 0
    said = capsys.readouterr().out
    for name in [*hyper_parameters(catalogue()[learner]), "meta_lr", "shots", "out"]:
        assert f"--{name.replace('_', '-')}" in said
    for name in ("ways", "width", "unsupervised"):
        assert (f"--{name}" in said) == (data == "kanji"), "options of other kinds are not shown"


def test_help_is_there_before_torch_is():
    code = "import sys; from innerloop.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_mistake_in_a_name_is_told_before_torch_is_there():
    verbs = ("show", "predict", "evaluate", "suggest", "add", "drop", "undo", "export", "watch")
    more = {
        "predict": ["a"],
        "suggest": ["a"],
        "add": ["a"],
        "drop": ["a"],
        "export": ["--out", "a.onnx"],
        "watch": ["--input", "a"],
    }
    words = [[verb, "missing.fewshot", *more.get(verb, [])] for verb in verbs]
    words += [[verb] for verb in verbs] + [
        ["adapt", "minilmm", "a", "--out", "b"],
        ["adapt", "runs/none", "a"],
        ["shw"],
        *([verb, "runs/none"] for verb in ("test", "compare", "verify", "follow")),
    ]
    code = f"""
import sys
from innerloop.cli.main import main
sys.exit([main(one) for one in {words}] != [2] * {len(words)} or "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "did you mean 'minilm'" in done.stderr and done.stderr.count("missing.fewshot does not exist") == len(verbs)


def test_what_there_is_is_listed_again_without_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    code = "import sys; from innerloop.cli.main import main; main({words}); sys.exit('torch' in sys.modules)"
    wrong = code.format(words=["train", "protonett"])
    code = code.format(words=["list", "--json"])
    first, again = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert (
        (first.returncode, again.returncode) == (1, 0) and first.stdout == again.stdout and "protonet" in again.stdout
    )
    misspelt = subprocess.run([sys.executable, "-c", wrong], capture_output=True, text=True)
    assert misspelt.returncode == 0 and "did you mean 'protonet'" in misspelt.stderr


def test_memory_is_kept_before_torch_is_there():
    code = """
import sys
from innerloop.cli.main import main
from innerloop.core import allocator
seen = []
allocator.keep_memory = lambda: seen.append("torch" in sys.modules)
sys.exit(main(["list", "--help"]) or seen != [False])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_usage(capsys):
    assert main([]) == 2 and main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)
    assert main(["train"]) == 2 and main(["test"]) == 2
    assert main(["train", "protonet", "--stepz", "3"]) == 2
    assert "--steps" in capsys.readouterr().err
    assert main(["train", "protonet", "--steps", "many"]) == 2
    assert main(["train", "protonet", "--meta-batch-size", "0"]) == 2


def test_a_run_goes_from_training_to_answers(run, pictures, tmp_path, capsys):
    assert main(["train", "protonet", *SMALL, "--out", str(run), "--json"]) == 0, "a finished run is left as it is"
    assert printed(capsys)[0]["run"] == str(run)

    assert main(["test", str(run), "--episodes", "10", "--json"]) == 0
    (found,) = printed(capsys)
    assert 0 <= found["mean"] <= 1 and found["protocol"]["sampler"]["ways"] == 3
    assert [b["learner"] for b in found["baselines"]] == ["pixels, nearest centroid", "ProtoNet, untrained"]
    assert (run / f"test-{found['hash']}.json").exists() and "innerloop train protonet" in (
        run / "report.html"
    ).read_text()

    assert main(["adapt", str(run), str(pictures), "--out", str(tmp_path / "mine.fewshot"), "--json"]) == 0
    assert printed(capsys)[0]["examples"] == {"bar": 1, "post": 2}

    file = str(tmp_path / "mine.fewshot")
    assert main(["predict", file, str(pictures / "bar"), str(pictures / "post" / "1.png"), "--json"]) == 0
    first, second = printed(capsys)
    assert first["path"].endswith("0.png") and first["class"] == "bar" and second["class"] == "post"
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert main(["predict", file, str(pictures / "bar")]) == 0
    assert "bar" in capsys.readouterr().out


def test_how_a_run_is_tested_can_be_changed(run, capsys):
    changes = [
        "--transductive",
        "--ways",
        "2",
        "--shots",
        "3",
        "--queries",
        "4",
        "--split",
        "validation",
        "--no-baselines",
    ]
    assert main(["test", str(run), "--episodes", "5", "--json", *changes]) == 0
    (found,) = printed(capsys)
    sampler = found["protocol"]["sampler"]
    assert (sampler["ways"], sampler["shots"], sampler["queries"], sampler["split"]) == (2, 3, 4, "validation")
    assert found["protocol"]["normalisation"] == "transductive" and found["baselines"] == []
    assert main(["test", str(run), "--episodes", "5"]) == 0
    assert "±" in capsys.readouterr().out


def test_a_folder_is_tested_whole(run, pictures, capsys):
    words = ["--data", str(pictures), "--ways", "2", "--shots", "1", "--queries", "1", "--episodes", "3"]
    assert main(["test", str(run), *words]) == 2, "bar has one picture"
    assert "'bar' has 1" in capsys.readouterr().err
    (pictures / "bar" / "1.png").write_bytes((pictures / "bar" / "0.png").read_bytes())
    assert main(["test", str(run), *words, "--json"]) == 0
    assert printed(capsys)[0]["protocol"]["sampler"]["dataset"] == "pictures"


def test_regression(tmp_path, capsys):
    out = str(tmp_path / "s")
    assert main(["train", "maml", "--data", "sinusoid", "--steps", "2", "--out", out]) == 0
    capsys.readouterr()
    assert main(["test", out, "--episodes", "4", "--steps", "3", "--json"]) == 0
    (found,) = printed(capsys)
    assert found["protocol"]["metric"] == "mse" and len(found["curve"]) == 4


def test_verification(twins, capsys):
    words = ["verify", str(twins), "--ways", "2", "--episodes", "5"]
    assert main([*words, "--json"]) == 0
    (found,) = printed(capsys)
    assert found["pairs"] == 20 and 0 <= found["accuracy"]["mean"] <= 1 and found["sampler"]["split"] == "test"
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "AUC" in said and "20 pairs from 5 episodes of test classes" in said


def test_comparison(run, tmp_path, capsys):
    names = []
    for name, *more in (["simple_shot"], ["linear_probe", "--iterations", "5"], ["multi_task"]):
        names.append(str(tmp_path / name))
        assert main(["train", name, *SMALL, *more, "--out", names[-1], "--json"]) == 0
    l2 = [*SMALL[:4], "--steps", "0", "--width", "4", "--transform", "l2", "--out", str(tmp_path / "l2")]
    capsys.readouterr()
    assert main(["train", "simple_shot", *l2, "--start", names[0]]) == 0
    out, err = capsys.readouterr()
    assert "simple_shot: 0 steps" in out and f"begun with {names[0]}" in err
    words = ["compare", str(run), *names, str(tmp_path / "l2"), "--episodes", "4", "--queries", "2"]
    assert main([*words, "--json", "--html", str(tmp_path / "page.html")]) == 0
    (found,) = printed(capsys)
    assert [row["learner"] for row in found["rows"]] == [
        "ProtoNet",
        "SimpleShot",
        "LinearProbe",
        "MultiTask",
        "SimpleShot",
    ]
    assert f"innerloop compare {run}" in (tmp_path / "page.html").read_text()
    assert main([*words, "--baselines"]) == 0
    said = capsys.readouterr().out
    assert "against p" in said and "pixels, nearest centroid" in said and "MB a task" in said


def test_tasks_of_other_kinds(tmp_path, capsys):
    out = str(tmp_path / "u")
    assert main(["train", "protonet", *SMALL, "--unsupervised", "--train-ways", "9", "--out", out]) == 0
    few = ["--episodes", "4", "--queries", "2", "--json"]
    capsys.readouterr()
    assert main(["test", out, *few, "--ways", "2", "--unlabelled", "2", "--distractors", "1"]) == 0
    (found,) = printed(capsys)
    assert found["protocol"]["sampler"]["unlabelled"] == 2 and found["protocol"]["sampler"]["distractors"] == 1
    assert main(["train", "protonet", *SMALL, "--unlabelled", "2", "--out", str(tmp_path / "l")]) == 0


def test_audit(run, capsys, monkeypatch):
    assert main(["audit", str(run), "--json"]) == 0
    assert printed(capsys)[0]["passed"]

    from innerloop.learners.metric.protonet import ProtoNet

    honest = ProtoNet.predict

    def peeking(self, params, adapted, x):
        return honest(self, params, adapted, x) + x.mean()

    monkeypatch.setattr(ProtoNet, "predict", lambda self, p, a, x: peeking(self, p, a, x) * (1 + x.mean()))
    assert main(["audit", "protonet", "--data", "digits"]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_audit_of_a_network_of_ones_own(run, capsys):
    small = ["--data", "digits", "--ways", "3", "--plans", "vmap", "--json"]
    assert main(["audit", "tests.runs.own:Net", *small]) == 0
    (found,) = printed(capsys)
    rows = {check["name"]: check for check in found["checks"]}
    assert rows["meta-gradient"]["details"]["order"] == 2 and rows["meta-gradient"]["figure"] < 1e-4
    assert rows["plan vmap"]["passed"] and rows["plan vmap"]["details"]["milliseconds"] > 0
    assert main(["audit", "tests.runs.own:Detached", *small]) == 1
    assert main(["audit", "tests.runs.own:features", *small]) == 2
    assert "--learner protonet" in capsys.readouterr().err
    assert main(["audit", str(run), "--ways", "3"]) == 2
    assert "leave out --ways" in capsys.readouterr().err


def test_data_and_list(capsys):
    assert main(["data", "digits", "--episodes", "10", "--json"]) == 0
    (found,) = printed(capsys)
    assert found["splits"]["test"]["classes"] == 3 and 0 < found["pixels"]["mean"] < 1
    assert main(["data", "digits", "--episodes", "10"]) == 0
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["learners"]) == set(catalogue()) and "kanji" in found["data"]
    assert main(["list"]) == 0


def test_a_map_of_classes(tmp_path, capsys):
    page = tmp_path / "map.html"
    asked = ["data", "digits", "--episodes", "2", "--map", str(page)]
    assert main([*asked, "--json"]) == 0
    (about,) = printed(capsys)
    assert 0 <= about["map"]["difficulty"] <= 0.5 and len(about["map"]["classes"]) == 3
    assert f"innerloop data digits --map {page}" in page.read_text()
    assert main(asked) == 0
    assert f"difficulty {about['map']['difficulty']:.2f}" in capsys.readouterr().out
    for more, words in (
        (["data", "digits", "--map", str(tmp_path / "map.svg")], ".html or as .png"),
        (["data", "digits", "--map", str(tmp_path / "none" / "map.png")], "there is no folder"),
        (["data", "digits", "--features", "kanji-protonet"], "--map map.html"),
        ([*asked, "--features", "kanji-maml"], "has no encoder"),
        ([*asked, "--features", "nothing"], "there is no run folder"),
        ([*asked, "--features", "kanji-protonet"], "takes other examples than those of digits, which are [1, 8, 8]"),
    ):
        assert main(more) == 2
        assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["map.html"]


def test_an_interrupted_run_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    from innerloop.engine import Interrupted
    from innerloop.runs.run import Run

    def stopped(self, out=None, watchers=()):
        raise Interrupted(7)

    monkeypatch.setattr(Run, "meta_train", stopped)
    assert main(["train", "protonet", *SMALL, "--out", str(tmp_path / "r")]) == 130
    assert "saved at step 7; the same command resumes" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class OwnMLP(MLP):
    """A network of somebody's own."""


def test_a_run_with_a_network_of_ones_own_is_tested_once_it_is_allowed(run, tmp_path, capsys, refused):
    own = shutil.copytree(run, tmp_path / "own")
    config = (own / "config.json").read_text()
    (own / "config.json").write_text(config.replace("innerloop.nn.mlp:MLP", f"{OwnMLP.__module__}:OwnMLP"))
    refused("test", own, "--episodes", 5, says="--allow tests")
    scores = []
    for command in ([str(run)], [str(own), "--allow", "tests"]):
        assert main(["test", *command, "--episodes", "5", "--json"]) == 0
        scores.append(printed(capsys)[0]["mean"])
    assert scores[0] == scores[1]
    assert main(["compare", str(run), str(own), "--episodes", "5", "--allow", "tests"]) == 0
