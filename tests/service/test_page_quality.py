"""How good a task is, why it answers so, and what to label next, on the page."""

import pytest

from innerloop.service.client import Client
from tests.service.live import SHAPES, draw
from tests.service.tabs import SHIPPED, ask, eventually, facts, taught

pytestmark = pytest.mark.slow

FIVE = 5 * 4


def test_an_answer_says_why_and_a_task_how_good_it_is(page, address, tmp_path):
    task = taught(address, "quality", tmp_path)
    page.goto("/#/tasks/quality")
    assert ask(page, draw(tmp_path, "circle", 1, seed=2)) == ["circle"]
    answer = page.locator(".answer").first
    answer.get_by_text("Why?").click()
    answer.locator(".near li").nth(2).wait_for()
    assert "circle, no." in answer.locator(".near li").first.inner_text()
    eventually(page, "[...document.querySelectorAll('.near img')].every((i) => i.complete && i.naturalWidth > 0)")

    section = page.get_by_role("region", name="How good is it?")
    section.get_by_role("button", name="Measure").click()
    section.locator("tbody tr").nth(4).wait_for()
    accuracy = task.evaluate()["accuracy"]
    before = f"{round(100 * accuracy['value'])}% right"
    assert before in section.locator(".score").inner_text() and f"of {FIVE} examples" in section.inner_text()
    assert not section.get_by_role("button", name="Measure").is_visible()
    section.get_by_role("button", name="Try with fewer").click()
    fewer = section.get_by_role("group", name="By the number of examples")
    expected = [f"{round(100 * one['mean'])}%" for one in task.shots([1, 2])["points"]]
    fewer.locator("tbody tr").nth(1).wait_for()
    assert [text.split()[0] for text in fewer.locator("td:nth-child(2)").all_inner_texts()] == expected
    section.get_by_text("What 12 examples would bring is not forecast").wait_for()
    task.add(draw(tmp_path, "cross", 4, seed=3), "circle")  # a change that hurts
    section.get_by_text("This is of version").wait_for()
    section.get_by_role("button", name="Measure again").click()
    section.get_by_text("worse than before").wait_for()
    # The crosses that were taught as circles are pointed at.
    doubt = section.locator(".doubts li", has_text="taught as circle, looks like cross").first
    version = task.show().version
    doubt.get_by_role("button", name="It is cross").click()
    facts(page, f"version {version + 1}")
    assert task.show().classes["cross"] == 5


@pytest.mark.parametrize("classes", [5, 13])
def test_an_evaluation_is_drawn_on_a_phone_in_the_dark(page, address, tmp_path, classes):
    name = f"drawn-{classes}"
    Client(address).create(name, SHIPPED, reject=0.05 if classes == 5 else None)
    task = Client(address).task(name)
    for shape in (*SHAPES, *"LTVNZAKH")[:classes]:
        task.add(draw(tmp_path, shape, 3), shape)
    task.add(draw(tmp_path, "cross", 2, seed=3), "plus")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    page.set_viewport_size({"width": 375, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(f"/#/tasks/{name}")
    page.get_by_role("button", name="Measure").click()
    result = task.evaluate()
    curve = page.get_by_role("img", name="Risk against coverage: ")
    curve.wait_for()
    points = curve.locator("polyline").get_attribute("points").split()
    assert len(points) == len(result["risk_coverage"]["points"])
    assert f"{100 * result['risk_coverage']['points'][-1][1]:.1f}% at all" in curve.get_attribute("aria-label")
    counts = [row if classes == 5 else row[:-1] for row in result["confusion"]["counts"]]
    if classes == 5:
        cells = page.locator(".matrix tbody td").all_inner_texts()
        assert cells == [str(n or "·") for row in counts for n in row]
        assert page.locator(".matrix thead th").all_inner_texts() == [*result["confusion"]["classes"], "none of these"]
    else:
        cells = page.get_by_role("img", name="Confusion matrix: 13 classes").locator("rect:not(.frame)")
        assert cells.count() == sum(n > 0 for row in counts for n in row)
        page.get_by_role("group", name="Taken for another class, most often first").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 375 and not refused


def test_it_says_which_of_many_to_label_next(page, address, tmp_path):
    task = taught(address, "next", tmp_path, count=2)
    page.goto("/#/tasks/next")
    section = page.get_by_role("region", name="What to label next")
    files = [file for shape in SHAPES for file in draw(tmp_path, shape, 3, seed=5)]
    section.get_by_label("Choose pictures without labels").set_input_files(files)
    rules = section.get_by_label("Ask where").locator("option").all_inner_texts()
    assert "members of the learner disagree" not in rules, "this learner has one member"
    section.get_by_label("Ask where").select_option("many classes are possible")
    section.get_by_role("button", name="Pick 10 of them").click()
    section.locator(".answer").nth(9).wait_for()
    assert section.locator(".answer").count() == 10 and section.locator(".pending li").count() == len(files) - 10
    first = section.locator(".answer").first
    first.get_by_role("button", name="circle", exact=True).click()
    first.get_by_text("Learned as circle").wait_for()
    assert task.show().classes["circle"] == 3
