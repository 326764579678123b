"""A comparison of runs on a stream as a table for other programs: CSV for spreadsheets, LaTeX for papers."""

import csv
import io

from innerloop.continual.compare import StreamComparison
from innerloop.evaluate.continual import MEANINGS
from innerloop.evaluate.result import finite
from innerloop.evaluate.tables import escaped, tabular


def to_csv(comparison: StreamComparison) -> str:
    """A line for every run; numbers as they are, shares from 0 to 1, and nothing where there is no number."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", "seed", *MEANINGS, "state_bytes"])
    for group in comparison.groups:
        for seed, row in group.rows.items():
            figures = [finite(row.figures[name].value) for name in MEANINGS]
            writer.writerow([group.name, seed, *figures, row.state])
    return file.getvalue()


def to_latex(comparison: StreamComparison) -> str:
    """A table for the package booktabs: that for people, with its notes as comments."""
    heads, *rows = comparison.cells
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    return tabular([f"% {line}" for line in comparison.notes], heads, lines)
