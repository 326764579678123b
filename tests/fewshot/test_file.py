"""The file: it comes back as it was, holds no encoder, and damage of any kind is one message."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.core.errors import InputError
from innerloop.encoders.base import Kind
from innerloop.fewshot import sources
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import Source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.optimizers.meta_lstm import MetaLSTM
from innerloop.nn.mlp import MLP
from tests.unaligned import shift, shifted


class Letters:
    """Counts letters."""

    kind: Kind = "texts"
    features = 26

    def encode(self, examples):
        return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in examples])


def parts(file):
    """What a file says, and its tensors."""
    with safetensors.safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["innerloop"]), safetensors.torch.load_file(file)


@pytest.fixture
def letters(monkeypatch):
    """An encoder that sources know by its name."""
    found = Source(
        name="letters",
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind="texts",
        shape=(26,),
        encoder=Letters(),
    )
    known = sources.source
    monkeypatch.setattr(sources, "source", lambda name, allow=(): found if name == "letters" else known(name, allow))
    return found


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Bytes of a file with several versions, and its classifier."""
    x = np.repeat(np.eye(4, dtype=np.float32), 3, 0) + np.arange(12, dtype=np.float32)[:, None] / 50
    task = FewShotClassifier(reject=0.1).fit(x[:9], list("aaabbbccc"))
    task.add_class("d", x[9:]).drop_class("a").undo()
    return task.save(tmp_path_factory.mktemp("files") / "t.fewshot").read_bytes(), task, x


def _encoder(inputs=9, outputs=7):
    return MLP(inputs=inputs, hidden=(11,), outputs=outputs)


# What they adapt to lies column after column, or is a part of a longer vector.
LEARNERS = {
    "r2d2": (R2D2(encoder=_encoder()), 40),
    "r2d2 dual": (R2D2(encoder=_encoder(outputs=33)), 12),
    "mahalanobis": (ProtoNet(encoder=_encoder(), distance="mahalanobis"), 12),
    "meta_lstm": (MetaLSTM(model=_encoder(outputs=3), inner_steps=3), 12),
}


