import time

import pytest
import torch

from innerloop.apps.text.desk import replies, rules
from innerloop.apps.text.desk.desk import Desk, State
from innerloop.core.errors import InputError
from innerloop.fewshot.answers import Answer

SURE = Answer(label="refund", accepted=True, probabilities={"refund": 0.9, "order": 0.1})
ENTRIES = [
    {"intent": "emergency", "words": ["Gas  leak", "fire", "着火"], "hand_over": ["Call 112.", "请拨打119。"]},
    {"intent": "complaint", "pattern": r"\b(law(yer|suit)|sue you)\b"},
    {"intent": "order", "words": ["track"], "reply": "It comes.", "slots": {}},
    {"intent": "refund", "reply": "In five days."},
]


def desk(*entries) -> Desk:
    named = [(f"line {i}", one) for i, one in enumerate(entries or ENTRIES, 1)]
    return Desk(replies=replies.checked(named, ["refund", "order"]))


def said(at, message, answer=SURE, state=None):
    return at.respond(state or State(), at.hear(message, answer, torch.zeros(1)))


@pytest.mark.parametrize(
    ("message", "kind", "intent", "rule", "text"),
    [
        ("There is a GAS LEAK here", "hand-over", "emergency", "gas leak", "Call 112."),
        ("it smells, a gas\nleak  maybe", "hand-over", "emergency", "gas leak", "Call 112."),
        ("厨房着火了", "hand-over", "emergency", "着火", "请拨打119。"),
        (
            "my lawyer will write",
            "hand-over",
            "complaint",
            "lawyer",
            "A colleague will answer this; please wait a moment.",
        ),
        ("track it", "reply", "order", "track", "It comes."),
        ("I was fired, I want my money", "reply", "refund", None, "In five days."),
    ],
)
def test_words_decide_before_the_classifier_and_it_is_told(message, kind, intent, rule, text):
    state, turn = said(desk(), message)
    assert (turn.kind, turn.intent, turn.rule, turn.text) == (kind, intent, rule, text)
    assert state.intent == intent and (turn.probability is None) == (rule is not None)


@pytest.mark.parametrize(
    ("word", "inside", "alone"),
    [
        ("fire", "I was fired", "着火fire了"),
        ("öl", "Herr Möller", "Das Öl läuft aus"),
        ("газ", "где ваш магазин", "пахнет газ!"),
        ("着火", "着 火", "厨房着火了"),
        ("5", "Number 15", "number 5"),
    ],
)
def test_a_word_of_an_alphabet_stands_by_itself(word, inside, alone):
    assert not rules.holds(inside.casefold(), word) and rules.holds(alone.casefold(), word)


def test_words_interrupt_a_question():
    asking = {"intent": "order", "reply": "{n}", "slots": {"n": {"pattern": r"\d+", "ask": "Which?"}}}
    at = desk(ENTRIES[0], asking)
    state, turn = said(at, "order", Answer(label="order", accepted=True, probabilities={"order": 1.0}))
    assert turn.kind == "question" and state.asked == "n"
    state, turn = said(at, "fire at number 12", state=state)
    assert turn.kind == "hand-over" and turn.rule == "fire" and state.asked is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"intent": "emergency"}, "is no reply"),
        ({"intent": "emergency", "words": []}, "words is empty"),
        ({"intent": "emergency", "words": [""]}, "words are a list"),
        ({"intent": "emergency", "words": {"a": 1}}, "words are a list"),
        ({"intent": 3, "words": ["a"]}, "intent is a name"),
        ({"intent": "emergency", "pattern": "("}, "is no regular expression"),
        ({"intent": "emergency", "pattern": 3}, "is no regular expression"),
        ({"intent": "refund", "reply": "x", "hand_over": "y"}, "give reply or hand_over"),
        ({"intent": "emergency", "words": ["a"], "slots": {}}, "slots and no reply"),
        ({"intent": "emergency", "word": ["a"]}, "is no reply"),
        ({"intent": "refund", "reply": "x", "word": ["a"]}, "did you mean 'words'?"),
    ],
)
def test_a_rule_that_is_none_is_refused_by_its_line(entry, said):
    with pytest.raises(InputError, match="line 1") as refused:
        desk(entry)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*)*x", r"(\w+\s?)*$", "(a?){40}a{40}", ".*.*.*.*x", r"(a)\1+", "(a|b|ab)*c"],
)
def test_an_expression_that_might_take_for_ever_is_refused(pattern):
    with pytest.raises(InputError, match="could take very long"):
        rules.expression(pattern, "line 1")


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(fire|smoke|burn(s|ing)?)\b",
        r"(?<!\d)\d{5}(?!\d)",
        r"gas.*leak",
        r"(?i:leak)s?",
        r"call .{0,20} now",
        "x+y+",
    ],
)
def test_an_expression_that_is_taken_is_fast_on_any_message(pattern):
    found = rules.Rule(pattern=rules.expression(pattern, "line 1"))
    begin = time.process_time()
    for message in (
        "x" * rules.READ,
        "gas " * rules.READ,
        "call " * rules.READ,
        "burn" * rules.READ,
        "1" * 4 * rules.READ,
    ):
        found.find(message)
    assert time.process_time() - begin < 1
