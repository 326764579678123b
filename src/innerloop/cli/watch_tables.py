"""A watch in words: its alerts, and how it stands."""

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table

from innerloop.cli.options import Common, emit, print
from innerloop.core.complaints import complain
from innerloop.core.names import printable

if TYPE_CHECKING:
    from innerloop.apps.text.watch.summary import Summary


def alert(body: str, common: Common) -> None:
    """Say an alert at once, whoever reads."""
    told = json.loads(body)
    if common.json:
        emit(told)
    else:
        print(_sentence(told))
        for one in told["sentences"]:
            print(f"    {printable(one['text'])}")
    sys.stdout.flush()


def show(summary: "Summary") -> None:
    """How everything stands, what alerts first."""
    from innerloop.apps.text.watch.summary import ordered

    table = Table("label", "now %", "adjusted %", "usual %", "trend", "charts, of the limit")
    for one in ordered(summary.standings):
        charts = ", ".join(f"{kind} {value / limit:.2f}" for kind, (value, limit) in one.charts.items())
        table.add_row(
            printable(str(one.series)),
            _percent(one.share.value if one.share.of else None, one.share.ends),
            _percent(one.adjusted, one.ends),
            _percent(one.usual.value if one.usual.of else None, None),
            one.trend or "",
            f"{charts}{' ALERT' if one.alerting else ''}",
        )
    print(table)
    until = "" if summary.clock is None else f" until {summary.clock}"
    events = summary.tally.get("events", 0)
    print(
        f"{events:,} events{until}; {summary.closed:,} windows closed, {summary.open:,} open; {summary.alerts:,} alerts"
    )
    if summary.warming:
        print(f"usual shares are learned for {summary.warming} more windows, until then nothing alerts")
    for note in summary.notes:
        complain(note)


def _sentence(told: dict[str, Any]) -> str:
    name, window = " × ".join(map(printable, told["labels"].values())), told["window"]
    share, usual = (100 * told[key]["value"] for key in ("share", "usual"))
    if told["what"] == "over":
        return f"{window['end']}  over: {name} is at {share:.1f}%, usually {usual:.1f}%"
    adjusted = told["adjusted"][0]
    known = "" if adjusted is None else f", {100 * adjusted:.1f}% adjusted"
    charts = ", ".join(told["charts"])
    return f"{window['end']}  RISE: {name} is at {share:.1f}%{known}, usually {usual:.1f}% ({charts})"


def _percent(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" + ("" if ends is None else f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})")
