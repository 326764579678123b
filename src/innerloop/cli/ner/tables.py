"""What `innerloop ner report` prints for people: tables that fit into 80 columns, and mistakes in their sentences."""

from typing import TYPE_CHECKING

from rich.table import Table

from innerloop.cli.options import print
from innerloop.core.names import printable

if TYPE_CHECKING:
    from innerloop.apps.ner import tables
    from innerloop.apps.ner.mistakes import Mistake
    from innerloop.apps.ner.report import Report, Scored

_AROUND = 8
"""Words that are shown on each side of a mistake."""


def show(report: "Report") -> None:
    """Print a report."""
    from innerloop.apps.ner.mistakes import KINDS

    about = f"{report.sentences} sentences, {report.words} words, mode {report.mode}"
    print(f"{about}; 95% intervals over {len(report.counts)} {report.unit}")
    print(
        f"entity F1 {_number(report.f1)}, precision {_number(report.precision)}, recall {_number(report.recall)} "
        "(micro: pooled counts)"
    )
    print(_table("entity, strict", report.entities["strict"]))
    schemas = Table("schema", *(f"{name} F1" for name in ("micro", "macro", "weighted")))
    for schema, table in report.entities.items():
        schemas.add_row(schema, *(_percent(score.f1) for score in (table.micro, table.macro, table.weighted)))
    print(schemas)
    print(_table("word, by tag", report.tokens))
    print(f"why this is no entity F1: {report.why}.")
    total = sum(report.kinds.values())
    if total:
        print(f"{total} mistakes:")
    for kind, count in report.kinds.items():
        print(f"  {count:>6} {kind:<8} {KINDS[kind]}")
    if report.shown:
        print(_confusion(report.confusion))
        print(f"{len(report.shown)} of them, in their sentences:")
    for mistake, words in report.shown:
        print(f"  {mistake.kind:<8} {in_context(mistake, words)}")


def in_context(mistake: "Mistake", words: tuple[str, ...]) -> str:
    """The words around a mistake: what is true, then what was predicted in its place."""
    both = [span for span in (mistake.gold, mistake.predicted) if span is not None]
    start, end = min(span.start for span in both), max(span.end for span in both)
    marked = [
        f"{name} [{' '.join(words[span.start : span.end])}] {span.type}" if span else f"{name} nothing"
        for name, span in (("is", mistake.gold), ("predicted", mistake.predicted))
    ]
    before, after = words[max(0, start - _AROUND) : start], words[end : end + _AROUND]
    around = [*before, f"[{' '.join(words[start:end])}]", *after]
    first, last = (["…"] if cut else [] for cut in (start > _AROUND, end + _AROUND < len(words)))
    return printable(f"#{mistake.sentence + 1} {'; '.join(marked)}: {' '.join([*first, *around, *last])}")


def _table(name: str, table: "tables.Table") -> Table:
    shown = Table(name)
    for column in ("prec.", "recall", "F1", "n"):
        shown.add_column(column, justify="right", no_wrap=True)
    averages = (("micro", table.micro), ("macro", table.macro), ("weighted", table.weighted))
    for kind, score in table.rows.items():
        shown.add_row(printable(kind), *map(_percent, score[:3]), str(score.support))
    shown.add_section()
    for kind, score in averages:
        shown.add_row(kind, *map(_percent, score[:3]), str(score.support))
    return shown


def _confusion(counts: dict[str, dict[str, int]]) -> Table:
    """Pairs, the most frequent first: a matrix of 39 types fits no screen."""
    pairs = [(n, true, other) for true, row in counts.items() for other, n in row.items() if n and true != other]
    table = Table("is", "predicted", "how often")
    for count, true, other in sorted(pairs, key=lambda pair: -pair[0])[:10]:
        table.add_row(printable(true), printable(other), str(count))
    return table


def _number(score: "Scored") -> str:
    return f"{100 * score.value:.1f} ± {100 * score.ci95:.1f}%"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
