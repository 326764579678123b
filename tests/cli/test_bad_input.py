"""What may be asked for and cannot be: one message, status 2, nothing half-written."""

import json
import os
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
import safetensors
import safetensors.torch

from innerloop.cli.main import main
from innerloop.tasks.datasets.kanji import kanji
from tests.cli.conftest import SMALL


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_names_that_do_not_exist(refused, run, tmp_path):
    refused("trian", says="did you mean 'train'")
    refused("train", "protonett", says="did you mean 'protonet'")
    refused("audit", "protonett", says="did you mean 'protonet'")
    refused("train", "protonet", "--data", "kanjy", says="did you mean 'kanji'")
    refused("data", "kanjy", says="kanji")
    refused("test", tmp_path / "none", says="is not a run folder")
    refused("audit", tmp_path / "none", says="is not a run folder")
    refused("adapt", run, tmp_path / "none", "--out", tmp_path / "f", says="there is no file or folder")
    refused("adapt", tmp_path, run, "--out", tmp_path / "f", says="is a folder that holds no run, so nothing starts")
    refused("adapt", "kanji-protonett", tmp_path, "--out", tmp_path / "f", says="there is no run folder, encoder")
    refused("predict", tmp_path / "none.fewshot", tmp_path, says="does not exist")
    refused("show", run, says="is a folder")


def test_fewer_classes_or_examples_than_needed(refused, run, tmp_path):
    out = tmp_path / "r"
    small = ["--data", "digits", "--steps", "1", "--out", out]
    refused("train", "protonet", *small, "--ways", "9", says="9 ways need 9 classes")
    refused("train", "protonet", *small, "--ways", "3", "--queries", "500", says="need 501 examples of every class")
    refused("train", "maml", *small, "--ways", "0", says="ways must be at least 1")
    refused("train", "maml", *small, "--ways", "3", "--train-ways", "4", says="one output for each of 3 classes")
    refused("train", "protonet", *small, "--ways", "3", "--network", "none", says="needs a network")
    refused("train", "protonet", "--data", "sinusoid", "--out", out, says="sinusoid is regression")
    assert not out.exists()
    refused("test", run, "--ways", "4", says="4 ways need 4 classes")
    refused("test", run, "--steps", "4", says="has no inner steps")
    refused("test", run, "--episodes", "0", says="at least 1 episode")


def test_tasks_that_cannot_be(refused, run, twins, tmp_path):
    small = ["--data", "digits", "--steps", "1", "--out", tmp_path / "r"]
    refused("train", "protonet", *small, "--ways", "3", "--same-group", "0.5", says="has no groups")
    refused("train", "protonet", *small, "--ways", "3", "--distractors", "1", says="without unlabelled")
    refused("train", "protonet", *small, "--unsupervised", "--unlabelled", "2", says="leave out --unlabelled")
    refused("train", "fine_tune", *small, "--unsupervised", says="leave out --unsupervised")
    refused(
        "train", "protonet", *small, "--ways", "3", "--interpolate", "1.5", says="share must be a number from 0 to 1"
    )
    refused("train", "protonet", *small, "--ways", "3", "--interpolate-beta", "1", says="how many of them with --inter")
    refused("train", "protonet", *small, "--interpolate", "1", "--unlabelled", "2", "--ways", "3", says="have none")
    refused("train", "fine_tune", *small, "--interpolate", "1", says="batches have none of their own")
    refused("test", run, "--unlabelled", "2", "--distractors", "1", says="3 ways and 1 distractors need 4 classes")
    refused("verify", run, says="verify a run of siamese")
    refused("verify", twins, "--ways", "3", says="3 ways need 3 classes; digits (validation) has 2")
    refused("verify", twins, "--ways", "2", "--same-group", "1", says="has no groups")
    refused("verify", twins, "--ways", "2", "--episodes", "1", says="at least 2 episodes")
    refused("verify", twins, "--data", "sinusoid", says="sinusoid is scored by mean squared error")
    refused("test", run, "--data", "omniglot-runs", "--ways", "5", says="leave out --ways")
    refused("test", run, "--data", "omniglot-runs", says="trained on examples of shape [1, 8, 8]")
    assert not (tmp_path / "r").exists()


