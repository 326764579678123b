"""Run folders that anyone may have written or damaged: one message with the file's name, and the others are shown."""

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, checkpoint, load, meta_train
from innerloop.engine.metrics import read_metrics
from innerloop.evaluate import Result, calibration
from innerloop.evaluate.optimizer_curves import OptimizerCurves
from innerloop.fewshot import sources
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.runs.measure import MetaTestOptions, prepare
from innerloop.tasks import Sinusoid
from tests.fewshot.test_readers import SEED, mutated

RUNS = Path(__file__).parents[1] / "releases" / "0.1.0" / "runs"
SINUSOID = MAML(model=MLP(hidden=(4,)), inner_lr=0.01, objective=regression)
CONFIG = TrainConfig(steps=2, meta_batch_size=2, plan="loop", unchecked=True)


def _trained(folder: Path) -> None:
    meta_train(SINUSOID, Sinusoid(), CONFIG, folder)


def _copied(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copytree(RUNS / name, folder, dirs_exist_ok=True) and None


def _resume(folder: Path) -> None:
    # A step that is another number, of another power of two, would be trained on from for years.
    state = checkpoint.read_state(folder)
    if state is not None and state["step"] >= CONFIG.steps:
        meta_train(SINUSOID, Sinusoid(), CONFIG, folder)


def _used(folder: Path) -> None:
    """As `innerloop adapt` and the service take a run."""
    sources.source(folder)


def _measured(folder: Path) -> None:
    prepare(folder, MetaTestOptions(episodes=2, baselines=False))


def _metrics(folder: Path) -> None:
    entries = read_metrics(folder / "metrics.jsonl")
    assert all(entry["step"] + entry.get("loss", 0) is not None for entry in entries)


@dataclass(frozen=True)
class Reader:
    begin: Callable[[Path], object]
    file: str
    read: Callable[[Path], object]


READERS = {
    "state": Reader(_trained, "state.pt", checkpoint.read_state),
    "state of 0.1.0": Reader(_copied("maml"), "state.pt", checkpoint.read_state),
    "resume": Reader(_trained, "state.pt", _resume),
    "parameters": Reader(_trained, "params.safetensors", load),
    "config": Reader(_copied("maml"), "config.json", _used),
    "config of a test": Reader(_copied("maml"), "config.json", _measured),
    "calibration": Reader(_copied("protonet"), "calibration.json", calibration.read),
    "choice": Reader(_copied("protonet"), "selection.json", load),
    "result": Reader(
        _copied("protonet"),
        "test-375df38da168575a.json",
        lambda folder: str(Result.load(folder / "test-375df38da168575a.json")),
    ),
    "curves": Reader(
        _copied("l2o"), "descents-test-233.json", lambda folder: OptimizerCurves.load(folder / "descents-test-233.json")
    ),
    "metrics": Reader(_copied("maml"), "metrics.jsonl", _metrics),
}


def _fuzz(name: str, count: int, folder: Path) -> None:
    reader, draw, refused = READERS[name], random.Random(f"{SEED} {name}"), 0
    reader.begin(folder)
    file = folder / reader.file
    if name == "choice":
        file.write_text('{"field": "C", "gives": "0123", "value": 1.0, "of": "89ab", "candidates": [1.0, 10.0]}')
    content = file.read_bytes()
    for number in range(count):
        file.write_bytes(mutated(content, draw))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read(folder)
        except InputError as error:
            refused += 1
            message = str(error)
            assert str(folder) in message or name == "config of a test", (number, message)
            assert len(message) < 1_500, (number, message)
    assert refused or name == "metrics"


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_of_a_run_is_one_message(name, tmp_path):
    _fuzz(name, 150, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_of_a_run_are_one_message_each(name, tmp_path):
    _fuzz(name, 2_000, tmp_path / "run")


def _json(**changes):
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        for name, value in changes.items():
            part, _, entry = name.rpartition("_")
            (content[part] if part else content)[entry] = value
        (folder / "config.json").write_text(json.dumps(content))

    return change


def _text(name: str, text: str | bytes):
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def _folder_instead(name: str):
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return change


def _latin1(folder: Path) -> None:
    folder.rename(os.fsdecode(os.fsencode(folder) + "é".encode("latin-1")))


RESULT = "test-375df38da168575a.json"
DAMAGES = {
    "empty config": _text("config.json", ""),
    "config that is a list": _text("config.json", "[]"),
    "config that is deep": _text("config.json", '{"a":' * 900 + "1" + "}" * 900),
    "config that is too deep": _text("config.json", "[" * 100_000),
    "config in another encoding": _text("config.json", "é".encode("latin-1")),
    "config that is a folder": _folder_instead("config.json"),
    "record that is a list": _json(record=[1]),
    "record that is a word": _json(record="digits"),
    "train that is a number": _json(train=3),
    "learner that is nothing": _json(learner=None),
    "learner that is a list": _json(record_learner=["maml"]),
    "task that is a list": _json(record_task=[1, 2]),
    "data that are a number": _json(record_task={"data": 7, "ways": 1}),
    "ways that are words": _json(record_task={"data": "digits", "ways": "many"}),
    "data that are a list": _json(record_task={"data": ["x"], "family": 1}),
    "steps that are words": _json(train_steps="many"),
    "steps without end": _json(train_steps=10**400),
    "half a character": _json(record_learner="\ud800", record_task={"data": "\udfff"}),
    "name in Latin-1": _latin1,
    "result that is empty": _text(RESULT, ""),
    "result that is a number": _text(RESULT, "7"),
    "result that is deep": _text(RESULT, "[" * 100_000),
    "result that is a folder": _folder_instead(RESULT),
    "metrics that are bytes": _text("metrics.jsonl", b"\xff\xfe\x00{"),
    "metrics that are lists": _text(
        "metrics.jsonl", '[1]\n{"step": "x"}\n{"step": 1, "validation": 3}\n' + "[" * 9_999
    ),
    "state that is bytes": _text("state.pt", b"\x80\x02c"),
    "parameters that are bytes": _text("params.safetensors", b"\xff" * 99),
    "calibration that is a list": _text("calibration.json", "[1]"),
    "choice that is pending": _text("selection.json", '{"field": "C", "gives": null}'),
    "shape that is a word": _json(record_shape="wide"),
    "preprocessing that is a list": _json(record_preprocessing=[28]),
    "preprocessing without end": _json(record_preprocessing={"size": 10**9, "channels": 1, "ink": "auto"}),
    "encoder that is a number": _json(record_encoder=5),
}


def test_healthy_runs_are_listed_beside_damaged_ones(tmp_path):
    pytest.importorskip("fastapi", reason="needs innerloop[serve]")
    from tests.service.served import serving

    root = tmp_path / "runs"
    for name in ("a-healthy", "z-healthy"):
        shutil.copytree(RUNS / "protonet", root / name)
    for i, damage in enumerate(DAMAGES.values()):
        damage(Path(shutil.copytree(RUNS / "protonet", root / f"damaged-{i}")))
    with warnings.catch_warnings(), serving(tmp_path / "store", runs=str(root)) as client:
        warnings.simplefilter("ignore")
        answer = client.get("/api/runs")
        assert answer.status_code == 200
        listed = {run["name"]: run for run in answer.json()}
        assert {"a-healthy", "z-healthy"} <= {*listed}
        assert all(len(listed[name]["tests"]) == 3 and listed[name]["learner"] for name in ("a-healthy", "z-healthy"))
        offered = client.get("/api/sources")
        assert offered.status_code == 200
        assert {"a-healthy", "z-healthy"} <= {source["name"] for source in offered.json()}
        for i, name in enumerate(DAMAGES):
            for path in (f"/api/runs/damaged-{i}", f"/api/runs/damaged-{i}é"):
                code = client.get(path).status_code
                assert code in (200, 404, 422), (name, code)


@pytest.mark.parametrize("name", [k for k in DAMAGES if not k.startswith(("name", "steps", "half"))])
def test_a_damaged_run_is_one_message_at_every_door(tmp_path, name, capsys):
    from innerloop.cli.main import main

    run = Path(shutil.copytree(RUNS / "protonet", tmp_path / "run"))
    DAMAGES[name](run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["test", str(run), "--episodes", "2", "--no-baselines", "--no-curve", "--ways", "3"])
    printed = capsys.readouterr()
    assert code in (0, 2), printed.err
    if code == 2:
        messages = [line for line in printed.err.splitlines() if line.startswith("innerloop: ")]
        assert len(messages) == 1 and "run" in messages[0], printed.err
