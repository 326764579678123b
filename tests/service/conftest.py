import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import postgres
from tests.service.live import service, train
from tests.service.postgres import Server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder with two small runs, tested on the same tasks."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "shapes", steps=60)
    train(folder / "hasty", steps=3)
    return folder


@pytest.fixture(scope="session")
def address(runs, tmp_path_factory) -> Iterator[str]:
    """A service that all tests of the page share; each makes tasks of its own."""
    with service(tmp_path_factory.mktemp("store"), runs) as url:
        yield url


@pytest.fixture
def page(browser, address) -> Iterator[Any]:
    """A tab on the service, whose errors fail the test."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL that all tests share."""
    with postgres.serving() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path, monkeypatch) -> Iterator[str]:
    """Where a new store is, of each kind."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "sqlite":
        yield str(tmp_path)
    else:
        with request.getfixturevalue("server").lent() as address:
            yield address
