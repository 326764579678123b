"""What Python programs hold: arrays and tensors of pictures, labels of any kind, folders in folders."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.texts.splits import read_table

PICTURES = np.random.default_rng(0).integers(0, 255, (4, 12, 9, 3), dtype=np.uint8)
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def colours() -> nn.Module:
    """A network of one's own for pictures: their mean colours in four corners."""
    net: Any = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    net.size = 8
    return net


def blank() -> FewShotClassifier:
    return FewShotClassifier("tests.fewshot.test_python_inputs:colours", allow="tests")


def test_a_picture_is_the_same_in_every_form():
    expected = blank().rows([Image.fromarray(one) for one in PICTURES])
    first = PICTURES.transpose(0, 3, 1, 2)
    forms = (
        PICTURES,
        list(PICTURES),
        torch.from_numpy(first),
        [torch.from_numpy(one) for one in first],
        torch.from_numpy(first) / 255,
        PICTURES / 255.0,
        PICTURES.astype(np.int64),
    )
    for form in forms:
        assert torch.equal(blank().rows(form), expected)
    taught = blank().fit(PICTURES, ["a", "a", "b", "b"])
    assert np.array_equal(taught.predict_proba(list(PICTURES)), taught.predict_proba(forms[2]))
    assert torch.equal(blank().rows(PICTURES[..., 0]), blank().rows([Image.fromarray(one[..., 0]) for one in PICTURES]))
    assert blank().rows([PICTURES[0], PICTURES[1][:5]]).shape == (2, 12), "of any size each"
    assert torch.equal(blank().rows(expected), expected), "rows stay rows"


def test_what_is_no_picture_is_refused():
    with pytest.raises(InputError, match="fractions go from 0 to 1; give it as it was before it was normalised"):
        blank().rows(PICTURES / 100.0)
    with pytest.raises(InputError, match=r"X is one picture of shape \[12, 9, 3\]; give a list"):
        blank().rows(PICTURES[0])
    with pytest.raises(InputError, match="whole numbers go from 0 to 255"):
        blank().rows(PICTURES.astype(np.int32) - 1)
    with pytest.raises(InputError, match="height, width and 1 or 3 channels"):
        blank().rows(np.zeros((2, 5, 6, 7)))


@pytest.mark.parametrize("y", [[True, True, False, False], [1.0, 1.0, 2.0, 2.0], [1, 1, 2, 2], ["1", "1", "2", "2"]])
def test_labels_stay_what_they_are(y):
    taught = FewShotClassifier().fit(VECTORS, y)
    assert taught.classes_.tolist() == sorted(set(y)) and taught.predict(VECTORS[:1]).tolist()[0] in y


@pytest.mark.parametrize("y", [[["a", "b"], ["c"], ["a"], ["b"]], [["a", "b"]] * 4, [{"a"}, {"b"}, {"a"}, {"a", "b"}]])
def test_several_labels_of_one_example_are_refused(y):
    with pytest.raises(InputError, match=r"first to example 0; not supported: teach one classifier for each label"):
        FewShotClassifier().fit(VECTORS, y)


def test_a_table_says_true_to_training_and_to_teaching(tmp_path):
    table = tmp_path / "t.json"
    rows = [{"text": f"some words {i}", "label": label} for i, label in enumerate([True, True, False, False])]
    table.write_text(json.dumps(rows))
    assert read_table(table).labels == ("True", "True", "False", "False")
    assert FewShotClassifier("use-multilingual").fit_folder(table, TableOptions()).classes_.tolist() == [False, True]


def test_the_parent_of_a_folder_of_classes_is_refused(tmp_path, capsys):
    for kind in ("cat", "dog", "owl"):
        for i, one in enumerate(PICTURES[:2]):
            place = tmp_path / "parent" / "pictures" / kind
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one).save(place / f"{i}.png")
    parent, file = tmp_path / "parent", str(tmp_path / "t.fewshot")
    words = ["tests.fewshot.test_python_inputs:colours", "--allow", "tests"]
    assert main(["adapt", words[0], str(parent), "--out", file, *words[1:]]) == 2
    assert "if these are the classes, give" in capsys.readouterr().err
    assert main(["adapt", words[0], str(parent / "pictures"), "--out", file, *words[1:]]) == 0
    assert main(["add", file, str(parent), *words[1:]]) == 2
    assert f"give {parent / 'pictures'}" in capsys.readouterr().err
    # A class that is known may be kept in folders of its own, and one folder of pictures is a class.
    (parent / "pictures").rename(parent / "cat")
    assert main(["add", file, str(parent), *words[1:]]) == 0
