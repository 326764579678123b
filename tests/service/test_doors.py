"""The same example through Python, the command line and HTTP; alone and in company; from odd addresses."""

import io
import json
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.cli.main import main
from innerloop.core.aligned import is_aligned
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot.calibrate import Wanted
from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.fewshot.sources import Source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.nn.mlp import MLP
from innerloop.service.http.adapted import Adapted, Raw, encode
from innerloop.service.http.work import answered
from tests.service.served import PLAIN, WORDS, serving
from tests.unaligned import shift, shifted

KANJI = "kanji-protonet"


def drawing(seed: int) -> bytes:
    """Two or three dark strokes on white."""
    g = np.random.default_rng(seed)
    values = np.full((40, 40), 255, np.uint8)
    for _ in range(3):
        a, b = g.integers(6, 26, 2)
        values[a : a + 3, b : b + 11] = g.integers(0, 60)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folders(tmp_path):
    """Three classes of three drawings, and one to ask."""
    for i in range(9):
        path = tmp_path / "teach" / "abc"[i // 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawing(i))
    (tmp_path / "ask.png").write_bytes(drawing(20))
    return tmp_path


def asked(words: list[str], capsys) -> dict[str, float]:
    """What the command line says of one example."""
    capsys.readouterr()
    assert main(["predict", *words, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)["probabilities"]


@pytest.mark.exact
def test_a_picture_gets_the_same_answer_through_every_door(folders, capsys):
    task, ask = str(folders / "t.fewshot"), str(folders / "ask.png")
    assert main(["adapt", KANJI, str(folders / "teach"), "--out", task]) == 0
    said = asked([task, ask], capsys)
    classifier = FewShotClassifier.load(KANJI).fit_folder(folders / "teach")
    for loaded in (classifier, FewShotClassifier.load(task)):
        for given in ([ask], [(folders / "ask.png").read_bytes()]):
            (row,) = loaded.predict_proba(given)
            assert dict(zip(loaded.classes_.tolist(), row.tolist(), strict=True)) == said
    with serving(folders / "store", sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI}).raise_for_status()
        for name in "abc":
            paths = sorted((folders / "teach" / name).iterdir())
            files = [("files", (path.name, path.read_bytes())) for path in paths]
            client.post("/api/tasks/t/examples", files=files, data={"label": name}).raise_for_status()
        for _ in range(2):  # the same task asked twice
            answer = client.post("/api/tasks/t/predict", files=[("files", ("ask.png", drawing(20)))]).json()
            assert answer["predictions"][0]["probabilities"] == said


@pytest.mark.exact
def test_a_text_gets_the_same_answer_through_every_door(tmp_path, capsys):
    texts = {"a": ["aaa", "aab", "abc"], "b": ["bbb", "bbc"]}
    lines = [f"{text},{label}" for label, each in texts.items() for text in each]
    (tmp_path / "teach.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    (tmp_path / "ask.csv").write_text("text\nabba\n")
    task = str(tmp_path / "t.fewshot")
    assert main(["adapt", WORDS, str(tmp_path / "teach.csv"), "--out", task, "--allow", "tests"]) == 0
    said = asked([task, str(tmp_path / "ask.csv"), "--allow", "tests"], capsys)
    loaded = FewShotClassifier.load(task, allow=("tests",))
    assert dict(zip(loaded.classes_.tolist(), loaded.predict_proba(["abba"])[0].tolist(), strict=True)) == said
    with serving(tmp_path / "store") as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS}).raise_for_status()
        examples = [{"label": label, "text": text} for label, each in texts.items() for text in each]
        client.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status()
        answer = client.post("/api/tasks/t/predict", json={"texts": ["abba"]}).json()
        assert answer["predictions"][0]["probabilities"] == said


@pytest.mark.exact
@pytest.mark.parametrize("source", [KANJI, "kanji-maml"])
def test_the_number_of_cores_changes_no_bit(source, folders):
    """A server's workers have one each, the command line has them all."""
    asked, found = [drawing(i) for i in range(30, 80)], []
    before = torch.get_num_threads()
    for threads in (1, 4):
        try:
            torch.set_num_threads(threads)
            task = FewShotClassifier(source, reject=0.2).fit_folder(folders / "teach")
            found.append((task.predict_proba(asked), task.predict_proba(asked[:1]), task.accepts(asked)))
        finally:
            torch.set_num_threads(before)
    assert all(map(np.array_equal, *found))


@pytest.fixture
def given(monkeypatch):
    """What the learner is given, where files and arrays lie at odd addresses."""
    shift(monkeypatch)
    found, adapt, predict = [], NearestCentroid.adapt, NearestCentroid.predict

    def watched_adapt(self, params, support):
        found.append(support.x)
        return adapt(self, params, support)

    def watched_predict(self, params, adapted, x):
        found.extend([x, adapted.centroids.means])
        return predict(self, params, adapted, x)

    monkeypatch.setattr(NearestCentroid, "adapt", watched_adapt)
    monkeypatch.setattr(NearestCentroid, "predict", watched_predict)
    yield found
    assert found and all(map(is_aligned, found))


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 7)).astype(np.float32)  # 28 bytes a row


@pytest.mark.exact
def test_rows_are_aligned_whatever_they_came_in(given, tmp_path):
    x, y = numbers(9), list("aabbbcccc")
    odd = np.frombuffer(b"\0" * 4 + x.tobytes(), np.float32, offset=4).reshape(9, 7)
    FewShotClassifier().fit(Rows(shifted(torch.tensor(x))), y).predict(Rows(shifted(torch.tensor(x))))
    for rows in (x, odd, x.astype(np.float64), x[::-1], x.tolist(), shifted(torch.tensor(x))):
        task = FewShotClassifier(reject=0.3).fit(rows, y)
        task.add_class("d", rows[:2])
        task.predict(rows[1:2])
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    again.predict(odd[2:3])
    again.drop_class("a").undo().partial_fit(odd[:1], ["b"])