def test_a_folder_has_no_validation_classes(refused, twins, pictures):
    for name in ("bar", "post"):
        (pictures / name / "more.png").write_bytes((pictures / name / "0.png").read_bytes())
    refused("verify", twins, "--data", pictures, "--ways", "2", says="not cut into validation and test classes")


def test_a_network_with_fixed_outputs_says_so(refused, tmp_path, pictures):
    out = tmp_path / "m"
    assert main(["train", "maml", *SMALL[:2], "--ways", "2", "--steps", "1", "--width", "4", "--out", str(out)]) == 0
    refused("test", out, "--ways", "3", says="tell 2 classes apart, not 3")
    shutil.copytree(pictures / "bar", pictures / "third")
    refused("adapt", out, pictures, "--out", tmp_path / "f", says="protonet")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(png_header(16, 16), "damaged"), (png_header(20000, 20000), "pixels; at most"), (b"no picture", "no picture")],
    ids=["truncated", "huge", "text"],
)
def test_pictures_that_cannot_be_read(refused, run, pictures, tmp_path, content, says):
    fine = tmp_path / "fine.fewshot"
    assert main(["adapt", str(run), str(pictures), "--out", str(fine)]) == 0
    bad = pictures / "post" / "bad.png"
    bad.write_bytes(content)
    for words in (["adapt", run, pictures, "--out", tmp_path / "f"], ["predict", fine, bad]):
        refused(*words, says="bad.png")
        refused(*words, says=says)
    refused("predict", fine, pictures / "post", "--strict", says=says)
    assert not (tmp_path / "f").exists()


def test_a_class_without_pictures(refused, run, pictures, tmp_path):
    (pictures / "empty").mkdir()
    refused("adapt", run, pictures, "--out", tmp_path / "f", says="class 'empty'")
    refused("train", "protonet", "--data", pictures, "--out", tmp_path / "r", says="'empty'")
    assert not (tmp_path / "f").exists() and not (tmp_path / "r").exists()


def test_a_zip_that_points_outside(refused, tmp_path):
    (tmp_path / "omniglot").mkdir()
    for name in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(tmp_path / "omniglot" / f"{name}.zip", "w") as archive:
            archive.writestr("../outside.png", b"")
    refused("data", "omniglot", "--data-root", tmp_path, says="../outside.png")
    assert not (tmp_path / "outside.png").exists()


def test_nan_in_arrays(refused, tmp_path):
    x = np.zeros((30, 8), np.float32)
    x[4, 2] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(30) % 10)
    refused("train", "protonet", "--data", tmp_path / "a.npz", "--out", tmp_path / "r", says="NaN")
    assert not (tmp_path / "r").exists()


def test_a_run_of_another_version_or_with_a_foreign_class(refused, run, pictures, tmp_path):
    config = json.loads((run / "config.json").read_text())
    broken = tmp_path / "broken"
    foreign = config["learner"] | {"class": "os:system"}
    for change, says in (({"version": 99}, "version 99"), ({"learner": foreign}, "foreign")):
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(run, broken)
        (broken / "config.json").write_text(json.dumps(config | change))
        refused("test", broken, "--episodes", "1", says=says)
        refused("audit", broken, says=says)
        refused("adapt", broken, pictures, "--out", tmp_path / "f", says=says)
    assert not (tmp_path / "f").exists()


