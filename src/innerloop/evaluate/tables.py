"""A comparison as a table for other programs: CSV for spreadsheets, LaTeX for papers."""

import csv
import io
import math
from collections.abc import Sequence

from innerloop.evaluate.compare import Comparison
from innerloop.evaluate.groups import Group, grouped

_COLUMNS: tuple[str, ...] = (
    "kind",
    "name",
    "group",
    "seed",
    "mean",
    "ci95",
    "spread",
    "difference",
    "difference_ci95",
    "difference_ci95_over_seeds",
    "learner",
    "parameters",
    "memory_per_task_bytes",
    "seconds_per_task",
    "p",
    "p_holm",
    "step",
    "cpu_seconds",
)
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
}


def to_csv(comparison: Comparison) -> str:
    """A line for every run, then one for every group of several seeds; numbers as they are, shares from 0 to 1.

    Where groups were asked for, a line for every moment of their learning curves follows.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    pairs = [(g.name, *pair) for g in comparison.groups for pair in zip(g.results, g.seeds, strict=True)]
    of_run = {id(result): (name, seed) for name, result, seed in pairs}
    for row in comparison.rows:
        group, seed = of_run.get(id(row.result), ("", None))
        line = row.to_json()
        gap = line.pop("difference") or {"mean": "", "ci95": ""}
        line |= {"kind": "run", "group": group, "seed": "" if seed is None else seed}
        line |= {"difference": gap["mean"], "difference_ci95": gap["ci95"]}
        writer.writerow({k: v for k, v in line.items() if k in _COLUMNS})
    for group in comparison.groups:
        if group.spread is None and not (comparison.by_seed and group.runs):
            continue
        gap = group.difference
        line = {"kind": "seeds", "name": group.name, "group": group.name, "spread": group.spread}
        line |= {"mean": group.tasks.mean, "ci95": group.tasks.ci95}
        line |= {} if gap is None else {"difference": gap.mean, "difference_ci95": gap.ci95}
        line |= {} if group.over_seeds is None else {"difference_ci95_over_seeds": group.over_seeds}
        line |= {} if group.p is None else {"p": group.p, "p_holm": group.p_holm}
        writer.writerow(line)
    if comparison.learning is not None:
        kinds = (("step", comparison.learning.by_steps), ("cpu_seconds", comparison.learning.by_seconds))
        for place, curve in ((place, curve) for place, curves in kinds for curve in curves):
            for mark in curve.marks:
                line = {"kind": f"curve by {place}", "name": curve.name, "group": curve.name, place: mark.at}
                writer.writerow(line | {"mean": mark.mean, "ci95": mark.ci95, "spread": mark.spread})
    return file.getvalue()


def to_latex(comparison: Comparison) -> str:
    """A table for the package booktabs; bold are the best and what is not told from it, over tasks and over seeds."""
    score = comparison.protocol.score
    results = [row.result for row in comparison.rows]
    names = [result.learner for result in results]
    groups = comparison.groups or grouped(results, range(len(results)), names, [None] * len(results))
    best = max(groups, key=lambda group: score.better(group.tasks.mean))
    several = any(group.spread is not None for group in groups)
    heads = ["", f"{score.title}{' (%)' if score.percent else ''}", *(["seeds", "between seeds"] if several else [])]
    heads += ["p (Holm)"] if comparison.by_seed else []
    digits = _digits(groups)
    judged = comparison.by_seed
    lines = [_line(group, group is best or group.alike(best), digits, several, judged) for group in groups]
    notes = [f"% {line}" for line in comparison.notes.splitlines()]
    notes.append("% bold: the best, and what 95% intervals over episodes (paired) and over seeds do not tell from it")
    tables = [tabular(notes, heads, lines)]
    for head, *rows in comparison.curves:
        tables.append(tabular([], head, [" & ".join(map(escaped, row)) + r" \\" for row in rows]))
    return "\n".join(tables)


def tabular(notes: Sequence[str], heads: Sequence[str], lines: Sequence[str]) -> str:
    """A table for the package booktabs, its first column of names.

    Args:
        notes: Lines above it, which are comments.
        heads: Of its columns, as text.
        lines: Its rows, as LaTeX.
    """
    return "\n".join(
        [
            *notes,
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            " & ".join(map(escaped, heads)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _digits(groups: tuple[Group, ...]) -> int:
    """As many in all rows as the narrowest interval needs."""
    widths = [g.score.factor * g.tasks.ci95 for g in groups if math.isfinite(g.tasks.ci95) and g.tasks.ci95 > 0]
    return max(1, 1 - math.floor(math.log10(min(widths)))) if widths and min(widths) < 0.1 else 1 if widths else 3


def _line(group: Group, bold: bool, digits: int, several: bool, judged: bool = False) -> str:
    factor = group.score.factor
    mean, ci95 = f"{factor * group.tasks.mean:.{digits}f}", f"{factor * group.tasks.ci95:.{digits}f}"
    number = (rf"\mathbf{{{mean}}}" if bold else mean) + (rf" \pm {ci95}" if math.isfinite(group.tasks.ci95) else "")
    cells = [escaped(group.name), f"${number}$"]
    if several:
        cells += [
            str(len(group.results)),
            "--" if group.spread is None else f"${factor * group.spread:.{digits}f}$",
        ]
    if judged:
        cells.append(escaped(group.verdict).replace("<", "$<$") or "--")
    return " & ".join(cells) + r" \\"


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(c, c) for c in text)
