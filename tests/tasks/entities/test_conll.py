"""CoNLL files as people have them, right ones and wrong ones."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from innerloop.core.errors import InputError
from innerloop.tasks.entities import conll
from innerloop.tasks.entities.sentences import Scheme, Sentence, Span, spans, tags
from tests.tasks.entities.made import sentences as made

SENTENCES = [
    Sentence(("Ada", "Lovelace", "of", "London"), (Span(0, 2, "person"), Span(3, 4, "place"))),
    Sentence(("Ada", "Bob", "met"), (Span(0, 1, "person"), Span(1, 2, "person"))),
]


def read(text: str | bytes, name: str = "f.conll", **options):
    """Sentences, and what was said."""
    said = list[str]()
    content = text.encode() if isinstance(text, str) else text
    return conll.read(io.BytesIO(content), name, say=said.append, **options), said


def lines(scheme: Scheme, columns: int = 2, separator: str = "\t", end: str = "\n") -> str:
    blocks = [
        end.join(
            separator.join([word, *["NN"] * (columns - 2), tag])
            for word, tag in zip(s.words, tags(s.spans, len(s.words), scheme), strict=True)
        )
        for s in SENTENCES
    ]
    return (end + end).join(blocks) + end


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
@pytest.mark.parametrize(("columns", "separator"), [(2, "\t"), (3, " "), (4, "   ")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_columns_separators_and_ends_of_lines(scheme: Scheme, columns: int, separator: str, end: str):
    start = f"-DOCSTART- -X- O O{end}{end}"
    content = start + lines(scheme, columns, separator, end) + end
    assert read(b"\xef\xbb\xbf" + content.encode()) == (SENTENCES, [])


@pytest.mark.parametrize("content", [lines("bioes").replace("E-", "L-").replace("S-", "U-"), lines("bioes")])
def test_ends_of_entities_are_called_e_and_s_or_l_and_u(content: str):
    assert read(content)[0] == SENTENCES


def test_bmes_iob1_and_bare_types():
    assert read("a B-x\nb M-x\nc E-x\nd S-x\n")[0][0].spans == (Span(0, 3, "x"), Span(3, 4, "x"))
    iob1 = "a I-x\nb I-x\nc B-x\nd I-y\n"
    assert read(iob1, strict=True) == (
        [Sentence(tuple("abcd"), (Span(0, 2, "x"), Span(2, 3, "x"), Span(3, 4, "y")))],
        [],
    )
    sentences, said = read("a O\nb art-film\nc art-film\n")
    assert sentences[0].spans == (Span(1, 3, "art-film"),) and "types without B- or I-" in said[0]
    assert read("a O\nb I-x\nc I-x\n") == ([Sentence(tuple("abc"), (Span(1, 3, "x"),))], []), "IO needs no beginnings"


def test_entities_without_a_beginning_are_counted_or_refused():
    content = "a B-x\nb O\n\nc I-x\nd O\ne B-y\nf I-x\n"
    sentences, said = read(content)
    assert [s.spans for s in sentences] == [(Span(0, 1, "x"),), (Span(0, 1, "x"), Span(2, 3, "y"), Span(3, 4, "x"))]
    assert said == [
        "f.conll: 2 entities begin with I- and not B- (first in line 4); read as beginnings, strict refuses them"
    ]
    with pytest.raises(InputError, match=r"line 4: I-x follows no B-x; 2 entities begin so"):
        read(content, strict=True)


def test_comments_are_skipped_and_words_that_look_like_them_are_not():
    content = "# id 7e12\tdomain=en\na O\n# text = x B\n\n# O\nb\tO\n# O\n"
    with pytest.raises(InputError, match="line 3 has 5 columns"):
        read(content)
    assert read(content.replace("# text = x B\n", ""))[0] == [Sentence(("a",)), Sentence(("#", "b", "#"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no sentence: every line needs a word first and its tag last"),
        ("\n\n", "holds no sentence"),
        ("a O\n" * 6 + "b\n" + "a O\n" * 9993, "f.conll, line 7 has 1 column, and files of 2 to 4 are read"),
        ("a N O\nb O\n", "line 2 has 2 columns, and line 1 has 3"),
        ("Where is my card?\n", "line 1: 'card\\?' is no tag"),
        ("a O\nb\t\n", "line 2: the tag is empty"),
        ("\tO\n", "line 1: the word is empty"),
        ("\u00a0\tO\n", "line 1: the word is empty"),
        ("a O\nb B-\n", "line 2: the tag 'B-' names no type: write it such as B-person"),
        ("a O\nb X-PER\n", "line 2: the tag 'X-PER' begins with X-, which no scheme has"),
        ("a O\nb PER\nc B-PER\n", "line 2: 'PER' is no tag; line 3 has B-"),
        ("a NN\nb VB\n", "line 1: 'NN' is no tag, nor is any other"),
        ("a U-x\nb S-x\n", r"mixes two schemes of tags: line 1 has U- \(BILOU\), line 2 has S- \(BIOES or BMES\)"),
        ("a B-x\nb I-x\n\nc S-y\n", r"mixes two schemes of tags: line 4 has S-.*line 2 ends one with I-x \(BIO\)"),
        (b"a O\nG\xe8ve O\n", "is not UTF-8: byte 0xe8 in line 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(content: str | bytes, message: str):
    with pytest.raises(InputError, match=message):
        read(content, encoding="utf-8")


def test_other_encodings_are_read_and_said():
    sentences, said = read("Genève B-loc\n".encode("cp1252"))
    assert sentences[0].words == ("Genève",) and "Windows-1252" in said[0]


def test_long_words_and_joiners_stay_as_they_are():
    word = "w" * 5000 + "\u200d" + "x"
    assert read(f"{word}\tB-x\nNew York\tB-y z\n")[0] == [
        Sentence((word, "New York"), (Span(0, 1, "x"), Span(1, 2, "y z")))
    ]


@settings(max_examples=60, deadline=None)
@given(made(), st.sampled_from(["bio", "bioes", "io"]))
def test_what_is_written_is_read_back(sentences: list[Sentence], scheme: Scheme):
    said, refused = list[str](), ""
    try:
        content = "".join(conll.write(sentences, scheme, said.append))
    except InputError as error:
        content, refused = "", str(error)
    if refused:
        assert "cannot stand in a CoNLL file" in refused or "has no words" in refused
        return
    back = conll.read(io.BytesIO(content.encode()), "f", strict=True)
    assert [s.words for s in back] == [s.words for s in sentences]
    assert back == [Sentence(s.words, s.spans) for s in sentences] or (
        scheme == "io" and "one with their neigh" in said[0]
    )


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(st.sampled_from("ab#-BIOESLUM \t\r\n\u200d\ufeffé"), max_size=60),
        st.lists(st.sampled_from(["a", "O", "B-x", "I-x", "E-x", "S-y", "U-x", "\t", " ", "\n", "\n\n"])).map("".join),
    ).map(str.encode)
    | st.binary(max_size=40)
)
def test_any_file_is_sentences_or_one_message(content: bytes):
    sentences, refused = list[Sentence](), ""
    try:
        sentences, _ = read(content)
    except InputError as error:
        refused = str(error)
    assert sentences or refused.startswith("f.conll")
    for sentence in sentences:
        assert sentence.words and all(word.strip() for word in sentence.words)
        assert all(a.end <= b.start for a, b in zip(sentence.spans, sentence.spans[1:], strict=False))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"])))
def test_spans_are_seqevals(labels: list[str]):
    assert [(s.type, s.start, s.end - 1) for s in spans(labels)] == get_entities(labels)
