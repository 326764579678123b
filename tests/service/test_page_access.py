"""The page by keyboard, by screen reader, on a phone, in both themes."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from innerloop.service.client import Client
from tests.service.live import SHAPES, draw
from tests.service.tabs import ask, facts, taught

pytestmark = pytest.mark.slow

CONTROLS = {"button", "link", "textbox", "checkbox", "radio", "combobox", "spinbutton", "meter", "dialog", "region"}
HEADINGS = "[...document.querySelectorAll('h1, h2, h3')].filter((h) => h.checkVisibility()).map((h) => h.tagName)"
MEASURES = (Path(__file__).parent / "measure.js").read_text()


def measure(page: Any, what: str) -> list[Any]:
    return page.evaluate(f"({MEASURES.partition(chr(10))[2].strip()}).{what}()")


@pytest.fixture
def places(page: Any, address: str, tmp_path) -> dict[str, Any]:
    """Ways to bring a tab to each thing that the page can show."""
    if "places" not in _seen:
        taught(address, "places", tmp_path)
        _seen.add("places")
    (tmp_path / "notes.png").write_text("no picture")

    def task() -> None:
        page.goto("/#/tasks/places")
        page.reload()
        facts(page, "5 classes")
        ask(page, draw(tmp_path, "circle", 2, seed=2))
        page.get_by_role("button", name="Measure").click()
        page.locator(".figures svg").wait_for()
        page.get_by_role("button", name="Add examples of circle").click()
        page.get_by_label("Class", exact=True).fill("x")
        page.locator("form.composer input[type=file]").first.set_input_files(
            [tmp_path / "notes.png", *draw(tmp_path, "V", 1)]
        )
        page.get_by_role("button", name="Teach", exact=True).click()
        page.get_by_role("alert").first.wait_for()

    def dialog() -> None:
        page.goto("/#/tasks/places")
        page.reload()
        page.locator(".thumb").first.click()
        page.get_by_role("dialog").wait_for()

    def tasks() -> None:
        page.goto("/#/")
        page.reload()
        page.locator(".card").first.wait_for()
        page.get_by_label("Answer “none of these” when nothing is near").check()

    def runs() -> None:
        page.goto("/#/runs")
        page.reload()
        page.locator(".js-plotly-plot .legendtext").first.wait_for()

    def missing() -> None:
        page.goto("/#/tasks/nowhere")
        page.reload()
        page.get_by_role("heading", name="Not here").wait_for()

    return {"tasks": tasks, "task": task, "dialog": dialog, "runs": runs, "missing": missing}


_seen: set[str] = set()


def test_every_control_has_a_name_and_headings_are_in_order(page, places):
    session = page.context.new_cdp_session(page)
    for where, show in places.items():
        show()
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        roles = {n["nodeId"]: n.get("role", {}).get("value") for n in nodes if not n.get("ignored")}
        nameless = [
            (where, roles[n["nodeId"]], n.get("properties", []))
            for n in nodes
            if roles.get(n["nodeId"]) in CONTROLS and not n.get("name", {}).get("value", "").strip()
        ]
        assert not nameless
        assert page.evaluate("[...document.images].every((i) => i.hasAttribute('alt'))")
        levels = [int(name[1]) for name in page.evaluate(HEADINGS)]
        assert levels.count(1) == 1 and levels[0] == 1, (where, levels)
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), (where, levels)
        assert page.title() not in ("", "innerloop") and page.locator("html").get_attribute("lang") == "en"
        assert page.locator("main").count() == 1 and page.locator("nav[aria-label]").count() == 1
        twice = page.evaluate(
            "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
            " return ids.filter((id, i) => ids.indexOf(id) !== i); })()"
        )
        assert not [id for id in twice if not id.startswith(("clip", "legend", "topdefs", "defs"))], (where, twice)


@pytest.mark.parametrize("style", ["light", "dark"])
def test_text_and_edges_stand_out_in_both_themes(page, places, style):
    page.emulate_media(color_scheme=style, reduced_motion="reduce")
    for where, show in places.items():
        show()
        measured = measure(page, "contrast")
        assert len(measured) > 5
        faint = [m for m in measured if m["ratio"] < m["least"]]
        assert not faint, (where, style, faint)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_every_width_and_fingers(page, places, width):
    page.set_viewport_size({"width": width, "height": 800})
    for where, show in places.items():
        show()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (where, width)
        assert measure(page, "small") == [], (where, width)


def test_reduced_motion_is_respected(page, places):
    page.emulate_media(reduced_motion="reduce")
    places["tasks"]()
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every((e) => getComputedStyle(e).transitionDuration === '0s')"
    )


def focused(page: Any) -> str:
    """What has the focus, by its accessible words; fails where nothing has, or where it cannot be seen."""
    found = page.evaluate("""() => {
      const e = document.activeElement;
      const shown = e.classList.contains("unseen") ? e.parentElement : e;
      return [e.tagName, e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText ?? "",
        getComputedStyle(shown).outlineStyle !== "none" && parseFloat(getComputedStyle(shown).outlineWidth) >= 2]; }""")
    assert found[0] != "BODY", "the focus is lost"
    assert found[2] or found[0] == "MAIN", f"one cannot see that {found[:2]} has the focus"
    return found[1].strip()


def to(page: Any, name: str, back: bool = False) -> None:
    """Press Tab until something is reached."""
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if re.search(name, focused(page)):
            return
    raise AssertionError(f"{name} is not reached by Tab")


def test_the_whole_story_by_keyboard_alone(page, address, tmp_path):
    chosen: list[list[Path]] = []  # what the chooser will be given next; one listener, since coming and going ones race
    page.on("filechooser", lambda chooser: chooser.set_files(chosen.pop()))
    page.goto("/")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    to(page, "^Name$")
    page.keyboard.type("by-keyboard")
    to(page, "EfficientNet|trained on kanji")  # sources are one stop, whichever is the first
    page.keyboard.press("Space")
    for _ in range(len(Client(address).sources())):
        if "any number of classes" in focused(page):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="by-keyboard", level=1).wait_for()
    for shape in SHAPES[:3]:
        if focused(page) != "Class":
            to(page, "^Class$")
        page.keyboard.type(shape)
        to(page, "^Choose pictures")
        chosen.append(draw(tmp_path, shape, 3))
        page.keyboard.press("Enter")
        page.locator(".pending li").nth(2).wait_for()
        to(page, "^Teach$")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name=shape, level=3).wait_for()
        page.wait_for_timeout(200)
    to(page, "^Choose pictures to try")
    chosen.append(draw(tmp_path, "square", 1))
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()
    to(page, "^another")
    page.keyboard.press("Enter")
    page.keyboard.type("square")
    page.keyboard.press("Enter")
    page.get_by_text("✓ Learned as square").wait_for()
    assert "Learned as square" in focused_text(page)
    facts(page, "4 classes · 10 examples · version 4")
    to(page, "^Undo$")
    page.keyboard.press("Enter")
    facts(page, "3 classes · 9 examples · version 5")
    to(page, "^Go back to version 2")
    page.keyboard.press("Enter")
    facts(page, "2 classes")
    to(page, "^Delete the task", back=True)
    page.keyboard.press("Enter")
    assert focused(page) == "Cancel"
    page.keyboard.press("Escape")
    facts(page, "2 classes")
    assert focused(page) == "Delete the task"


def focused_text(page: Any) -> str:
    return page.evaluate("document.activeElement.innerText")
