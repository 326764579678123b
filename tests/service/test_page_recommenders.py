"""The page that recommends: titles looked for and rated, a list that changes, ratings kept and forgotten."""

import os
from pathlib import Path
from typing import Any

import pytest

from innerloop.apps.recsys.recommender import Recommender
from innerloop.service.client import Client, ServiceError
from tests.apps.recsys.small import trained
from tests.service.live import service
from tests.service.test_page_access import MEASURES

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*categories. (kind|town)")]
RATED = {"Film 0": 5, "Film 2": 4, "Film 1": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("ratings"))


@pytest.fixture(scope="module")
def films(run, tmp_path_factory):
    with service(tmp_path_factory.mktemp("store"), None, sources=(str(run),)) as url:
        yield url


@pytest.fixture
def tab(browser, films):
    context = browser.new_context(base_url=films, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


def rate(tab: Any, title: str, stars: int) -> None:
    """Look for a title, and give it so many stars."""
    with tab.expect_response(lambda answer: answer.url.endswith("/recommend")):
        tab.get_by_label("Title", exact=True).fill(title)
        item = f"li[data-item=i{title.removeprefix('Film ')}]"
        tab.get_by_role("list", name="Titles").locator(item).locator("label").nth(stars - 1).click()
    tab.get_by_role("list", name="Your ratings").locator(item).wait_for()


def listed(tab: Any) -> list[str]:
    return tab.get_by_role("list", name="What you may like").locator("strong").all_inner_texts()


def test_what_is_rated_changes_the_list_as_python_does(tab, run):
    tab.goto("/#/recommend")
    tab.get_by_role("link", name="run 30 items").click()
    tab.get_by_role("heading", name="run", level=1).wait_for()
    nobody, python = Recommender.load(run).fit({}), Recommender.load(run).fit(RATED)
    tab.locator(".liked li").nth(9).wait_for()
    assert listed(tab) == [one.title for one in nobody.recommend(10)]
    questions = tab.get_by_role("list", name="Questions").locator("li > span:first-child")
    assert questions.all_inner_texts() == nobody.ask(5)
    moved = 0
    for title, value in RATED.items():
        rate(tab, title, value)
        tab.wait_for_timeout(300)
        moved += tab.locator(".liked .tag").count()
    assert moved > 0
    tab.locator(".facts", has_text="3 ratings of yours, kept in this tab alone").wait_for()
    expected = python.recommend(10)
    assert listed(tab) == [one.title for one in expected]
    first = tab.locator(".liked li").first.inner_text()
    assert f"{expected[0].rating:.1f} ± {expected[0].deviation:.1f}" in first
    assert f"because of {expected[0].because[0][0]} (+{expected[0].because[0][1]:.2f})" in first
    assert questions.all_inner_texts() == python.ask(5)
    # What was rated stays over a reload of the tab, and is changed and taken back.
    tab.reload()
    tab.locator(".facts", has_text="3 ratings of yours").wait_for()
    tab.get_by_role("button", name="Take back the rating of Film 1").click()
    tab.locator(".facts", has_text="2 ratings of yours").wait_for()
    tab.get_by_label("Prefer what many know").fill("2")
    tab.wait_for_timeout(500)
    rest = {k: v for k, v in RATED.items() if k != "Film 1"}
    assert listed(tab) == [one.title for one in Recommender.load(run).fit(rest).recommend(10, familiarity=2.0)]
    if picture := os.environ.get("INNERLOOP_PICTURES"):  # for the guide
        tab.screenshot(path=Path(picture) / "recommending.png")


def test_ratings_are_kept_under_a_name_and_forgotten(tab, films):
    known = Client(films).recommender("run")
    tab.goto("/#/recommend/run")
    rate(tab, "Film 0", 5)
    tab.get_by_label("Keep them under a name").fill("ada")
    tab.get_by_role("button", name="Keep my ratings").click()
    tab.locator(".facts", has_text="1 rating of yours, kept as ada").wait_for()
    rate(tab, "Film 2", 4)
    person = known.person("ada")
    assert {one["title"]: one["rating"] for one in person.show()["ratings"]} == {"Film 0": 5, "Film 2": 4}
    tab.wait_for_timeout(300)
    assert [one["title"] for one in person.recommend()] == listed(tab)
    assert [one["title"] for one in person.ask()] == [one["title"] for one in known.ask({"i0": 5, "i2": 4})]
    assert [one.name for one in known.people()] == ["ada"] and known.show()["people"] == 1
    # A name that is taken may be gone on with.
    tab.goto("/#/recommend/run")
    tab.get_by_label("Keep them under a name").fill("ada")
    tab.get_by_role("button", name="Keep my ratings").click()
    tab.get_by_role("button", name="Go on as ada").click()
    tab.locator(".facts", has_text="2 ratings of yours, kept as ada").wait_for()
    tab.get_by_role("button", name="Forget me").click()
    tab.get_by_role("dialog").get_by_role("button", name="Forget me").click()
    tab.locator(".facts", has_text="kept in this tab alone").wait_for()
    with pytest.raises(ServiceError, match="nobody called 'ada'"):
        person.rate({"i1": 3})


def test_the_client_keeps_more_ratings_than_go_into_a_request(films, monkeypatch):
    monkeypatch.setattr("innerloop.service.recommender._AT_ONCE", 3)
    (known,) = Client(films).recommenders()
    person = known.meet("grace", {f"i{i}": 3 for i in range(7)})
    assert len(person.show()["ratings"]) == 7 and person.rate({}) == 3
    assert person.rate({"i0": None, "Film 9": 5}) == 4 and known.search("film 9")[0]["item"] == "i9"
    person.forget(forever=True)
    assert list(known.people()) == []


def test_stars_are_rated_by_keys(tab):
    tab.goto("/#/recommend/run")
    tab.get_by_label("Title", exact=True).fill("Film 7")
    tab.get_by_role("list", name="Titles").locator("li").first.wait_for()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    tab.locator(".facts", has_text="1 rating of yours").wait_for()
    tab.keyboard.press("ArrowRight")
    own = tab.get_by_role("list", name="Your ratings")
    own.get_by_role("radio", name="2 of 5", checked=True).wait_for(state="attached")
    assert tab.evaluate("document.activeElement.name") == tab.locator(".rated input").first.get_attribute("name")


def test_titles_are_text_and_halves_of_stars_are_given_where_ratings_have_them(browser, tmp_path):
    run = trained(tmp_path, "<img src=x onerror=alert(1)><script>alert(2)</script>", 0.5)
    with service(tmp_path / "store", None, sources=(str(run),)) as url:
        tab = browser.new_page(base_url=url, viewport={"width": 1280, "height": 900})
        alerts: list[str] = []
        tab.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        tab.goto("/#/recommend/run")
        tab.get_by_label("Title", exact=True).fill("img 7")
        labels = tab.get_by_role("list", name="Titles").locator("li[data-item=i7] label")
        labels.nth(4).wait_for()
        assert labels.count() == 5
        left, right = (labels.nth(k).bounding_box() for k in (2, 3))
        assert left["x"] + left["width"] == pytest.approx(right["x"]) and left["width"] >= 24
        labels.nth(2).click()
        own = tab.get_by_role("list", name="Your ratings")
        own.get_by_role("radio", name="1.5 of 2.5", checked=True).wait_for(state="attached")
        assert "<script>alert(2)</script> 7" in own.inner_text()
        tab.get_by_label("Keep them under a name").fill("ada")
        tab.get_by_role("button", name="Keep my ratings").click()
        tab.locator(".facts", has_text="1 rating of yours, kept as ada").wait_for()
        (kept,) = Client(url).recommender("run").person("ada").show()["ratings"]
        assert kept["rating"] == 1.5
        assert tab.locator("main img, main script").count() == 0 and not alerts
        if picture := os.environ.get("INNERLOOP_PICTURES"):
            tab.screenshot(path=Path(picture) / "recommending-halves.png")
        tab.close()


def test_what_one_says_of_oneself_changes_the_list_as_python_does(browser, tmp_path):
    run = trained(tmp_path, users=True)
    python = Recommender.load(run)
    with service(tmp_path / "store", None, sources=(str(run),)) as url:
        tab = browser.new_page(base_url=url, viewport={"width": 360, "height": 800})
        tab.goto("/#/recommend/run")
        tab.locator(".liked li").nth(9).wait_for()
        tab.get_by_text("About you").click()
        for change in (
            lambda: tab.get_by_label("town", exact=True).select_option("Ash"),
            lambda: (tab.get_by_label("clubs", exact=True).fill("chess | boats"), tab.keyboard.press("Tab")),
            lambda: (tab.get_by_label("age", exact=True).fill("30"), tab.keyboard.press("Tab")),
        ):
            with tab.expect_response(lambda answer: answer.url.endswith("/recommend")):
                change()
        about = {"town": "Ash", "clubs": ["chess", "boats"], "age": 30}
        expected = [f"{one.rating:.1f} ± {one.deviation:.1f}" for one in python.fit({}, about).recommend(10)]
        tab.wait_for_timeout(300)
        assert listed(tab) == [one.title for one in python.recommend(10)]
        assert tab.locator(".liked .number").all_inner_texts() == expected
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        measures = f"({MEASURES.partition(chr(10))[2].strip()})"
        assert tab.evaluate(f"{measures}.small()") == []
        if picture := os.environ.get("INNERLOOP_PICTURES"):
            tab.screenshot(path=Path(picture) / "recommending-about.png", full_page=True)
        # It stays in the tab, and is taken back.
        tab.reload()
        tab.locator(".liked li").nth(9).wait_for()
        assert listed(tab) == [one.title for one in python.recommend(10)]
        tab.get_by_label("clubs", exact=True).fill("chess | go")
        tab.keyboard.press("Tab")
        tab.get_by_text("clubs is go of nobody in training").wait_for()
        # It goes along under a name, and is nothing that another name is recommended by.
        tab.get_by_label("Keep them under a name").fill("ada")
        tab.get_by_role("button", name="Keep my ratings").click()
        tab.get_by_role("button", name="Forget me").wait_for()
        assert tab.get_by_label("town", exact=True).input_value() == "Ash"
        with Client(url) as client:
            client.recommender("run").meet("bob", {})
        tab.goto("/#/recommend/run/bob")
        tab.get_by_role("heading", name="run").wait_for()
        tab.get_by_text("kept as bob").wait_for()
        assert tab.get_by_label("town", exact=True).input_value() == ""
        # Of what another run of that name knew, nothing is asked.
        tab.evaluate("""sessionStorage.setItem("innerloop-ratings-run/features/bob", '{"height": 3, "age": "old"}')""")
        tab.reload()
        tab.locator(".liked li").nth(9).wait_for()
        tab.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("style", ["light", "dark"])
def test_it_fits_phones_and_laptops_in_both_themes(tab, width, style):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(color_scheme=style, reduced_motion="reduce")
    tab.goto("/#/recommend/run")
    rate(tab, "Film 0", 5)
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    measures = f"({MEASURES.partition(chr(10))[2].strip()})"
    assert tab.evaluate(f"{measures}.small()") == []
    assert not [m for m in tab.evaluate(f"{measures}.contrast()") if m["ratio"] < m["least"]]
    if picture := os.environ.get("INNERLOOP_PICTURES"):
        tab.screenshot(path=Path(picture) / f"recommending-{width}-{style}.png", full_page=True)
