"""The three trackers, each read back: TensorBoard by its own reader, W&B's offline file, MLflow's store."""

import json
import struct
from typing import Any

import pytest

from innerloop.cli.main import main
from innerloop.track.watcher import trackers
from tests.engine.test_watchers import watched

FIRST, ALL = 4, 10


@pytest.fixture
def quick(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def twice(run, name):
    """A run that is trained, and resumed."""
    watched(*trackers([name]), out=run, steps=FIRST, schedule="constant")
    watched(*trackers([name]), out=run, steps=ALL, schedule="constant")
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in logged if "loss" in line]


def test_tensorboard_is_read_back_by_its_own_reader(tmp_path, quick):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    losses = twice(tmp_path, "tensorboard")
    found = EventAccumulator(str(tmp_path / "tracking" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    events = found.Scalars("train/loss")
    assert [event.step for event in events] == list(range(1, ALL + 1))
    assert [event.value for event in events] == pytest.approx(losses)
    assert [event.step for event in found.Scalars("validation/accuracy")] == [5, 10]
    assert found.PluginTagToContent("hparams")


def records(run):
    """What W&B's offline files hold: LevelDB's log format, blocks of 32 KB, with protocol buffers in it."""
    from wandb.proto import wandb_internal_pb2

    protocol: Any = wandb_internal_pb2
    for file in sorted((run / "tracking" / "wandb").glob("offline-run-*/*.wandb")):
        content, at, part = file.read_bytes(), 7, b""
        while at + 7 <= len(content):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
                continue
            _, length, kind = struct.unpack("<IHB", content[at : at + 7])
            part += content[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):
                yield protocol.Record.FromString(part)
                part = b""


@pytest.mark.slow
def test_wandb_keeps_a_run_offline_under_one_id(tmp_path, quick):
    losses = twice(tmp_path, "wandb")
    found = list(records(tmp_path))
    ids = {record.run.run_id for record in found if record.WhichOneof("record_type") == "run"}
    assert ids == {json.loads((tmp_path / "tracking" / "wandb.json").read_text())["state"]["id"]}
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    assert [row["train/loss"] for row in rows] == losses
    assert [row["_step"] for row in rows] == list(range(1, ALL + 1))
    config = {item.key: item.value_json for record in found for item in record.run.config.update}
    assert json.loads(config["train.meta_batch_size"]) == 2


@pytest.mark.slow
def test_wandb_online_without_a_key_or_a_network_is_kept_offline_and_told_once(tmp_path, quick, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(tmp_path))  # whoever is logged in on this machine is not meant
    watched(*trackers(["wandb"]), out=tmp_path / "a", steps=FIRST)
    assert capfd.readouterr().err.count("WANDB_MODE=online needs a key") == 1
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    watched(*trackers(["wandb"]), out=tmp_path / "b", steps=FIRST)
    assert capfd.readouterr().err.count("its server cannot be reached") == 1
    for run in ("a", "b"):
        assert any(record.WhichOneof("record_type") == "history" for record in records(tmp_path / run))


@pytest.mark.slow
def test_mlflow_keeps_a_run_in_a_local_store(tmp_path, quick):
    losses = twice(tmp_path, "mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [m.step for m in history] == list(range(1, ALL + 1)) and [m.value for m in history] == losses
    assert run.info.status == "FINISHED" and run.data.tags["ended"] == "finished"
    assert run.data.params["train.meta_batch_size"] == "2"


def sent(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / "tracking" / "tensorboard"), size_guidance={"images": 0}).Reload()


@pytest.mark.slow
def test_a_test_sends_its_result_and_its_curve(tmp_path, quick, capsys):
    run = tmp_path / "run"
    options = ["--data", "sinusoid", "--steps", "3", "--plan", "loop", "--inner-steps", "2"]
    assert main(["train", "maml", *options, "--out", str(run), "--track", "tensorboard"]) == 0
    assert main(["test", str(run), "--episodes", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = sent(run)
    (mse,) = [t for t in found.Tags()["scalars"] if t.startswith("test/") and t.count("/") == 2 and t.endswith("/mse")]
    assert found.Scalars(mse)[0].value == pytest.approx(result["mean"])
    (curve,) = [tag for tag in found.Tags()["scalars"] if tag.startswith("adaptation/")]
    assert [event.step for event in found.Scalars(curve)] == [0, 1, 2]
    assert {"task0", "curve0", "results0"} <= set(found.Tags()["images"])
    before = len(list((run / "tracking" / "tensorboard").iterdir()))
    assert main(["test", str(run), "--episodes", "4", "--track", "none"]) == 0
    assert len(list((run / "tracking" / "tensorboard").iterdir())) == before


@pytest.mark.slow
def test_a_test_sends_episodes_with_answers_and_calibration(tmp_path, quick):
    run = tmp_path / "run"
    options = ["--data", "kanji", "--steps", "3", "--plan", "loop", "--width", "4", "--out", str(run)]
    assert main(["train", "protonet", *options]) == 0
    assert main(["test", str(run), "--episodes", "4", "--track", "tensorboard"]) == 0
    found = sent(run)
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2, 3], "what was trained before is sent too"
    assert any(tag.endswith("/ece") for tag in found.Tags()["scalars"])
    assert {"episode0", "episode1", "episode2", "sure0"} <= set(found.Tags()["images"])
    (event, *_) = found.Images("episode0")
    assert event.width > 100 and event.encoded_image_string.startswith(b"\x89PNG")


def test_a_missing_package_is_a_usage_error_of_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("innerloop.track.tensorboard.TensorBoard.package", "no_such_package")
    assert main(["train", "maml", "--data", "sinusoid", "--out", str(tmp_path / "r"), "--track", "tensorboard"]) == 2
    assert "pip install 'innerloop[tensorboard]'" in capsys.readouterr().err and not (tmp_path / "r").exists()
