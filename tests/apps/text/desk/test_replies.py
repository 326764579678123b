import json

import pytest

from innerloop.apps.text.desk import replies
from innerloop.core.errors import InputError

INTENTS = ["order status", "refund"]
ORDER = {
    "intent": "order status",
    "reply": ["Order {order} comes by {speed}.", "订单 {order} 已发出，{speed}。"],
    "slots": {
        "order": {"pattern": r"(?<!\d)(\d{5})(?!\d)", "ask": ["Which number?", "订单号是多少？"]},
        "speed": {"values": {"express": ["overnight", "快"], "express plus": []}, "ask": "How fast?"},
    },
}


def read(tmp_path, *entries):
    path = tmp_path / "replies.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in entries), encoding="utf-8")
    return replies.read(path, INTENTS)


def test_slots_are_filled_by_patterns_and_values(tmp_path):
    order, speed = read(tmp_path, ORDER)["order status"].slots
    assert order.find("it is 20418, I think") == "20418"
    assert order.find("204181") is None
    assert speed.find("Overnight, please") == "express"
    assert speed.find("EXPRESS PLUS") == "express plus"
    assert speed.find("expression") is None
    assert speed.find("要快一点") == "express"


def test_the_text_is_in_the_script_of_the_message(tmp_path):
    reply, values = read(tmp_path, ORDER)["order status"], {"order": "20418", "speed": "express"}
    assert reply.filled(values, replies.script_of("20418 到哪了？")) == "订单 20418 已发出，express。"
    assert reply.filled(values, replies.script_of("Where is 20418?")) == "Order 20418 comes by express."
    assert replies.script_of("iPhone 屏幕碎了") == "CJK" and replies.script_of("20418 😀") is None


def test_what_a_message_says_is_never_read_as_a_template(tmp_path):
    reply = read(tmp_path, {"intent": "refund", "reply": "{name}!", "slots": {"name": {"pattern": ".+", "ask": "?"}}})
    assert reply["refund"].filled({"name": "{name.__class__}"}, None) == "{name.__class__}!"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{", "line 1 is not JSON"),
        ([1], "is no reply"),
        ({"intent": "refund"}, "is no reply"),
        ({"intent": "refnd", "reply": "x"}, "did you mean 'refund'?"),
        ({"intent": "refund", "reply": "x", "slot": {}}, "did you mean 'slots'?"),
        ({"intent": "refund", "reply": "{order}"}, "nothing fills {order}"),
        ({"intent": "refund", "reply": "{"}, "written twice"),
        ({"intent": "refund", "reply": "{a.b}", "slots": {}}, "{a.b} is no slot"),
        ({"intent": "refund", "reply": "{a:>99}", "slots": {"a": {"pattern": ".", "ask": "?"}}}, "{a} is no slot"),
        ({"intent": "refund", "reply": []}, "reply is a text"),
        ({"intent": "refund", "reply": "x", "slots": {"a": {"pattern": "(", "ask": "?"}}}, "no regular expression"),
        ({"intent": "refund", "reply": "x", "slots": {"a": {"pattern": "."}}}, "has no question"),
        ({"intent": "refund", "reply": "x", "slots": {"a": {"ask": "?"}}}, "give one of them"),
        ({"intent": "refund", "reply": "x", "slots": {"a": {"values": [1], "ask": "?"}}}, "values are"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, entry, said):
    with pytest.raises(InputError, match="line 1") as refused:
        read(tmp_path, entry)
    assert said in str(refused.value)


def _entry(pattern):
    return {"intent": "refund", "reply": "{a}", "slots": {"a": {"pattern": pattern, "ask": "?"}}}


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*$",
        "(a|aa)+$",
        r"(\w+\s?)*$",
        r"(\S+\.)+x",
        "(a?){40}a{40}",
        "(.{0,9}){9}",
        r"(?=(\d{2,4}-?)+$).",
        r"((\w)\2)+",
        "(" * 80 + "a*" * 200 + ")" * 80,
    ],
)
def test_a_slot_whose_time_doubles_is_refused_by_its_line_and_never_found_where_it_is_kept(tmp_path, pattern):
    with pytest.raises(InputError, match=r"line 1, slot 'a': the pattern .* could take for ever"):
        read(tmp_path, _entry(pattern))
    kept = replies.checked([("replies[0]", _entry(pattern))], INTENTS, kept=True)
    assert kept["refund"].slots[0].find("a" * 400 + "!") is None and kept["refund"].slots[0].ask == ("?",)


@pytest.mark.parametrize(
    ("pattern", "message", "value"),
    [
        (r"\S+@\S+\.\S+", "I am ann@shop.org", "ann@shop.org"),
        (r"(?:\w+[-. ])+\d", "model ab-cd-7", "model ab-cd-7"),
        (r"(?:\d{4}-?){3,4}", "1234-5678-9012", "1234-5678-9012"),
        (r"(\w)\1", "feet", "e"),
    ],
)
def test_a_slot_may_be_slower_than_a_rule(tmp_path, pattern, message, value):
    (slot,) = read(tmp_path, _entry(pattern))["refund"].slots
    assert slot.find(message) == value


def test_an_intent_is_answered_once(tmp_path):
    entry = {"intent": "refund", "reply": "x"}
    with pytest.raises(InputError, match="line 2 answers 'refund' again"):
        read(tmp_path, entry, entry)
