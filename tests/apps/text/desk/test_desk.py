import re

import pytest
import torch

from innerloop.apps.text.desk.desk import Desk, State
from innerloop.apps.text.desk.passages import Passage
from innerloop.apps.text.desk.replies import Reply, Slot
from innerloop.apps.text.desk.search import Index
from innerloop.apps.text.desk.settings import HAND_OVER
from innerloop.fewshot.answers import Answer

ORDER = Slot(name="order", pattern=re.compile(r"\d{5}"), ask=("Which number?", "订单号？"))
ROW = torch.tensor([1.0, 0.0])


@pytest.fixture(scope="module")
def desk() -> Desk:
    pytest.importorskip("bm25s")
    guarantee = Passage(text="Two years.", source="a.md", heading="Guarantee")
    return Desk(
        replies={
            "status": Reply(texts=("{order} is near.", "{order} 在路上。"), slots=(ORDER,)),
            "hello": Reply(texts=("Hello!",)),
        },
        passages=[guarantee],
        index=Index([guarantee.searched], ROW[None]),
    )


def answer(intent: str | None) -> Answer:
    return Answer(label=intent, accepted=intent is not None, probabilities={"status": 0.9, "hello": 0.1, "other": 0.0})


def talk(desk, *messages, row=-ROW):
    """What is said to messages, each with the intent it is taken for."""
    state, turns = State(), []
    for message, intent in messages:
        state, turn = desk.respond(state, desk.hear(message, answer(intent), row))
        turns.append(turn)
    return turns


def test_a_missing_slot_is_asked_back_and_a_follow_up_stays_with_the_intent(desk):
    asked, said, again, hello = talk(
        desk, ("where?", "status"), ("20418", None), ("and 20419?", None), ("hi there", "hello")
    )
    assert (asked.kind, asked.slot, asked.text) == ("question", "order", "Which number?")
    assert (said.kind, said.text) == ("reply", "20418 is near.")
    assert (again.kind, again.text, again.intent) == ("reply", "20419 is near.", "status")
    assert hello.text == "Hello!"


def test_an_answer_to_what_was_asked_is_one_whatever_it_sounds_like(desk):
    _, said = talk(desk, ("where?", "status"), ("20418", "hello"))
    assert said.text == "20418 is near."
    _, hello = talk(desk, ("where?", "status"), ("hello", "hello"))
    assert hello.text == "Hello!"


def test_a_number_is_answered_in_the_script_of_what_was_said_before(desk):
    asked, said = talk(desk, ("在哪儿？", "status"), ("20418", None))
    assert asked.text == "订单号？" and said.text == "20418 在路上。"


def test_what_nobody_fills_is_handed_over(desk):
    *asked, last = talk(desk, ("where?", "status"), ("I do not know", None), ("really not", None))
    assert [turn.kind for turn in asked] == ["question", "question"]
    assert (last.kind, last.intent) == ("hand-over", "status")


def test_a_passage_is_quoted_with_its_source_or_a_person_takes_over(desk):
    (quoted,) = talk(desk, ("guarantee", None), row=ROW)
    assert (quoted.kind, quoted.text, quoted.source) == ("passage", "Two years.", "a.md, Guarantee")
    assert quoted.similarity is not None and quoted.similarity >= desk.near
    (far,) = talk(desk, ("weather", None))
    assert (far.kind, far.text, far.intent) == ("hand-over", HAND_OVER[0], None)
    (chinese,) = talk(desk, ("天气怎么样", "other"))
    assert (chinese.text, chinese.intent, chinese.probability) == (HAND_OVER[1], "other", 0.0)
