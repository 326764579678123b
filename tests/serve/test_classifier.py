import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.learners import catalogue
from innerloop.recipes import build, defaults
from innerloop.serve.classifier import FewShotClassifier

WAYS = 3


def options(name):
    from dataclasses import replace

    usual = defaults(name, "digits")
    return replace(
        usual,
        task=replace(usual.task, ways=WAYS),
        network=replace(usual.network, width=4),
        train=replace(usual.train, steps=1, plan="loop"),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run folder of every learner, made when first asked for."""
    root = tmp_path_factory.mktemp("runs")

    def make(name):
        if not (root / name).exists():
            build(options(name)).meta_train(root / name)
        return root / name

    return make


@pytest.fixture(scope="module")
def digits():
    pool = build(options("protonet")).splits.test
    x = torch.cat([pool.data[0, :1], pool.data[1, :3], pool.data[2, :2]])
    return x.numpy(), ["seven", "eight", "eight", "eight", "nine", "nine"], pool.data[:, 10:14].flatten(0, 1).numpy()


@pytest.mark.parametrize("name", catalogue())
def test_every_learner_fits_predicts_and_comes_back_from_its_file(name, runs, digits, tmp_path):
    x, y, new = digits
    fitted = FewShotClassifier.load(runs(name)).fit(x, y)
    assert fitted.classes_.tolist() == ["eight", "nine", "seven"]
    assert fitted.examples_ == {"seven": 1, "eight": 3, "nine": 2}
    p = fitted.predict_proba(new)
    assert p.shape == (12, 3) and np.allclose(p.sum(1), 1)
    assert (fitted.predict(new) == fitted.classes_[p.argmax(1)]).all()
    assert np.allclose(fitted.predict_proba(new[:1]), p[:1], atol=1e-5), "one answer does not depend on the others"

    again = FewShotClassifier.load(fitted.save(tmp_path / "t.fewshot"))
    assert np.array_equal(again.predict_proba(new), p)
    assert again.classes_.tolist() == fitted.classes_.tolist() and again.examples_ == fitted.examples_
    assert np.array_equal(FewShotClassifier.load(again.save(tmp_path / "u.fewshot")).predict_proba(new), p)


def test_what_goes_in(runs, digits):
    x, _, new = digits
    classifier = FewShotClassifier.load(runs("protonet")).fit(x, [0, 1, 1, 1, 2, 2])
    p = classifier.predict_proba(new)
    assert classifier.predict(new).dtype.kind == "i"
    for same in (torch.from_numpy(new), new / 255, (new / 255).astype(np.float64), new[:, 0], list(new)):
        assert np.allclose(classifier.predict_proba(same), p, atol=1e-6)
    assert classifier.predict_proba(new[:0]).shape == (0, 3)


def test_pictures(runs, digits, tmp_path):
    from PIL import Image

    x, y, new = digits
    paths = []
    for i, row in enumerate(x):
        paths.append(tmp_path / "dark" / y[i] / f"{i}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - row[0]).save(paths[-1])
    arrays = FewShotClassifier.load(runs("protonet")).fit(x, y)
    files = FewShotClassifier.load(runs("protonet")).fit(paths, y)
    folder = FewShotClassifier.load(runs("protonet")).fit_folder(tmp_path / "dark")
    folder = FewShotClassifier.load(folder.save(tmp_path / "f"))
    for classifier in (files, folder):
        assert np.allclose(classifier.predict_proba(new), arrays.predict_proba(new), atol=1e-6)
        assert np.allclose(classifier.predict_proba([str(paths[0])]), arrays.predict_proba(x[:1]), atol=1e-6)
        assert np.allclose(
            classifier.predict_proba(classifier.read(paths[0]).x), arrays.predict_proba(x[:1]), atol=1e-6
        )


def test_a_network_with_more_outputs_answers_among_the_classes_there_are(runs, digits):
    x, _, new = digits
    classifier = FewShotClassifier.load(runs("maml")).fit(x[:4], ["a", "b", "b", "b"])
    p = classifier.predict_proba(new)
    assert p.shape == (12, 2) and np.allclose(p.sum(1), 1)


def test_what_cannot_be(runs, digits, tmp_path):
    x, y, new = digits
    maml, protonet = FewShotClassifier.load(runs("maml")), FewShotClassifier.load(runs("protonet"))
    with pytest.raises(InputError, match=r"tell 3 classes apart, and these are 4.*protonet"):
        maml.fit(x, [0, 1, 2, 3, 3, 3])
    protonet.fit(x, [0, 1, 2, 3, 3, 3])
    for wrong, message in (
        (x[:, :, :4], "shape"),
        (x[0, 0], "shape"),
        (x.astype(np.float32), "divide by 255"),
        (np.where(x > 9, np.nan, x / 255), "NaN"),
        ("folder", "one path"),
        ([str(tmp_path / "none.png")], "none.png"),
        (["a", 1], "paths|numbers"),
    ):
        with pytest.raises(InputError, match=message):
            protonet.fit(wrong, y[: len(wrong)])
    for labels, message in ((y[:2], "one label"), ([0] * 6, "at least 2"), (np.linspace(0, 1, 6), "fractions")):
        with pytest.raises(InputError, match=message):
            protonet.fit(x, labels)
    assert len(protonet.classes_) == 4, "a refused fit leaves what was known"
    unfitted = FewShotClassifier.load(runs("protonet"))
    for ask in (lambda: unfitted.predict(new), lambda: unfitted.save(tmp_path / "f")):
        with pytest.raises(InputError, match="call fit first"):
            ask()
    assert not (tmp_path / "f").exists()