@pytest.mark.exact
def test_rows_of_requests_and_of_the_store_are_aligned(given, tmp_path):
    with serving(tmp_path / "store", sources=(PLAIN, WORDS)) as client:
        for name, source in (("n", PLAIN), ("w", WORDS)):
            client.post("/api/tasks", json={"name": name, "source": source}).raise_for_status()
        rows = np.random.default_rng(0).normal(size=(5, 8)).tolist()
        examples = [{"label": "ab"[i % 2], "features": row} for i, row in enumerate(rows)]
        client.post("/api/tasks/n/examples", json={"examples": examples}).raise_for_status()
        words = [{"label": word[0], "text": word} for word in ("aab", "abb", "bbc", "bcd")]
        client.post("/api/tasks/w/examples", json={"examples": words}).raise_for_status()
        client.post("/api/tasks/n/predict", json={"features": rows[:1]}).raise_for_status()
        client.post("/api/tasks/w/predict", json={"texts": ["abc"]}).raise_for_status()


class Noisy:
    """An encoder whose rows are rounded otherwise in company, as those of texts are."""

    kind, features = "texts", 4

    def encode(self, examples):
        rows = torch.tensor([[float(text.count(c)) for c in "abcd"] for text in examples])
        return rows * (1 + 2e-6) if len(examples) > 1 else rows


def source(encoder=None) -> Source:
    kind = "features" if encoder is None else "texts"
    shape = None if encoder is None else (4,)
    return Source(name="own", learner=NearestCentroid(), params={}, kind=kind, shape=shape, encoder=encoder)


@pytest.mark.parametrize("reject", [None, 0.2])
def test_company_changes_no_class_and_no_acceptance(reject):
    """Also of examples as near to two classes, or to the threshold, as can be."""
    texts = ["ab", "aabb", "aaabbb", "abcd", "aab", "aabbccdd", "cd", "ccdd"] * 3
    taught, labels = ["aac", "aad", "bbc", "bbd", "cca", "ccb"], list("aabbcc")
    task = FewShotClassifier(source(Noisy()), reject=reject).fit(taught, labels)
    several = task.answers(texts)
    assert len(set(several.classes)) > 1
    for i, text in enumerate(texts):
        alone = task.answers([text])
        assert alone.classes[0] == several.classes[i] and alone.accepted[0] == several.accepted[i]
        assert np.allclose(alone.probabilities[0], several.probabilities[i], atol=1e-5)


def test_requests_that_are_answered_together_are_answered_as_alone():
    own = source(Noisy())
    taught = [Raw("texts", text, text) for text in ("aac", "aad", "bbc", "bbd", "cca", "ccb")]
    adapted = Adapted(own, np.stack(encode(own, taught)), list("aabbcc"), Wanted(0.2))
    asked = [(Raw("texts", text, text), adapted) for text in ["ab", "aabb", "abcd", "aab", "cd"] * 3]
    for pair, (_, together) in zip(asked, answered(asked, pixels=1), strict=True):
        ((_, alone),) = answered([pair], pixels=1)
        assert (alone.label, alone.accepted) == (together.label, together.accepted)


@pytest.mark.parametrize("make", [list, tuple, deque, np.array], ids=["list", "tuple", "deque", "array"])
def test_texts_near_a_border_come_in_any_kind_of_list(make):
    task = FewShotClassifier(source(Noisy())).fit(["ab", "ba", "cd"], list("xyz"))
    assert task.predict(make(["ab", "aab", "cd"])).tolist()[2] == "z"


def test_where_inputs_lie_far_from_0_more_is_asked_alone():
    """A product of large numbers whose sum is small is rounded by more than its own size tells."""
    learner = R2D2(encoder=MLP(inputs=7, hidden=(64,), outputs=32))
    rows = numbers(600)
    near, far = (
        FewShotClassifier.of(learner, learner.init(0)).fit(x[:30], [i % 3 for i in range(30)])
        for x in (rows, rows + 20_000)
    )
    assert near._fitted().room == 2**-12 < far._fitted().room
    several = far.predict(rows + 20_000)
    assert [far.predict(row)[0] for row in np.split(rows + 20_000, 600)] == several.tolist()


@pytest.mark.exact
def test_an_example_near_a_border_is_answered_as_alone_to_the_bit():
    rows = numbers(40)
    rows[20:] = (rows[:1] + rows[1:2]) / 2 + 1e-7 * rows[20:]  # in the middle between two centroids
    task = FewShotClassifier(source()).fit(rows[:3], list("abc"))
    several = task.predict_proba(rows)
    for i in range(20, 40):
        assert np.array_equal(task.predict_proba(rows[i : i + 1])[0], several[i])


@pytest.mark.exact
def test_a_threshold_at_an_answer_itself_accepts_it_alone_and_in_company():
    rows = numbers(30)
    task = FewShotClassifier(source(), reject=0.3).fit(rows[:6], list("aabbcc"))
    fitted = task._fitted()
    for i in range(6, 30):
        best = fitted.logits(torch.tensor(rows[i : i + 1])).amax().item()
        for threshold, accepted in ((best, True), (float(np.nextafter(best, np.inf)), False)):
            at = Calibration(threshold=threshold, target=0.3)
            task._task = replace(fitted, calibration=at)
            assert task.accepts(rows[i : i + 1]).tolist() == [accepted] == task.accepts(rows)[i : i + 1].tolist()
