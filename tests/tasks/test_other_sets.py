"""Data sets of other libraries, by stand-ins that can do what theirs can."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import Subset, TensorDataset

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.tasks import EpisodeSampler, Pool
from innerloop.tasks.other_sets import is_dataset, pairs

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 3, 20, 20), dtype=np.uint8)


class Vision:
    """As in torchvision."""

    def __init__(self, form="tensor", classes=("cat", "dog", "owl")):
        self.form, self.classes = form, list(classes)

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, i):
        picture = PIXELS[i]
        forms = {"tensor": torch.from_numpy(picture) / 255, "array": picture}
        return forms.get(self.form, Pillow.fromarray(picture.transpose(1, 2, 0))), i % 3


@dataclass
class Value:
    dtype: str


@dataclass
class ClassLabel:
    names: list[str]
    dtype: str = "int64"


class Image:
    dtype = "PIL.Image.Image"


class List:
    pass


class Hugging:
    """As in Hugging Face datasets."""

    def __init__(self, features: dict[str, Any], columns: dict[str, list[Any]]):
        self.features, self.columns = features, columns

    @property
    def column_names(self):
        return list(self.features)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i):
        return {name: values[i] for name, values in self.columns.items()}


TEXTS = ["refund please", "money back", "i lost my card", "card is gone"]
INTENTS = Hugging(
    {"id": Value("string"), "text": Value("string"), "label": ClassLabel(["refund", "card"])},
    {"id": list("abcd"), "text": TEXTS, "label": [0, 0, 1, 1]},
)


@pytest.mark.parametrize("form", ["tensor", "array", "pillow"])
def test_pairs_become_a_pool(form):
    pool = Pool.from_dataset(Vision(form))
    size = 84 if form == "pillow" else 20
    assert pool.names == ("cat", "dog", "owl") and pool.shape == (3, size, size) and pool.counts.tolist() == [2, 2, 2]
    if form != "pillow":
        expected = torch.from_numpy(PIXELS[3]) / (255 if form == "tensor" else 1)
        assert torch.equal(pool.data[0, 1].float(), expected.float())
    assert Pool.from_dataset(Vision("pillow"), size=8, channels=1, ink="light").shape == (1, 8, 8)
    EpisodeSampler(pool=pool, ways=3, shots=1, queries=1).episodes(0, 1)


def test_those_of_torch_are_read_too():
    rows = TensorDataset(torch.arange(8.0).reshape(4, 2), torch.tensor([0, 0, 7, 7]))
    assert pairs(rows)[1] == [0, 0, 7, 7] and Pool.from_dataset(rows).names == ("0", "7")
    assert pairs(Subset(Vision(), [1, 2]))[1] == ["dog", "owl"]  # pyright: ignore[reportArgumentType]


def test_columns_are_told_by_their_features():
    assert pairs(INTENTS) == (TEXTS, ["refund", "refund", "card", "card"])
    assert pairs(INTENTS, x="id", y="text")[0] == list("abcd")
    pictures = Hugging({"img": Image(), "fine": ClassLabel(["a", "b"])}, {"img": [1, 2], "fine": [1, 0]})
    assert pairs(pictures) == ([1, 2], ["b", "a"])
    vectors = Hugging({"v": List(), "label": Value("string")}, {"v": [[1.0, 2.0], [3.0, 4.0]], "label": ["x", "y"]})
    assert Pool.from_dataset(vectors).shape == (2,)
    lengths = Pool.from_dataset(INTENTS, encode=lambda texts: [[len(text), 1.0] for text in texts])
    assert lengths.names == ("card", "refund") and lengths.data[0, 0, 0] == len(TEXTS[2])


def with_features(**change: Any) -> Hugging:
    return Hugging(INTENTS.features | change, INTENTS.columns)


def test_columns_that_cannot_be_told_are_asked_for():
    assert pairs(with_features(label=Value("string")))[1] == [0, 0, 1, 1], "by its name alone"
    with pytest.raises(InputError, match="no column is certain to be the examples"):
        pairs(with_features(text=Value("int64"), id=Value("int64")))
    with pytest.raises(InputError, match=r"may be the classes .*y='\.\.\.', or leave out the others"):
        pairs(with_features(id=ClassLabel(["b"])))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="encode="):
        Pool.from_dataset(INTENTS)
    with pytest.raises(InputError, match="no column 'words', only 'id', 'text', 'label'"):
        pairs(INTENTS, x="words")
    with pytest.raises(InputError, match=r"2 splits: give one, such as data\['train'\]"):
        FewShotClassifier().fit({"train": INTENTS, "test": INTENTS})
    hidden = Hugging(INTENTS.features, INTENTS.columns | {"label": [0, 0, -1, 1]})
    with pytest.raises(InputError, match="example 2 of the data set has no class"):
        pairs(hidden)
    for other in ([1, 2], np.zeros(3), torch.zeros(3), "ab", {"a": 1}, [([1.0], 0)], 3):
        assert not is_dataset(other)
        with pytest.raises(InputError, match="is no data set"):
            Pool.from_dataset(other)


def test_a_classifier_learns_from_a_data_set():
    flat = TensorDataset(torch.tensor([[0.0, 1], [0, 2], [5, 1], [6, 1]]), torch.tensor([3, 3, 4, 4]))
    taught = FewShotClassifier().fit(flat)
    assert taught.classes_.tolist() == [3, 4] and taught.score(flat) == 1
    more = TensorDataset(torch.tensor([[0.0, 50], [0, 51]]), torch.tensor([5, 5]))
    assert taught.partial_fit(more).classes_.tolist() == [3, 4, 5] and FewShotClassifier().add(flat).score(flat) == 1
    with pytest.raises(InputError, match="requires y to be passed"):
        FewShotClassifier().fit(torch.zeros(4, 2))
    kanji = FewShotClassifier("kanji-protonet").fit(Vision("pillow"))
    assert kanji.classes_.tolist() == ["cat", "dog", "owl"]
