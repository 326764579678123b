"""What verbs share: reading options, and saying things to people or to machines."""

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import tyro
from rich.console import Console

from innerloop.core.complaints import hush
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.names import printable

T = TypeVar("T")
_HEARD: ContextVar[list[Any] | None] = ContextVar("_HEARD", default=None)


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command says what it has to say."""

    json: bool = False
    """Print JSON on standard output, and everything else on standard error."""
    quiet: bool = False
    """Leave standard error to errors, warnings and what could not be read: no progress, no notes."""


@dataclass(frozen=True, kw_only=True)
class Common(Said, Context):
    """Options of every command."""


def parse(cls: type[T], argv: list[str], verb: str, description: str, default: T | None = None) -> T:
    """Read options into a dataclass; a usage error leaves with status 2, `--help` with 0."""
    if (heard := _HEARD.get()) is not None:
        heard.append(cls)
        raise SystemExit(0)
    settings = (tyro.conf.OmitArgPrefixes,)
    start: Any = tyro.MISSING_NONPROP if default is None else default
    about = inspect.cleandoc(description)
    parsed = tyro.cli(cls, args=argv, prog=f"innerloop {verb}", description=about, default=start, config=settings)
    if isinstance(said := getattr(parsed, "common", None), Said) and said.quiet:
        hush()
    return parsed


def options_of(run: Callable[[list[str]], int], argv: list[str]) -> type | None:
    """The dataclass that a verb reads its options into, which is then not run; None: it reads none."""
    heard: list[Any] = []
    token = _HEARD.set(heard)
    try:
        with suppress(SystemExit):
            run(argv)
    finally:
        _HEARD.reset(token)
    return heard[0] if heard else None


def refuse_given(why: str, *parts: Any, keep: Sequence[str] = ()) -> None:
    """Refuse options that do not apply.

    Args:
        why: What they are, after "--option is".
        parts: Dataclasses of options, which have defaults.
        keep: Names of options that do apply.

    Raises:
        InputError: One is not at its default; the message names it.
    """
    for part in parts:
        given = [f.name for f in fields(part) if f.name not in keep and getattr(part, f.name) != f.default]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is {why}: leave it out")


def completed(argv: list[str], option: str, usual: float) -> list[str]:
    """Give an option of a number its usual value where it stands without one, which tyro cannot."""
    words: list[str] = []
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        words.append(word)
        if word.replace("_", "-") == option and not _is_number(following):
            words.append(f"{usual:g}")
    return words


def with_data(argv: Sequence[str]) -> list[str]:
    """Options where --env is --data: an environment is data like any other, and people call it by another name."""
    return [word if word.partition("=")[0] != "--env" else f"--data{word[5:]}" for word in argv]


def flags(argv: Sequence[str]) -> list[str]:
    """Names of what may be flags that are set, for `defaults`, which depend on some; the last word of one counts."""
    switches = dict[str, bool]()
    for word in argv:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            switches[name.removeprefix("no_")] = not name.startswith("no_")
    return [name for name, on in switches.items() if on]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def emit(value: Any) -> None:
    """One JSON value, on one line of standard output; escaped where the output cannot hold its characters."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a pipe that is not UTF-8, or half a character
        text = json.dumps(value)
    sys.stdout.write(text + "\n")


def tell(value: Any, message: str, common: Said) -> int:
    """A value, as JSON or in words; the exit status of a verb that worked."""
    if common.json:
        emit(value)
    else:
        print(message)
    return 0


def print(*what: Any, stderr: bool = False) -> None:
    """Text or tables for people.

    Args:
        what: Anything that rich prints.
        stderr: Whether it goes to standard error, because standard output is for a machine.
    """
    file = None if stderr else sys.stdout
    what = tuple(printable(one, keep="\n\t") if isinstance(one, str) else one for one in what)
    Console(stderr=stderr, highlight=False, soft_wrap=True, file=file).print(*what, markup=False)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error, where that is a terminal, for something that says how far it is."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
