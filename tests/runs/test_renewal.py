"""What is printed as the way to renew a result is typed, and gives what can be compared with it."""

import json
import re
import shlex

import numpy as np
import pytest
import torch

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.evaluate import compare, seal
from innerloop.evaluate.kept import results
from innerloop.evaluate.optimizer_curves import OptimizerCurves
from innerloop.evaluate.result import Result
from innerloop.runs import build
from tests.runs.test_build import small

PRINTED = re.compile(r"`(innerloop test [^`]*)`")


@pytest.fixture
def other(tmp_path):
    """Data of the size of digits that nobody was trained on; its name is no plain word."""
    path = tmp_path / "other digits.npz"
    x = np.random.default_rng(0).integers(0, 256, (160, 8, 8), dtype=np.uint8)
    np.savez(path, x=x, y=np.repeat([f"class {i}" for i in range(16)], 10))
    return path


def renew(path):
    """Edit a file, type what the refusal prints, and give the words of it."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"step": 4711}))
    load = Result.load if path.name.startswith("test-") else OptimizerCurves.load
    with pytest.raises(InputError, match="edited") as refusal:
        load(path)
    printed = PRINTED.search(str(refusal.value))
    assert printed is not None
    words = shlex.split(printed[1])
    assert main([*words[1:], "--json"]) == 0
    return words


@pytest.mark.parametrize(
    ("learner", "options"),
    [
        ("maml", ["--steps", "3", "--seed", "5", "--transductive"]),
        ("maml", ["--steps", "0", "--unlabelled", "2", "--shots", "2"]),
        ("protonet", ["--data", "OTHER", "--split", "validation", "--unlabelled", "1"]),
        ("protonet", ["--data", "OTHER", "--shots", "2", "--split", "train"]),
    ],
)
def test_the_printed_command_measures_the_same(tmp_path, other, learner, options):
    run = tmp_path / "a run"
    build(small(learner)).meta_train(run)
    options = [str(other) if word == "OTHER" else word for word in options]
    assert main(["test", str(run), *options, "--queries", "3", "--episodes", "4", "--no-baselines"]) == 0
    (path,) = run.glob("test-*.json")
    first = Result.load(path)
    renew(path)
    assert list(run.glob("test-????????????????.json")) == [path], "the same protocol has the same file"
    again = Result.load(path)
    assert compare(first, again).protocol.hash == first.protocol.hash
    assert torch.equal(first.scores, again.scores)
    assert first.protocol.adaptation_steps == again.protocol.adaptation_steps


def test_a_baseline_is_renewed_with_its_run(tmp_path, other):
    build(small("maml")).meta_train(tmp_path / "r")
    words = ["--data", str(other), "--queries", "3", "--episodes", "3", "--seed", "9"]
    assert main(["test", str(tmp_path / "r"), *words]) == 0
    for label in ("pixels", "untrained"):
        (path,) = (tmp_path / "r").glob(f"test-*-{label}.json")
        first = Result.load(path)
        renew(path)
        assert torch.equal(first.scores, Result.load(path).scores)


def test_tasks_that_are_generated_are_the_same(tmp_path):
    run = tmp_path / "r"
    words = ["--data", "sinusoid", "--steps", "1", "--plan", "loop", "--out", str(run)]
    assert main(["train", "maml", *words]) == 0
    assert main(["test", str(run), "--seed", "6", "--shots", "4", "--episodes", "3", "--no-baselines"]) == 0
    (path,) = (path for path in run.glob("test-*.json"))
    first = Result.load(path)
    renew(path)
    assert compare(first, Result.load(path)).protocol.hash == first.protocol.hash


@pytest.mark.slow
def test_curves_of_an_optimizer_are_of_the_same_functions(tmp_path):
    run = tmp_path / "r"
    words = ["--inner-steps", "2", "--steps", "1", "--plan", "loop", "--out", str(run)]
    assert main(["train", "l2o", *words]) == 0
    assert main(["test", str(run), "--seed", "6", "--episodes", "2", "--steps", "3", "--split", "validation"]) == 0
    # Training ended with curves of its own.
    kept = {path: OptimizerCurves.load(path) for path in run.glob("optimizer-curves-validation-*.json")}
    ((path, first),) = ((p, curves) for p, curves in kept.items() if (curves.options or {}).get("seed") == 6)
    words = renew(path)
    assert words[3:] == ["--split", "validation", "--seed", "6", "--steps", "3", "--episodes", "2"]
    again = OptimizerCurves.load(path)
    assert (again.seed, again.horizons) == (first.seed, first.horizons)
    assert [row.rate for row in again.rows] == [row.rate for row in first.rows]


@pytest.mark.parametrize(
    "value", ["--allow=mine", "", "a\nb", "a\x1b[2J", "x" * 1001, None, False, [1], {"a": 1}, float]
)
def test_a_value_that_is_none_of_an_option_is_not_typed(value):
    assert seal.renewal("r", {"data": value, "ways": 2, "rm": "-rf"}) == "innerloop test r --ways 2"


def test_a_value_is_quoted_for_the_shell():
    assert seal.renewal("r", {"data": "$(reboot); `x`"}) == "innerloop test r --data '$(reboot); `x`'"


def test_a_result_without_options_names_a_known_data_set(tmp_path):
    build(small("protonet")).meta_train(tmp_path / "r")
    assert main(["test", str(tmp_path / "r"), "--queries", "3", "--episodes", "3", "--no-baselines"]) == 0
    (one,) = results(tmp_path / "r")
    assert one.result is not None and one.result.options == {"queries": 3, "episodes": 3}
    bare = json.loads(one.path.read_text())
    del bare["options"]
    one.path.write_text(json.dumps(bare | {"digest": seal.digest(bare)}))
    known = Result.load(one.path)
    assert known.options is None and " --data digits " in known.command("r")
