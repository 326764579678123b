"""`innerloop watch <task> [<task>] --input <file|-|http|feed>`."""

import shlex
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field

import tyro

from innerloop.apps.text.watch.settings import Settings
from innerloop.cli.options import Common, counted, emit, parse, print
from innerloop.cli.watch_tables import alert, show
from innerloop.core.complaints import complain
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop watch`."""

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """One or two files of `innerloop adapt`, of texts, such as one of topics and one of sentiment; or tables of text
    and label, which are taught as they are read."""
    input: str
    """A file with one JSON object a line (text, time, id, source), - for standard input, http to have them posted, or
    the address of an RSS or Atom feed."""
    source: str | None = None
    """What tables are taught to, use-multilingual where nothing is said; `innerloop list` names others."""
    prior: tuple[str, ...] = ()
    """A run that teaching starts from, in place of the rows of the source as they are, such as polarity for moods; or
    none. One for all tables, or one for each task, in their order."""
    follow: bool = False
    """Wait for more at the end of a file, or ask a feed again and again; Ctrl-C ends it."""
    finish: bool = False
    """Close all windows at the end, as if nothing came any more; otherwise the last ones stay open."""
    state: str = "watch.sqlite"
    """The file that everything is kept in; the same command goes on from there, after kill -9 as well."""
    alerts: str | None = None
    """Also write alerts into this file, one JSON object a line."""
    webhook: str | None = None
    """Also post alerts to this address, each with an Idempotency-Key, until it takes them."""
    wait: float = 60.0
    """Seconds to wait at the end for the webhook."""
    report: str | None = None
    """Write a page with curves, limits and the sentences behind alerts into this file."""
    host: str = "127.0.0.1"
    """Address that http listens on; any but loopback demands INNERLOOP_WATCH_TOKEN."""
    port: int = 8765
    """Port that http listens on."""
    every: float = 900.0
    """Seconds between two looks at a feed, 60 or more."""
    settings: Settings = field(default_factory=Settings)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Label a stream of texts, and alert where the share of a label rises.

    With --json, alerts one object a line, and how it stands last.
    """
    options = parse(Command, argv, "watch", run.__doc__ or "")
    for task in options.tasks:
        paths.existing(task)
    from innerloop.apps.text.watch.run import Input, Output, watch
    from innerloop.apps.text.watch.tasks import Teaching

    known = {} if options.source is None else {"source": options.source}
    teaching = Teaching(prior=options.prior, **known) if known or options.prior else None
    # Where alerts are shown on a terminal, a bar would be in their way.
    with nullcontext(_silent) if sys.stdout.isatty() else counted("lines") as progress:
        done = watch(
            options.tasks,
            Input(
                place=options.input, follow=options.follow, host=options.host, port=options.port, every=options.every
            ),
            settings=options.settings,
            output=Output(
                state=options.state,
                alerts=options.alerts,
                webhook=options.webhook,
                wait=options.wait,
                report=options.report,
            ),
            finish=options.finish,
            context=options.common,
            say=lambda body: alert(body, options.common),
            tell=complain,
            progress=lambda taken: progress(taken, None),
            teaching=teaching,
            command=shlex.join(["innerloop", "watch", *argv]),
        )
    if options.common.json:
        emit(done.summary.to_json())
    else:
        show(done.summary)
    if done.report is not None:
        print(f"report: {done.report}", stderr=options.common.json)
    if done.unsent:
        complain(f"{done.unsent} alerts are not sent yet; the same command sends them")
    return 1 if done.unsent else 0


def _silent(done: int, total: int | None) -> None:
    """Show no bar."""
