"""Runs on the page: their curves, their comparison, and whose number is whose."""

import os
import re
from pathlib import Path

import pytest

from innerloop.evaluate import Result
from innerloop.evaluate.result import ONE_TRAINING
from tests.service.live import service, train
from tests.service.tabs import eventually

pytestmark = pytest.mark.slow


def test_runs_are_drawn_and_compared(page):
    violations = (
        "window.refused = []; document.addEventListener('securitypolicyviolation', (e) => refused.push(e.sourceFile))"
    )
    page.add_init_script(violations)
    outside: list[str] = []
    page.on(
        "request",
        lambda r: outside.append(r.url) if "127.0.0.1" not in r.url and not r.url.startswith("data:") else None,
    )
    page.goto("/#/runs")
    page.locator(".js-plotly-plot .legendtext").first.wait_for()
    assert page.locator(".plot").first.locator(".scatterlayer .trace").count() == 2
    assert "hasty" in page.locator(".plot").first.get_attribute("aria-label")
    table = page.get_by_role("region", name=re.compile("20 episodes, inductive, 5-way 2-shot shapes"))
    assert re.search(r"[+-]\d+\.\d+ ± \d+\.\d+ points", table.inner_text())
    page.get_by_text(ONE_TRAINING).wait_for()
    page.goto("/#main")  # as "Skip to the content" does: the page stays, with its curves
    page.wait_for_timeout(200)
    assert page.locator(".plot").first.locator(".scatterlayer .trace").count() == 2
    page.goto("/#/runs")
    page.locator(".js-plotly-plot .legendtext").first.wait_for()
    page.get_by_label("Show hasty").uncheck()
    eventually(page, "document.querySelector('.plot .scatterlayer').children.length === 1")
    page.reload()
    page.locator(".js-plotly-plot").first.wait_for()
    assert not page.get_by_label("Show hasty").is_checked() and page.get_by_label("Show shapes").is_checked()
    # A style that plotly carries for maps is refused; nothing of ours is, and nothing is fetched from elsewhere.
    assert all(str(name).endswith("plotly.min.js") for name in page.evaluate("window.refused")) and not outside


def test_a_run_is_shown_by_its_own_number(page, tmp_path):
    """Not by its baseline's, nor by one that was edited; what is of fewer steps says so."""
    for name in ("edited", "fresh", "stale"):
        train(tmp_path / "runs" / name, steps=2)
        (file,) = (tmp_path / "runs" / name).glob("test-*.json")
        Result.load(file).save(tmp_path / "runs" / name, "untrained")
        if name == "edited":
            file.write_text(file.read_text().replace('"step": 2', '"step": 3'))
    (result,) = (p for p in (tmp_path / "runs" / "stale").glob("test-*.json") if "untrained" not in p.name)
    before = result.read_text()
    train(tmp_path / "runs" / "stale", steps=4)
    result.write_text(before)
    with service(tmp_path / "store", tmp_path / "runs") as url:
        page.goto(f"{url}/#/runs")
        rows = page.get_by_role("region", name="The runs").get_by_role("row")
        page.locator(".js-plotly-plot .legendtext").first.wait_for()
        words = {name: rows.filter(has_text=name).inner_text() for name in ("edited", "fresh", "stale")}
        assert "1 result refused" in words["edited"] and "%" not in words["edited"]
        assert "%" in words["fresh"] and "of step" not in words["fresh"] and "more" not in words["fresh"]
        assert "of step 2, the run is at step 4" in words["stale"]
        said = page.get_by_role("list", name="Results to renew").inner_text()
        assert "was edited after it was measured" in said and "innerloop test" in said and "fresh" not in said
        table = page.get_by_role("region", name=re.compile("20 episodes, inductive, 5-way 2-shot shapes"))
        assert table.get_by_text("untrained baseline").count() == 3
        assert table.get_by_role("row").nth(1).inner_text().startswith("fresh"), "baselines stand below"
        if folder := os.environ.get("INNERLOOP_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "runs-marked.png", full_page=True)