def test_an_adapted_file_of_another_version_or_with_a_foreign_class_or_cut_short(refused, run, pictures, tmp_path):
    fine, bad = tmp_path / "fine.fewshot", tmp_path / "bad.fewshot"
    assert main(["adapt", str(run), str(pictures), "--out", str(fine)]) == 0
    with safetensors.safe_open(fine, framework="pt") as file:
        about, names = json.loads(file.metadata()["innerloop"]), file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
    changes = [
        ({"version": 99}, "version 99"),
        ({"learner": about["learner"] | {"class": "os:system"}}, "foreign"),
        ({"classes": ["a"] * 5}, "damaged"),
        ({"history": []}, "damaged"),
        ({"history": about["history"] * 2}, "damaged"),
        ({"history": [about["history"][0] | {"added": [["bar", 0, 10**12]]}]}, "damaged"),
        ({"history": [about["history"][0] | {"base": 1}]}, "damaged"),
        ({"source": about["source"] | {"encoder": True, "name": str(run)}}, "names the encoder"),
        ({"source": about["source"] | {"encoder": True, "name": "os:system"}}, "os"),
        ({"source": about["source"] | {"kind": "smells"}}, "damaged"),
        ({"source": about["source"] | {"preprocessing": {"size": "8", "channels": 1, "ink": "dark"}}}, "damaged"),
        ({"calibration": {"temperature": 0}}, "damaged"),
        ({"calibration": {"temperature": "hot"}}, "damaged"),
        ({"reject": 7}, "reject"),
        ({"same": {"adapted.nothing": "nothing"}}, "damaged"),
    ]
    for change, says in changes:
        bad.write_bytes(safetensors.torch.save(tensors, {"innerloop": json.dumps(about | change)}))
        refused("predict", bad, pictures / "bar", says=says)
    bad.write_bytes(fine.read_bytes()[:-100])
    refused("predict", bad, pictures / "bar", says="damaged")
    refused("predict", pictures / "bar" / "0.png", pictures / "bar", says="not an adapted task")


def test_unwritable_places(refused, run, pictures, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused("train", "protonet", *SMALL, "--out", tmp_path / "file" / "r", says="cannot write")
    refused("adapt", run, pictures, "--out", tmp_path / "file" / "f", says="cannot write")
    refused("adapt", run, pictures, "--out", pictures, says="cannot write")
    assert os.listdir(tmp_path / "pictures") == os.listdir(pictures)


def test_another_run_in_the_folder(refused, run):
    refused("train", "protonet", *SMALL, "--out", run, "--seed", "1", says="holds another run")


def test_comparisons_that_cannot_be(refused, run, twins, tmp_path):
    kanji()  # where it is not drawn yet, that is told on standard error
    few, other = ["--episodes", "3", "--queries", "2"], tmp_path / "m"
    assert main(["train", "maml", *SMALL[:2], "--ways", "2", "--steps", "1", "--width", "4", "--out", str(other)]) == 0
    before = sorted(tmp_path.rglob("*"))
    refused("compare", says="name run folders")
    refused("compare", run, tmp_path / "none", *few, says="is not a run folder")
    refused("compare", run, twins, run, *few, says="is given twice")
    refused("compare", run, other, *few, says="ways: 3 against 2")
    refused("compare", run, other, *few, "--ways", "3", says=f"{other}: MAML was meta-trained to tell 2 classes apart")
    refused("compare", other, run, *few, "--ways", "2", "--steps", "2", says=f"{run}: ProtoNet has no inner steps")
    refused("compare", run, *few, "--data", "kanji", says=f"{run}: the run was trained on examples of shape [1, 8, 8]")
    refused("compare", run, *few, "--html", run / "config.json" / "page.html", says="cannot write")
    refused("compare", run, run / "config.json", *few, says="is not a test result")
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_that_cannot_be_begun_with(refused, run, tmp_path):
    out = tmp_path / "r"
    refused("train", "protonet", *SMALL, "--start", tmp_path / "none", "--out", out, says="is not a run folder")
    wide = [*SMALL[:-1], "5"]
    refused("train", "protonet", *wide, "--start", run, "--out", out, says="4x64 there and 5x64 here")
    refused("train", "maml", "--data", "sinusoid", "--start", run, "--out", out, says="no weights of")
    assert not out.exists()


def test_baselines_that_cannot_be(refused, tmp_path):
    out = tmp_path / "r"
    refused("train", "linear_probe", *SMALL, "--C", "0", "--out", out, says="C must be more than 0")
    refused("train", "multi_task", *SMALL, "--unsupervised", "--out", out, says="leave out --unsupervised")
    refused("train", "multi_task", *SMALL, "--batch-size", "0", "--out", out, says="batch_size must be at least 1")
    refused(
        "train",
        "linear_probe",
        "--data",
        "sinusoid",
        "--out",
        out,
        says="linear_probe is trained on batches, which 'sinusoid' does not have",
    )
    assert not out.exists()
