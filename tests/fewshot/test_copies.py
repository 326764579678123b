"""Copies of a classifier, fitted or not, know what it knows: pickle, deepcopy, joblib, clone."""

import copy
import io
import pickle
import subprocess
import sys
from typing import Any

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import installed, kind, names
from innerloop.runs import build
from tests.runs.test_build import small

TEXTS = ["refund please", "money back", "i lost my card", "card is gone", "where is it", "not arrived yet"]
LABELS = ["refund", "refund", "card", "card", "delivery", "delivery"]
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def dumped(classifier):
    file = io.BytesIO()
    joblib.dump(classifier, file)
    file.seek(0)
    return joblib.load(file)


def cloned(classifier: FewShotClassifier) -> FewShotClassifier:
    copied: Any = clone(classifier)
    return copied


COPIES = {"pickle": lambda c: pickle.loads(pickle.dumps(c)), "deepcopy": copy.deepcopy, "joblib": dumped}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, of tasks of three digits."""
    out = tmp_path_factory.mktemp("runs") / "p"
    options = small("protonet")
    build(options).meta_train(out)
    return out


def examples(name):
    if name in (None, "tests.fewshot.test_copies:own"):
        return VECTORS
    if name == "run":
        return np.random.default_rng(0).uniform(size=(6, 1, 8, 8)).astype(np.float32)
    if kind(name) == "texts":
        return TEXTS
    pixels = np.random.default_rng(0).integers(0, 255, (6, 30, 30), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


def own():
    """A network of one's own."""
    from torch import nn

    return nn.Linear(4, 3)


def among(names):
    """Sources of a copy; encoders whose networks take seconds are left to the slow tests."""
    large = ("minilm", "efficientnet-lite0")
    return [pytest.param(name, marks=pytest.mark.slow) if name in large else name for name in names]


@pytest.mark.exact
@pytest.mark.parametrize("name", [None, "run", "tests.fewshot.test_copies:own", *among(names())])
def test_a_copy_answers_as_the_original(name, run):
    if name in names() and name not in installed():
        pytest.skip(f"the package of {name} is not installed")
    x = examples(name)
    blank = FewShotClassifier(run if name == "run" else name, allow=("tests",))
    fitted = cloned(blank).fit(x, LABELS)
    expected = fitted.predict_proba(x)
    for how, made in COPIES.items():
        again = made(fitted)
        assert np.array_equal(again.predict_proba(x), expected), how
        assert again.history == fitted.history and again.drop("card").classes_.tolist() == ["delivery", "refund"]
        assert fitted.classes_.tolist() == ["card", "delivery", "refund"], "the original stays as it is"
    fresh = cloned(fitted)
    with pytest.raises(InputError, match="call fit first"):
        fresh.predict(x)
    again = pickle.loads(pickle.dumps(fresh)).fit(x, LABELS)
    assert np.array_equal(again.predict_proba(x), expected)
    # A frozen encoder is named, as in a file, not copied.
    assert len(pickle.dumps(fitted)) < 4_000_000


@pytest.mark.slow  # a process that imports everything anew
def test_another_process_takes_it_over(tmp_path):
    fitted, file = (
        FewShotClassifier("tests.fewshot.test_copies:own", allow="tests").fit(VECTORS, LABELS),
        tmp_path / "c",
    )
    file.write_bytes(pickle.dumps((fitted, VECTORS)))
    code = f"import pickle; c, x = pickle.load(open({str(file)!r}, 'rb')); print(c.predict(x).tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(fitted.predict(VECTORS).tolist())
