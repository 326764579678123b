import pytest
import torch

from innerloop.apps.text.desk.search import Index, words

pytest.importorskip("bm25s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The E-4711's lid.", ["the", "e", "4711", "s", "lid"]),
        ("保修期有 2 年", ["保修", "修期", "期有", "2", "年"]),
        ("用USB充电", ["用", "usb", "充电"]),
        ("😀 \ud800 _", []),
    ],
)
def test_words_of_any_script(text, expected):
    assert words(text) == expected


def test_meaning_and_words_are_added():
    rows = torch.eye(3)
    index = Index(["the red lamp", "the part E4711", "the the the"], rows)
    plain = index.search("nothing shared", torch.tensor([0.0, 0.0, 2.0]))
    assert plain[0].place == 2 and plain[0].similarity == pytest.approx(1)
    # A code that the encoder knows nothing of.
    assert index.search("E4711", torch.ones(3))[0].place == 1
    assert index.search("the", torch.tensor([1.0, 0.2, 0.2]))[0].place == 0
    assert index.search("the red lamp", rows[0])[0].similarity <= 1.5


def test_texts_without_words_are_searched_by_meaning():
    index = Index(["😀", "…"], torch.eye(2))
    assert [hit.place for hit in index.search("😀", torch.tensor([0.0, 1.0]))] == [1, 0]
