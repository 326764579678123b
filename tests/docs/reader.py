"""Somebody who types the blocks of a page, one after another, in the current folder."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from innerloop.cli import serve
from innerloop.cli.main import main
from tests.docs.blocks import ROOT, Block, commands
from tests.docs.brief import brief, brief_python
from tests.service.live import free_port

_ASSIGNED = re.compile(r"(\w+)=(\S*)")
_PLACE = re.compile(r"(127\.0\.0\.1|localhost):8000")
_SERVES = re.compile(rf"innerloop serve(?! ({'|'.join(serve.VERBS)})\b)")
_PIP = re.compile(r"pip install 'innerloop\[([\w,]+)\]'")


def run(
    page: list[Block], names: Mapping[str, object] | None = None, shorten: Collection[str] | None = None
) -> dict[str, Any]:
    """Run the blocks of a page, those of Python in one module; print why others are not.

    Args:
        page: Blocks, in order.
        names: What their Python finds at first.
        shorten: Train and test for a moment only, but for commands of these verbs; None: all as long as they say.

    Returns:
        The names that the page's Python leaves behind.

    Raises:
        AssertionError: One failed: page, line, what was run.
    """
    with reader(names or {}, shorten) as one:
        for block in page:
            one.read(block)
    return vars(one.module)


@contextlib.contextmanager
def reader(names: Mapping[str, object], shorten: Collection[str] | None = None) -> Iterator["Reader"]:
    """A reader, whose server is ended in the end."""
    one = Reader(names, shorten)
    sys.modules["page"] = one.module  # where dataclasses look up names
    try:
        yield one
    finally:
        one.leave()
        del sys.modules["page"]


class Reader:
    """State between blocks: names of Python, variables of the shell, a server."""

    def __init__(self, names: Mapping[str, object], shorten: Collection[str] | None) -> None:
        self.module = ModuleType("page")
        vars(self.module).update(names)
        self.shorten = shorten
        self.port = free_port()  # the usual one may be taken
        self.variables = {"URL": f"http://127.0.0.1:{self.port}"}
        self.server: subprocess.Popen[bytes] | None = None

    def read(self, block: Block) -> None:
        """Run a block, or print why not."""
        if block.mark in ("not run", "run by"):
            print(f"{block} is {block.mark}: {block.reason}")
        elif block.mark == "needs":
            root = os.environ.get("INNERLOOP_DATA", str(ROOT.parent / "shared" / "data"))
            if (Path(root) / block.reason).is_dir():
                self._run(block, {"INNERLOOP_DATA": root})
            else:
                print(f"{block} is not run: it needs {block.reason}, which is not in INNERLOOP_DATA")
        else:
            self._run(block, {})

    def _run(self, block: Block, variables: dict[str, str]) -> None:
        usual = {key: os.environ.get(key) for key in ("INNERLOOP_DATA", *variables)}
        os.environ.pop("INNERLOOP_DATA", None)
        os.environ.update(variables)
        try:
            if block.language == "python":
                self._python(block)
            else:
                for command in commands(block):
                    status, output = self._typed(command if self.shorten is None else brief(command, self.shorten))
                    assert status == 0, f"{block}: `{command}` ended with {status}: {output}"
        finally:
            for key, value in usual.items():
                os.environ.pop(key, None)
                if value is not None:
                    os.environ[key] = value

    def _python(self, block: Block) -> None:
        text = _PLACE.sub(
            f"127.0.0.1:{self.port}", brief_python(block.text) if self.shorten is not None else block.text
        )
        try:
            exec(compile("\n" * block.line + text, str(block.page), "exec"), vars(self.module))
        except BaseException as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error

    def _typed(self, command: str) -> tuple[int, str]:
        """Exit status, and what it printed where that was not here."""
        command = _PLACE.sub(f"127.0.0.1:{self.port}", command).replace("curl -s", "curl -sS --fail-with-body")
        if assigned := _ASSIGNED.fullmatch(command):
            self.variables[assigned[1]] = assigned[2]
            return 0, ""
        if extras := _PIP.fullmatch(command.strip()):
            return (0, "") if there(extras[1].split(",")) else (1, "there is no such extra")
        if _SERVES.match(command):
            return (0, "") if self._serve(command) else (1, "the server does not answer")
        parts = command.split(";")
        if all(part.strip().startswith("innerloop ") and not set(part) & set("|<>$&*\\") for part in parts):
            statuses = (main(shlex.split(part)[1:]) for part in parts)  # starting torch anew takes seconds
            return next((status for status in statuses if status), 0), ""
        typed = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(typed, env=environment() | self.variables, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def _serve(self, command: str) -> bool:
        self.leave()
        command = command.replace("serve", f"serve --port {self.port}", 1)
        self.server = subprocess.Popen(["bash", "-c", f"exec {command}"], env=environment() | self.variables)
        return answers(f"http://127.0.0.1:{self.port}/healthz", 600, self.server)  # a busy machine begins slowly

    def leave(self) -> None:
        """End the server, if one was started."""
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(30)
            finally:
                self.server.kill()
                self.server.wait()
        self.server = None


def there(extras: list[str]) -> bool:
    """Whether the package has these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(extras) <= set(project["optional-dependencies"])


def environment() -> dict[str, str]:
    """What commands find: this Python's `innerloop` first, and `benchmarks`."""
    search = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return dict(os.environ) | {"PATH": path, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}


def served(command: str, folder: Path) -> bool:
    """Whether what `innerloop serve` starts in a folder answers; it is ended then."""
    with reader({}) as one, contextlib.chdir(folder):
        return one._serve(command)


def answers(address: str, seconds: float, server: subprocess.Popen[bytes]) -> bool:
    """Whether a server answers within some time, and before it ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False
