"""A watch from its input to where alerts go."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerloop.apps.text.watch import lines, outbox
from innerloop.apps.text.watch.feed import Feed
from innerloop.apps.text.watch.lines import Batch
from innerloop.apps.text.watch.listener import TOKEN, Listener
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.summary import Summary, summary, unknown
from innerloop.apps.text.watch.tasks import Tasks, Teaching, record
from innerloop.apps.text.watch.watch import Watch
from innerloop.apps.text.watch.webhook import Webhook
from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError

STDIN, HTTP = "-", "http"


@dataclass(frozen=True, kw_only=True)
class Input:
    """Where events come from."""

    place: str
    """A file of JSONL, `-`, `http`, or the address of a feed."""
    follow: bool = False
    """Whether to wait for more: at the end of a file, or of a feed that was read."""
    host: str = "127.0.0.1"
    """Address that `http` listens on."""
    port: int = 8765
    every: float = 900.0
    """Seconds between two looks at a feed."""

    @property
    def feed(self) -> bool:
        """Whether it is the address of a feed."""
        return self.place.startswith(("http://", "https://"))

    @property
    def record(self) -> str:
        """What another input is told by."""
        if self.feed or self.place in (STDIN, HTTP):
            return self.place
        return str(files.expanded(self.place).resolve())


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where alerts go, and what is known."""

    state: str = "watch.sqlite"
    """The file that everything is kept in."""
    alerts: str | None = None
    """A file for alerts, JSONL."""
    webhook: str | None = None
    """An address that alerts are posted to."""
    wait: float = 60.0
    """Seconds to wait at the end for the webhook to take what is left."""
    report: str | None = None
    """A page with curves, limits and the sentences behind alerts."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How it ended."""

    summary: Summary
    unsent: int
    """Alerts that the webhook has not taken; the next run sends them."""
    report: Path | None


def _silent(message: str) -> None:
    """Tell nobody."""


def watch(
    names: Sequence[str | Path],
    source: Input,
    *,
    settings: Settings = Settings(),
    output: Output = Output(),
    finish: bool = False,
    context: Context = Context(),
    say: Callable[[str], None] = _silent,
    tell: Callable[[str], None] = _silent,
    progress: Callable[[int], None] = lambda events: None,
    command: str | None = None,
    teaching: Teaching | None = None,
) -> Done:
    """Watch a stream until it ends, or until it is interrupted.

    Args:
        names: One or two `.fewshot` files of texts, or tables of texts and labels.
        source: Where events come from.
        settings: How they are watched.
        output: Where alerts go.
        finish: Whether all windows are closed at the end; otherwise the last ones stay open for what is to come.
        context: What the files may name.
        say: Called with every alert, JSON.
        tell: Called with what is to be known beside.
        progress: Called with how many events were taken.
        command: What to type to do all this again, for the page.
        teaching: What tables are taught to; None: as `Teaching` has it.

    Raises:
        InputError: Something does not fit, or the state is of another watch.
    """
    _check(source)
    if output.report is not None:
        files.writable(files.expanded(output.report).parent)
        from innerloop.apps.text.watch.page import write  # before hours are spent: it takes an extra
    tasks = Tasks(names, context, teaching)
    if not tasks.shared:
        tell("the two tasks have different encoders: each text is encoded twice")
    with ExitStack() as stack:
        state = State(output.state, record(tasks.subjects, source.record, settings))
        stack.callback(state.close)
        watched = Watch(tasks, settings, state, tell)
        for message in unknown(watched):
            tell(message)
        file = None if output.alerts is None else outbox.AlertFile(state.connection, output.alerts)
        hook = None if output.webhook is None else Webhook(state.path, output.webhook, tell)
        if hook is not None:
            stack.callback(hook.close, 0.0)  # whatever ends it

        def deliver() -> None:
            if file is not None:
                file.write()
            outbox.say(state.connection, say)

        deliver()  # what a process that was killed left
        try:
            for batch in _batches(source, state.get("position"), tell, stack):
                watched.take(batch.lines, batch.position)
                deliver()
                progress(watched.tally["lines"])
            if finish:
                watched.finish()
                deliver()
        except KeyboardInterrupt:
            tell("stopped; the same command goes on from here")
            watched = Watch(tasks, settings, state, tell)  # as of the last batch that was kept
        unsent = 0 if hook is None else hook.close(output.wait)
        page = None
        if output.report is not None:
            page = write(output.report, watched, state, command)  # pyright: ignore[reportPossiblyUnboundVariable]
        return Done(summary=summary(watched, state), unsent=unsent, report=page)


def _check(source: Input) -> None:
    if source.follow and source.place in (STDIN, HTTP):
        raise InputError(
            f"--follow is of files and feeds; {source.place} goes on as long as something comes: leave it out"
        )


def _batches(source: Input, position: Any, tell: Callable[[str], None], stack: ExitStack) -> Iterator[Batch]:
    if source.place == STDIN:
        return lines.of_descriptor(sys.stdin.fileno())
    if source.place == HTTP:
        listener = Listener(source.host, source.port, os.environ.get(TOKEN), tell)
        stack.callback(listener.close)
        return listener.batches()
    if source.feed:
        return Feed(source.place, position, source.every, tell).batches(once=not source.follow)
    return lines.of_file(source.place, position, source.follow)
