import json

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.runs import build, defaults
from innerloop.runs.describe import DescribeOptions, describe


def data(path, classes: int, each: int = 8) -> str:
    """Rows of so many classes, in a file."""
    y = np.repeat(np.arange(classes), each)
    file = path / f"rows{classes}.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(len(y), 4)).astype(np.float32), y=y)
    return str(file)


def test_too_few_classes_to_train_on_are_refused_with_the_split(tmp_path):
    with pytest.raises(InputError, match=r"at least 3 are needed, and 10 for tests of 2 ways.*`innerloop adapt`"):
        build(defaults("protonet", data(tmp_path, 2)))
    with pytest.raises(
        InputError, match=r"\(train\) has 2\. .*rows4 is split into 2 classes to train on \(.*for tests"
    ):
        build(defaults("protonet", data(tmp_path, 4)))


def test_a_test_that_will_be_refused_is_told_before_the_training(tmp_path, capsys):
    words = ["--steps", "1", "--width", "4", "--out", str(tmp_path / "run")]
    assert main(["train", "protonet", "--data", data(tmp_path, 8), *words]) == 0
    said = capsys.readouterr().err
    assert "`innerloop test` will refuse it" in said and "(test) has 1" in said and "1 class for tests (" in said
    assert said.index("will refuse") < said.index("plan: ")
    # There are classes enough, and too few examples for the 15 queries of a test.
    (note,) = build(defaults("protonet", data(tmp_path, 25))).notes
    assert "16 examples" in note
    assert build(defaults("protonet", data(tmp_path, 25, each=16))).notes == ()


def test_the_difficulty_of_no_tasks_is_no_number(tmp_path, capsys):
    assert main(["data", data(tmp_path, 8), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pixels"] is None and "a task of one class is always right" in found["note"]
    assert main(["data", data(tmp_path, 8)]) == 0
    assert "difficulty: not measured, its meta-test split is a single class" in capsys.readouterr().out
    single = describe(data(tmp_path, 25, each=1), DescribeOptions(episodes=2))
    assert single.difficulty is None and single.note is not None and "a single example" in single.note