@pytest.mark.exact
@pytest.mark.parametrize(("learner", "count"), LEARNERS.values(), ids=LEARNERS.keys())
def test_every_answer_comes_back_alone_and_in_company(learner, count, tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    x, asked = (generator.normal(size=(n, 9)).astype(np.float32) for n in (count, 60))
    params = {k: shifted(v) for k, v in learner.init(0).items()}
    task = FewShotClassifier.of(learner, params).fit(x, [i % 3 for i in range(count)])
    shift(monkeypatch)
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    for rows in (asked, *np.split(asked, 60)):
        assert np.array_equal(again.predict_proba(rows), task.predict_proba(rows))


@pytest.mark.exact
def test_everything_comes_back(content, tmp_path):
    data, task, x = content
    (tmp_path / "t.fewshot").write_bytes(data)
    again = FewShotClassifier.load(tmp_path / "t.fewshot")
    assert again.history == task.history and again.calibration_ == task.calibration_ and again.reject == 0.1
    assert np.array_equal(again.predict_proba(x), task.predict_proba(x))
    assert np.array_equal(again.redo().predict_proba(x), task.redo().predict_proba(x))
    task.undo()
    assert again.undo(to=1).classes_.tolist() == list("abc")


@pytest.mark.exact
def test_pictures_stay_bytes_and_mixing_them_with_floats_does_not_change_them(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    task = FewShotClassifier.of(NearestCentroid(), {}, preprocessing={"size": 4, "channels": 1, "ink": "light"})
    task.fit(x, list("aabbcc"))
    file = task.save(tmp_path / "t.fewshot")
    assert parts(file)[1]["rows"].dtype == torch.uint8
    before = task.predict_proba(x)
    again = FewShotClassifier.load(file)
    again.add_class("d", x[:1].astype(np.float32) / 255).drop_class("d")
    assert np.array_equal(again.predict_proba(x), before)


def test_an_encoder_is_named_and_not_copied(letters, tmp_path):
    task = FewShotClassifier(letters).fit(["aab", "abb", "xyz"], ["p", "p", "q"])
    file = task.save(tmp_path / "t.fewshot")
    again = FewShotClassifier.load(file)
    assert again.predict(["ba", "z"]).tolist() == ["p", "q"] and again.kind == "texts" and again.name == "letters"
    assert again.add_class("r", ["mmm"]).save(file) == file
    assert FewShotClassifier.load(file).predict(["m"]).tolist() == ["r"]
    assert {name.split(".")[0] for name in parts(file)[1]} == {"rows", "adapted"}


def test_an_encoder_that_changed_is_said(letters, tmp_path, monkeypatch):
    file = FewShotClassifier(letters).fit(["aab", "xyz"], ["p", "q"]).save(tmp_path / "t.fewshot")
    monkeypatch.setattr(Letters, "features", 27)
    with pytest.raises(InputError, match=r"rows of \[26\].*makes 27"):
        FewShotClassifier.load(file)


def test_a_file_names_no_folder_and_no_code(tmp_path, letters):
    file = FewShotClassifier(letters).fit(["aab", "xyz"], ["p", "q"]).save(tmp_path / "t.fewshot")
    about, tensors = parts(file)
    for name in (str(tmp_path), "..", "kanji", "antigravity:fly_out", "innerloop.cli.main:main"):
        changed = about | {"source": about["source"] | {"name": name}}
        file.write_bytes(safetensors.torch.save(tensors, {"innerloop": json.dumps(changed)}))
        with pytest.raises(InputError):
            FewShotClassifier.load(file)


def _entries(about, path=()):
    """Paths of everything in nested JSON."""
    yield path
    if isinstance(about, dict):
        for key in about:
            yield from _entries(about[key], (*path, key))
    elif isinstance(about, list):
        for i in range(len(about)):
            yield from _entries(about[i], (*path, i))


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**40),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-1, 9), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_what_it_says_is_one_message_or_harmless(content, tmp_path_factory, data):
    file = tmp_path_factory.mktemp("junk") / "t.fewshot"
    file.write_bytes(content[0])
    about, tensors = parts(file)
    path = data.draw(st.sampled_from([p for p in _entries(about) if p]))
    place = about
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(JUNK)
    file.write_bytes(safetensors.torch.save(tensors, {"innerloop": json.dumps(about)}))
    _loads_or_says_why(file, content[2])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_of_its_bytes_is_one_message_or_harmless(content, tmp_path_factory, data):
    file = tmp_path_factory.mktemp("junk") / "t.fewshot"
    found = bytearray(content[0])
    if data.draw(st.booleans()):
        found = found[: data.draw(st.integers(0, len(found)))]
    for _ in range(data.draw(st.integers(1, 4)) if found else 0):
        found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(found))
    _loads_or_says_why(file, content[2])


def _loads_or_says_why(file, x):
    try:
        task = FewShotClassifier.load(file)
    except InputError as error:
        said = str(error)
        assert "\n" not in said.strip() and len(said) < 700
        return
    p = task.predict_proba(x)
    assert p.shape == (12, len(task.classes_))
    json.dumps([version.action for version in task.history])


@pytest.mark.parametrize("drop", ["rows", "adapted.centroids.means"])
def test_a_missing_tensor_is_said(content, tmp_path, drop):
    file = tmp_path / "t.fewshot"
    file.write_bytes(content[0])
    about, tensors = parts(file)
    del tensors[drop]
    file.write_bytes(safetensors.torch.save(tensors, {"innerloop": json.dumps(about)}))
    with pytest.raises(InputError, match="damaged"):
        FewShotClassifier.load(file)


def test_a_file_of_before_a_learner_kept_what_is_empty_here_answers_as_it_did(tmp_path):
    learner, x = GaussianMemory(encoder=_encoder(), capacity=16), np.random.default_rng(0).normal(size=(12, 9))
    task = FewShotClassifier.of(learner, learner.init(0)).fit(x.astype(np.float32), list("abc") * 4)
    file = task.save(tmp_path / "t.fewshot")
    about, tensors = parts(file)
    assert not tensors.pop("adapted.left").numel()
    file.write_bytes(safetensors.torch.save(tensors, {"innerloop": json.dumps(about)}))
    again = FewShotClassifier.load(file)
    assert np.array_equal(again.predict_proba(x[:5]), task.predict_proba(x[:5]))
