"""Blocks of code in pages of Markdown, found with their lines, and run in order."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from innerloop.cli.main import main

RUN = ("python", "console")
"""Languages of what a reader types; others show what is printed, or what a file holds."""
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|run by): (.+?) -->\n\Z", re.DOTALL)
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
    """Run the blocks of a page in the current folder, those of Python in one module.

    Raises:
        AssertionError: One failed: page, line, what was run.
    """
    module = ModuleType("page")
    sys.modules["page"] = module  # where dataclasses look up names
    try:
        for block in page:
            if block.reason is None:
                _run(block, module)
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
    if command.startswith("innerloop ") and not set(command) & set("|<>;$&"):
        return main(shlex.split(command)[1:]), ""  # starting torch anew takes seconds
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-ec", command], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
