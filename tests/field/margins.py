"""Thresholds with room: what was measured of each with three seeds, on two makes of processor, is in `measured.json`.

`python -m tests.field.measure` measures them again, and is to be run when a threshold, a task or a learner changes.
`test_margins.py` refuses a threshold that the worst of them does not hold by its own interval.
"""

import json
import os
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("measured.json")
WRITE = "INNERLOOP_FIELD_MEASURED"
"""Names a file that `holds` adds a line to, instead of checking."""


def holds(what: str, value: float, ci95: float, *, least: float | None = None, most: float | None = None) -> None:
    """Check a number that was measured, whose 95% interval is +- `ci95`, against its threshold.

    Args:
        what: Names it; the same words in every run.
        value: The number.
        ci95: Over tasks, functions or time steps, as the test says.
        least: It must not be below.
        most: It must not be above.
    """
    if WRITE in os.environ:
        line = {"what": what, "value": value, "ci95": ci95, "least": least, "most": most}
        with open(os.environ[WRITE], "a") as file:
            file.write(json.dumps(line) + "\n")
        return
    known = measured()[what]
    assert (known["least"], known["most"]) == (least, most), f"{what}: its threshold changed, so measure it again"
    assert least is None or value >= least, f"{what}: {value:.4g} ± {ci95:.2g}, at least {least:g} is needed"
    assert most is None or value <= most, f"{what}: {value:.4g} ± {ci95:.2g}, at most {most:g} is allowed"


def measured() -> dict[str, Any]:
    """What was measured: for each, its thresholds, and by processor [value, ci95] of each seed."""
    return json.loads(FILE.read_text())["thresholds"]


def room(known: dict[str, Any]) -> float:
    """How far the worst of the values is on the right side of its threshold, in intervals of its own."""
    found = [pair for seeds in known["values"].values() for pair in seeds]
    gaps = []
    for value, ci95 in found:
        gap = value - known["least"] if known["least"] is not None else known["most"] - value
        gaps.append(gap / max(ci95, 1e-12))
    return min(gaps)
