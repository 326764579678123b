"""What the tests of the page do in a tab: make a task, teach it, ask it."""

import time
from pathlib import Path
from typing import Any

from innerloop.service.client import Client, Task
from tests.service.live import SHAPES, draw

SHIPPED = "kanji-protonet"


def make(page: Any, name: str, of: str, reject: bool = False, url: str = "") -> None:
    page.goto(f"{url}/")
    page.get_by_label("Name", exact=True).fill(name)
    page.locator(f"input[value='{of}']").check()
    if reject:
        page.get_by_label("Answer “none of these” when nothing is near").check()
    page.get_by_role("button", name="Make the task").click()
    page.get_by_role("heading", name=name, level=1).wait_for()


def eventually(page: Any, expression: str, seconds: float = 15) -> None:
    """Waits for an expression; Playwright's own way evaluates a string in the page, whose policy refuses that."""
    until = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < until, f"never true: {expression}"
        page.wait_for_timeout(50)


def chooser(page: Any) -> Any:
    return page.locator("form.composer").first.locator("input[type=file]:not([webkitdirectory])")


def teach(page: Any, label: str, pictures: list[Path]) -> None:
    page.get_by_label("Class", exact=True).fill(label)
    chooser(page).set_input_files(pictures)
    page.get_by_role("button", name="Teach", exact=True).click()
    page.get_by_role("heading", name=label, level=3, exact=True).wait_for()


def ask(page: Any, pictures: list[Path]) -> list[str]:
    before = page.locator(".answer").count()
    page.get_by_label("Choose pictures to try").set_input_files(pictures)
    page.locator(".answer").nth(before + len(pictures) - 1).wait_for()
    return [text.split("\n")[0] for text in page.locator(".verdict").all_inner_texts()]


def facts(page: Any, text: str) -> None:
    page.locator(".facts", has_text=text).wait_for()


def taught(address: str, name: str, folder: Path, count: int = 4) -> Task:
    with Client(address) as client:
        client.create(name, SHIPPED)
    task = Task(Client(address), Client(address).task(name).info())
    for shape in SHAPES:
        task.add(draw(folder, shape, count), shape)
    return task
