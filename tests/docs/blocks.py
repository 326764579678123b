"""Blocks of code in pages of Markdown, found with their lines, and the commands in them."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ("python", "console")
"""Languages of what a reader types."""
SHOWN = ("text", "json", "mermaid", "yaml", "ini", "dockerfile", "nginx")
"""Languages of what is printed, drawn, or in a file."""
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|run by|needs): ((?:(?!-->).)+) -->\n\Z", re.DOTALL)
_COMMENT = re.compile(r"\s{2,}# .*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Args:
        page: The file.
        line: Of the opening fence.
        language: `python`, `console`, or another.
        text: What is between.
        mark: `not run`, `run by` or `needs`, from the comment before it, or None.
        reason: What the mark says: why not, which test, which data set.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def fences(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        mark = _MARK.search(text[: fence.start()])
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, fence[1], fence[2], *(mark.groups() if mark else ())))
    return found


def blocks(page: Path) -> list[Block]:
    """Those that a reader would type."""
    return [block for block in fences(page) if block.language in RUN]


def commands(block: Block) -> Iterator[str]:
    """Commands of a `console` block, without their comments and what they print."""
    for one in block.text.removeprefix("$ ").split("\n$ "):
        lines = iter(one.splitlines())
        command = next(lines)
        if "<<" in command:  # what a command reads is on the lines below it
            yield one.rstrip("\n")
            continue
        for line in lines:
            if not command.endswith("\\") and _whole(command):
                break
            command += f"\n{line}"
        yield _COMMENT.sub("", command)


def _whole(command: str) -> bool:
    """Whether a shell would not wait for another line."""
    if command.split(maxsplit=1)[0] not in ("for", "while", "if"):
        return True
    return subprocess.run(["bash", "-nc", command], stderr=subprocess.DEVNULL).returncode == 0
