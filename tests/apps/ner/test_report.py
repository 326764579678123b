"""Reports of entities, held against seqeval and scikit-learn."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.metrics import classification_report as of_words

from innerloop.apps.ner.mistakes import KINDS, mistakes
from innerloop.apps.ner.report import report
from innerloop.apps.ner.tables import entity_tables, token_table
from innerloop.cli.ner.tables import in_context
from innerloop.core.errors import InputError
from innerloop.report.entities import write_entities
from innerloop.tasks.entities.sentences import OTHER, Sentence, Span, spans, tags

AS_NUMBERS: Any = {"output_dict": True, "zero_division": 0}
WORDS = ("Ada", "Lovelace", "wrote", "to", "Charles", "Babbage", "in", "London")
TRUE = (Span(0, 2, "person"), Span(4, 6, "person"), Span(7, 8, "place"))


def sentence(*entities: Span, words: tuple[str, ...] = WORDS) -> Sentence:
    return Sentence(words, entities)


@st.composite
def tagged(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    """True and predicted tags of a few sentences, in BIO, with entities that touch."""
    kinds = st.sampled_from(["O", "O", "B-a", "I-a", "B-b", "I-b", "B-long name", "I-long name"])
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    both = [draw(st.lists(kinds, min_size=2 * n, max_size=2 * n)) for n in lengths]
    # Entities as they are read, so that every I- has its beginning.
    fixed = [
        tags(spans(row[half * n : (half + 1) * n]), n) for half in (0, 1) for row, n in zip(both, lengths, strict=True)
    ]
    return fixed[: len(lengths)], fixed[len(lengths) :]


def in_io(rows: list[list[str]]) -> list[list[str]]:
    return [["I" + tag[1:] if tag != OTHER else tag for tag in row] for row in rows]


@settings(max_examples=1000, deadline=None)
@given(tagged())
def test_tables_are_those_of_seqeval(both: tuple[list[list[str]], list[list[str]]]) -> None:
    strict = {"mode": "strict", "scheme": IOB2}
    for (true, answered), how in ((both, strict), ((in_io(both[0]), in_io(both[1])), {})):
        gold, found = ([spans(row) for row in rows] for rows in (true, answered))
        if not any(gold) and not any(found):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected: Any = classification_report(true, answered, **AS_NUMBERS, **how)
        table = entity_tables(gold, found)["strict"].to_json()
        ours = table["rows"] | {f"{name} avg": table[name] for name in ("micro", "macro", "weighted")}
        assert set(ours) == set(expected)
        for name, row in expected.items():
            values = [row[key] for key in ("precision", "recall", "f1-score", "support")]
            np.testing.assert_allclose(list(ours[name].values()), np.array(values, dtype=float), atol=1e-12)


def test_words_are_counted_as_scikit_learn_counts_them() -> None:
    answered = [Span(0, 1, "person"), Span(4, 6, "place"), Span(7, 8, "place")]
    table = token_table([TRUE], [answered], [len(WORDS)])
    true, other = tags(TRUE, 8), tags(answered, 8)
    expected: Any = of_words(true, other, **AS_NUMBERS)
    assert list(table.rows) == ["B-person", "I-person", "B-place", "I-place", "O"]
    ours = {**table.rows, "macro avg": table.macro, "weighted avg": table.weighted}
    for name, row in ours.items():
        of = expected[name]
        assert tuple(row) == pytest.approx((of["precision"], of["recall"], of["f1-score"], of["support"]))
    assert table.micro.f1 == expected["accuracy"]


def test_schemas_forgive_what_they_say() -> None:
    answered = [Span(0, 1, "person"), Span(4, 6, "place"), Span(7, 8, "place")]
    found = {name: table.micro for name, table in entity_tables([TRUE], [answered]).items()}
    # One has another boundary, one another type, one is right.
    assert {name: score.f1 for name, score in found.items()} == pytest.approx(
        {"strict": 1 / 3, "exact": 2 / 3, "partial": 2.5 / 3, "type": 2 / 3}
    )


def test_mistakes_are_told_apart() -> None:
    true = [Span(0, 2, "a"), Span(3, 5, "a"), Span(6, 8, "a"), Span(9, 10, "b"), Span(11, 12, "b")]
    answered = [Span(0, 2, "b"), Span(3, 4, "a"), Span(7, 9, "b"), Span(10, 11, "a"), Span(11, 12, "b")]
    assert [(one.kind, one.gold, one.predicted) for one in mistakes([true], [answered])] == [
        ("type", true[0], answered[0]),
        ("boundary", true[1], answered[1]),
        ("both", true[2], answered[2]),
        ("missed", true[3], None),
        ("invented", None, answered[3]),
    ]


def test_an_entity_is_in_one_mistake() -> None:
    """Two predictions within one true entity: the one that shares most of it is held against it."""
    true, answered = [Span(0, 5, "a")], [Span(0, 2, "a"), Span(2, 5, "a")]
    assert [(one.kind, one.predicted) for one in mistakes([true], [answered])] == [
        ("boundary", answered[1]),
        ("invented", answered[0]),
    ]


@settings(max_examples=100, deadline=None)
@given(tagged())
def test_every_entity_is_right_or_in_a_mistake(both: tuple[list[list[str]], list[list[str]]]) -> None:
    gold, answered = ([spans(row) for row in rows] for rows in both)
    found = mistakes(gold, answered)
    right = sum(len(set(a) & set(b)) for a, b in zip(gold, answered, strict=True))
    assert {one.kind for one in found} <= set(KINDS)
    assert right + sum(one.gold is not None for one in found) == sum(map(len, gold))
    assert right + sum(one.predicted is not None for one in found) == sum(map(len, answered))


def test_counts_are_pooled_over_episodes() -> None:
    """Not the mean of F1 of episodes: an episode with many entities weighs more."""
    gold = [sentence(*TRUE), sentence(*TRUE), sentence(TRUE[0])]
    answered = [sentence(*TRUE), sentence(), sentence(TRUE[2])]
    measured = report(gold, answered, episodes=[7, 7, 9])
    assert measured.counts.tolist() == [[3, 3, 6], [0, 1, 1]]
    assert measured.f1.value == pytest.approx(6 / 11)
    assert measured.unit_f1 == pytest.approx([6 / 9, 0])
    assert 0 < measured.f1.ci95 < 0.5


def test_entities_that_touch_are_one_in_io() -> None:
    touching, joined = sentence(Span(0, 1, "a"), Span(1, 2, "a")), sentence(Span(0, 2, "a"))
    assert report([touching], [joined]).f1.value == 0
    assert report([touching], [joined], mode="io").f1.value == 1


def test_a_page_and_lines_show_mistakes_in_their_sentence(tmp_path) -> None:
    words = (*WORDS, "<b>&amp;")
    measured = report([sentence(*TRUE, words=words)], [sentence(Span(4, 5, "person"), words=words)])
    assert measured.kinds == {"type": 0, "boundary": 1, "both": 0, "missed": 2, "invented": 0}
    assert measured.confusion["place"] == {"person": 0, "place": 0, "O": 1}
    assert "% of words are O" in measured.why
    page = write_entities(tmp_path / "page.html", measured.to_json(), title="Letters").read_text()
    assert '<mark class="true answer">Charles</mark> <mark class="true ">Babbage</mark>' in page
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert in_context(*measured.shown[0]) == (
        "#1 is [Charles Babbage] person; predicted [Charles] person: "
        "Ada Lovelace wrote to [Charles Babbage] in London <b>&amp;"
    )


@pytest.mark.parametrize(
    ("gold", "predicted", "said"),
    [
        ([sentence(*TRUE)], [], "1 sentences with true entities and 0 with predicted"),
        ([sentence(*TRUE)], [sentence(words=WORDS[:3])], "sentence 1 is not the same in both: 8 words"),
        ([sentence(), sentence()], [sentence(), sentence(words=("Eva", *WORDS[1:]))], "sentence 2 .* word 1 is 'Ada'"),
        ([sentence()], [sentence()], "there is no entity"),
        ([], [], "there is no sentence"),
    ],
)
def test_what_cannot_be_measured_is_said(gold, predicted, said) -> None:
    with pytest.raises(InputError, match=said):
        report(gold, predicted)
