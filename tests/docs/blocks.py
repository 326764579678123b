"""Blocks of code in pages of Markdown, found with their lines, and run in order."""

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from innerloop.cli.main import main
from tests.service.live import free_port

RUN = ("python", "console")
"""Languages of what a reader types; others show what is printed, or what a file holds."""
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|run by): ((?:(?!-->).)+) -->\n\Z", re.DOTALL)
_COMMENT = re.compile(r"\s{2,}# .*$")


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Args:
        page: The file.
        line: Of the opening fence.
        language: `python`, `console`, or another.
        text: What is between.
        reason: Why it is not run here: what stands in the comment before it, or None.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All blocks of a page that a reader would type, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, fence.start()) + 1, fence[1], fence[2], _reason(text[: fence.start()]))
        for fence in _FENCE.finditer(text)
        if fence[1] in RUN
    ]


def _reason(before: str) -> str | None:
    mark = _MARK.search(before)
    return mark and f"{mark[1]}: {mark[2]}"


def commands(block: Block) -> Iterator[str]:
    """Commands of a `console` block, without their comments and what they print."""
    text = block.text.removeprefix("$ ")
    for one in text.split("\n$ "):
        if "<<" in one:  # what a command reads is on the lines below it
            yield one.rstrip("\n")
            continue
        yield _COMMENT.sub("", one.partition("\n")[0])


def run(page: list[Block]) -> None:
    """Run the blocks of a page in the current folder, those of Python in one module; print why others are not.

    Raises:
        AssertionError: One failed: page, line, what was run.
    """
    module = ModuleType("page")
    sys.modules["page"] = module  # where dataclasses look up names
    try:
        for block in page:
            if block.reason is None:
                _run(block, module)
            else:
                print(f"{block} is {block.reason}")
    finally:
        del sys.modules["page"]


def _run(block: Block, module: ModuleType) -> None:
    if block.language == "python":
        try:
            exec(compile("\n" * block.line + block.text, str(block.page), "exec"), vars(module))
        except BaseException as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error
        return
    for command in commands(block):
        status, output = _typed(command)
        assert status == 0, f"{block}: `{command}` ended with {status}: {output}"


def _typed(command: str) -> tuple[int, str]:
    """Exit status, and what it printed where that was not here."""
    if command.startswith("innerloop serve"):
        return (0, "") if served(command, Path.cwd()) else (1, "the server does not answer")
    if command.startswith("innerloop ") and not set(command) & set("|<>;$&"):
        return main(shlex.split(command)[1:]), ""  # starting torch anew takes seconds
    done = subprocess.run(["bash", "-ec", command], env=environment(), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def environment() -> dict[str, str]:
    """What commands find: this Python's `innerloop` first, and no data set."""
    env = {key: value for key, value in os.environ.items() if key != "INNERLOOP_DATA"}
    return env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


def served(command: str, folder: Path) -> bool:
    """Whether what `innerloop serve` starts in a folder answers; it is ended then."""
    port = free_port()  # the usual one may be taken
    command = command.replace("serve", f"serve --port {port}", 1)
    with subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=environment()) as server:
        try:
            answered = answers(f"http://127.0.0.1:{port}/healthz", 60)
            server.terminate()
            server.wait(30)
        finally:
            server.kill()
    return answered


def answers(address: str, seconds: float) -> bool:
    """Whether something answers within some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False
