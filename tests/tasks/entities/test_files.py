"""Words of plain text, JSON with spans of characters, and what a file is by its name."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.core.errors import InputError
from innerloop.tasks.entities import files, json_spans
from innerloop.tasks.entities.sentences import Sentence, Span
from innerloop.tasks.entities.words import offsets, placed, sentence
from tests.tasks.entities.made import sentences as made


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in offsets(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Peter's dog didn’t bark.", ["Peter", "'s", "dog", "didn", "’t", "bark", "."]),
        (
            "O'Neill 'so' U.S.-based F1 snake_case",
            ["O", "'", "Neill", "'", "so", "'", *"U.S.-", "based", "F1", "snake_case"],
        ),
        ("我在北京 learn コン", ["我", "在", "北", "京", "learn", "コ", "ン"]),
        ("👩\u200d👩\u200d👧👍🏽🇩🇪🇫🇷 1\ufe0f\u20e3", ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇫🇷", "1\ufe0f\u20e3"]),
        ("e\u0301cole क्\u200dष हिन्दी", ["e\u0301cole", "क्\u200dष", "हिन्दी"]),
        ("\u200babc x\u200d y", ["\u200babc", "x\u200d", "y"]),
        (" \t\u00a0\n", []),
        ("w" * 5000, ["w" * 5000]),
    ],
)
def test_text_is_cut_into_words(text: str, expected: list[str]):
    assert words(text) == expected


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("ab1'’sS \u200d\u0301🇩👍🏽北"), max_size=40))
def test_every_character_that_is_no_blank_is_in_one_word(text: str):
    places = offsets(text)
    assert [i for a, b in places for i in range(a, b)] == [i for i, c in enumerate(text) if not c.isspace()]
    assert words(" ".join(words(text))) == words(text), "words are cut no further"


def read(content: object, **options) -> list[Sentence]:
    text = content if isinstance(content, str) else json.dumps(content)
    return json_spans.read(io.BytesIO(text.encode()), "f.json", say=lambda _: None, **options)


def one(text: str, *entities: object, **more: object) -> dict[str, object]:
    return {"text": text, "entities": list(entities), **more}


def test_json_is_a_list_or_lines_of_objects_and_entities_are_objects_or_triples():
    content = [one("Ada met Bob", {"start": 0, "end": 4, "label": "person"}, [8, 11, "person"]), one("")]
    expected = [sentence("Ada met Bob", [Span(0, 3, "person"), Span(8, 11, "person")]), sentence("")]
    assert read(content) == read("\n".join(map(json.dumps, content)) + "\n\n") == expected
    assert expected[0].spans == (Span(0, 1, "person"), Span(2, 3, "person"))
    assert read({"text": "Ada"}, tagged=False) == [sentence("Ada")]
    assert read(one("Ada", [0, 99, "person"]), tagged=False) == [sentence("Ada")], "they are not looked at"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "f.json holds no text"),
        ("[[[[", "f.json is not JSON"),
        ("[" * 100_000, "f.json is not JSON"),
        ('{"text": "a"', "line 1 is not JSON"),
        ([7], "entry 1 is not an object with a text"),
        ({"text": "Ada"}, "has no list of entities"),
        (one("Anna lives", [0, 3, "person"]), r"the person from 0 to 3, 'Ann', cuts the word 'Anna' \(0 to 4\)"),
        (one("Anna lives", [0, 4, "person"], [0, 10, "x"]), "the x from 0 to 10 overlaps another one"),
        (one("Anna", [0, 5, "x"]), "is not in the text, which has 4 characters"),
        (one("Anna", [-1, 4, "x"]), "is not in the text"),
        (one("Anna", [2, 2, "x"]), "the x from 2 to 2 is empty"),
        (one("a b", [1, 2, "x"]), "holds no word, only blanks"),
        (one("Anna", [0, 4.0, "x"]), "entity 1: start and end are 0 and 4.0"),
        (one("Anna", [0, True, "x"]), "entity 1: start and end are 0 and True"),
        (one("Anna", [0, 4, " "]), "entity 1: the type is ' '"),
        (one("Anna", "x"), "entity 1 is not an object with start, end and type"),
        (one("Anna \ud800"), "holds half a character"),
        (one("Anna", words=[[0, 3], [2, 4]]), r"word 2 is \[2, 4\]"),
    ],
)
def test_wrong_spans_are_named_with_their_place(content: object, message: str):
    with pytest.raises(InputError, match=message):
        read(content)


@settings(max_examples=60, deadline=None)
@given(made(), st.booleans())
def test_json_that_is_written_is_read_back(sentences: list[Sentence], by_line: bool):
    content = "".join(json_spans.write(sentences, by_line=by_line))
    blank = any(not word.strip() for sentence in sentences for word in sentence.words)
    if blank:
        with pytest.raises(InputError, match=r"not blank|holds no word"):
            read(content)
    else:
        assert read(content) == [placed(s) for s in sentences]


def test_files_are_what_their_names_say(tmp_path: Path):
    sentences = [sentence("Ada met Bob's dog.", [Span(0, 3, "person")]), sentence("No one.")]
    for name in ("a.conll", "a.json", "a.JSONL"):
        files.write(tmp_path / name, sentences)
        back = files.read(tmp_path / name)
        assert [(s.words, s.spans) for s in back] == [(s.words, s.spans) for s in sentences]
        assert files.is_tagged(tmp_path / name)
    files.write(tmp_path / "b.json", sentences, confidences=[[0.51239], []])
    assert json.loads((tmp_path / "b.json").read_text())[0]["entities"] == [
        {"start": 0, "end": 3, "type": "person", "text": "Ada", "confidence": 0.5124}
    ]
    with pytest.raises(InputError, match="tagged sentences are CoNLL"):
        files.read("a.pdf")
    with pytest.raises(InputError, match=r"cannot read .*none.conll: No such file"):
        files.read(tmp_path / "none.conll")
    (tmp_path / "t.json").write_text('[{"text": "a", "label": "b"}]')
    assert not any(files.is_tagged(tmp_path / name) for name in ("t.json", "a.tsv", "folder"))


def test_plain_text_is_a_sentence_a_line():
    assert files.plain(io.BytesIO(b"Ada met Bob.\r\n\n  Hi\n"), "t") == [sentence("Ada met Bob."), sentence("  Hi")]
    with pytest.raises(InputError, match="holds no text"):
        files.plain(io.BytesIO(b"\n"), "t")
