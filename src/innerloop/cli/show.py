"""`innerloop show <file>`."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import tyro
from rich.table import Table

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.names import printable
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop show`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Say what is in a file: what learned, from how many examples, how far to believe it, and its versions."""
    options = parse(Command, argv, "show", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.commands import show
    from innerloop.fewshot.summaries import describe, drift_in_words

    summary = show(options.file, options.common)
    if options.common.json:
        emit(summary)
        return 0
    print(f"{summary['file']}: {summary['learner']} of {summary['source']}, {summary['kind']}")
    print(f"classes: {describe(summary)}")
    for key in ("head", "names", "tuning", "budget"):
        if summary[key] is not None:
            print(f"{key}: {summary[key]['reason']}")
    print(f"drift: {drift_in_words(summary['drift'])}")
    table = Table("version", "time (UTC)", "action", "classes", "examples")
    for entry in summary["versions"]:
        counts = entry["examples"]
        what = _in_utc(entry["time"]), printable(entry["action"])
        table.add_row(str(entry["version"]), *what, str(len(counts)), str(sum(counts.values())))
    print(table)
    return 0


def _in_utc(time: str) -> str:
    """A time of a file as people read it; a stranger's file may hold anything."""
    try:
        return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return printable(time)
