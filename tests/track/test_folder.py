"""What trackers read of a run folder: whole lines, once, and nothing of what is damaged."""

import json

from innerloop.track import folder
from innerloop.track.folder import read_points, settings
from innerloop.track.tensorboard import hyper_parameters


def test_lines_are_read_once_and_whole_ones_only(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert read_points(file, 0, 0) == ([], 0)
    file.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    points, offset = read_points(file, 0, 0)
    assert [(p.step, p.values) for p in points] == [(1, {"train/loss": 2.0})]
    file.write_text(
        '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\nnonsense\n[1]\n{"step": "x"}\n{"step": 3, "a b!": 1}\n'
    )
    points, end = read_points(file, offset, 1)
    assert [(p.step, p.values) for p in points] == [(3, {"train/a b_": 1.0})] and end == file.stat().st_size
    assert read_points(file, end, 3) == ([], end)


def test_a_validation_joins_its_step(tmp_path):
    file = tmp_path / "metrics.jsonl"
    validation = {"mean": 0.5, "ci95": 0.1, "score": "accuracy", "episodes": 5}
    lines = [{"step": 5, "loss": 1.0}, {"step": 5, "validation": validation, "cpu_seconds": 3.5}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (point,), _ = read_points(file, 0, 0)
    assert point.values["validation/accuracy"] == 0.5 and point.values["validation/cpu_seconds"] == 3.5
    assert point.values["train/loss"] == 1.0 and read_points(file, 0, 5)[0] == []


def test_settings_are_flat_and_those_unset_are_left_out(tmp_path):
    learner = {
        "class": "innerloop.learners.gradient.maml:MAML",
        "fields": {"inner_lr": 0.4, "layers": {"tuple": [1, 2]}},
    }
    config = {"learner": learner, "train": {"steps": 3, "clip": None}, "record": {"task": {"ways": 5}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = settings(tmp_path)
    assert found["learner"] == "MAML" and found["learner.inner_lr"] == 0.4 and found["learner.layers"] == "1, 2"
    assert found["record.task.ways"] == 5 and found["train.steps"] == 3 and "train.clip" not in found
    assert settings(tmp_path / "none") == {}


def test_what_is_no_result_says_nothing(tmp_path):
    file = tmp_path / "test-1.json"
    for content in ("", "[]", "{}", '{"protocol": 3}'):
        file.write_text(content)
        assert folder.tested(file) is None
    file.write_text(
        json.dumps({"protocol": {"metric": "mse", "sampler": {"dataset": "a/b c?"}}, "hash": "abcdef", "mean": 2})
    )
    found = folder.tested(file)
    assert found is not None and found.values["test/a_b c_-abcd/mse"] == 2.0 and found.curve is None


def testhyper_parameters_of_every_kind_are_written():
    summary = hyper_parameters({"a": 1, "b": True, "c": "word"})
    assert summary.value[0].metadata.plugin_data.plugin_name == "hparams"
