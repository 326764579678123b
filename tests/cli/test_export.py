"""export: what is written, what is said, and what is refused."""

import json
import subprocess
import sys

import pytest

from innerloop.cli.main import main

pytest.importorskip("onnxruntime")


@pytest.fixture
def task(run, pictures, tmp_path, capsys):
    """An adapted task of two classes of pictures."""
    file = tmp_path / "signs.fewshot"
    assert main(["adapt", str(run), str(pictures), "--out", str(file)]) == 0
    capsys.readouterr()
    return file


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_a_task_becomes_one_graph(task, tmp_path, capsys, to):
    out = tmp_path / f"signs.{to}"
    assert main(["export", str(task), "--out", str(out)]) == 0
    said, err = capsys.readouterr()
    assert "pictures [n, 1, 8, 8] -> probabilities" in said and "largest difference on 17 inputs" in said
    assert len(said.splitlines()) == 3 and not err
    assert main(["export", str(task), "--to", to, "--out", str(out), "--json"]) == 0
    out_again, err = capsys.readouterr()
    made = json.loads(out_again)
    assert made["format"] == to and made["bytes"] == out.stat().st_size and made["classes"] == ["bar", "post"]
    assert (
        made["largest_difference"] <= 1e-5 + made["beyond_tolerance_by_rounding"]
        and made["milliseconds_an_input"] > 0
        and not err
    )


def test_the_exporters_say_nothing_themselves(task, tmp_path):
    """In a process of its own: torch's loggers write to the standard error that was there when they were made."""
    words = ["export", str(task), "--out", str(tmp_path / "a.onnx"), "--json"]
    done = subprocess.run([sys.executable, "-m", "innerloop.cli.main", *words], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and len(done.stdout.splitlines()) == 1


def test_what_is_refused(task, tmp_path, refused):
    before = task.read_bytes()
    refused("export", task, "--out", task, "--to", "pt2", says="is the task itself")
    refused("export", task, "--out", tmp_path / "signs.bin", says="neither .onnx nor .pt2")
    refused("export", tmp_path / "none.fewshot", "--out", tmp_path / "a.onnx", says="does not exist")
    refused("export", tmp_path, "--out", tmp_path / "a.onnx", says="is a folder")
    assert task.read_bytes() == before and not (tmp_path / "a.onnx").exists()
    assert main(["export", str(task), "--out", "a", "--to", "tflite"]) == 2
