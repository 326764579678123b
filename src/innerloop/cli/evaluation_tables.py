"""What `innerloop evaluate` prints for people: sentences, and a table that fits into 80 columns."""

from typing import TYPE_CHECKING

from rich.table import Table

from innerloop.cli.options import print
from innerloop.core.names import printable

if TYPE_CHECKING:
    from innerloop.evaluate.evaluation import Error, Evaluation

_MOST = 10
_LONGEST = 76
"""Characters of an example."""


def show(result: "Evaluation", *, whole: bool = False) -> None:
    """Print an evaluation.

    Args:
        result: To print.
        whole: Every class and wrong answer that it has; otherwise the worst 10.
    """
    print(f"{result.task}, version {result.version}: {result.method}")
    macro, weighted = (f"{100 * score.f1:.1f}%" for score in (result.macro, result.weighted))
    print(f"accuracy {result.accuracy}, macro F1 {macro}, weighted F1 {weighted}")
    print(
        f"probabilities: calibration error {100 * result.ece:.1f}%, negative log-likelihood {result.nll:.3f}; "
        f"area under the risk-coverage curve {100 * result.curve.area:.2f}%"
    )
    if result.reject is not None:
        print(
            f'"none of these" at {result.reject:g}: {result.coverage} are answered, {result.answered} of them rightly; '
            f"if it had to answer, {result.forced} of all"
        )
    if result.strangers:
        names = ", ".join(printable(name) for name in list(result.strangers)[:5])
        more = f" and {len(result.strangers) - 5} more" if len(result.strangers) > 5 else ""
        print(
            f"{result.let_through.of} examples of classes that it does not know ({names}{more}), not counted above: "
            f"{result.let_through} are taken for one of its classes"
        )
    print(_classes(result, whole))
    _show_errors(result, result.errors if whole else result.errors[:_MOST])
    for note in result.notes:
        print(f"note: {note}")


def _classes(result: "Evaluation", whole: bool) -> Table:
    names = list(result.per_class)
    title = None
    if len(names) > _MOST and not whole:
        names, title = result.worst_classes(_MOST), f"the worst {_MOST} of {len(names)} classes (--all: every one)"
    table = Table("class", title=title, title_justify="left")
    for column in ("prec.", "recall", "F1", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("taken for", overflow="fold")
    table.columns[0].overflow = "fold"
    for name in names:
        score = result.per_class[name]
        taken = ", ".join(f"{printable(other)} ({count})" for other, count in result.confusions(name)[:2])
        numbers = (f"{100 * value:.1f}" for value in score[:3])
        table.add_row(printable(name), *numbers, str(score.support), taken)
    return table


def _show_errors(result: "Evaluation", errors: tuple["Error", ...]) -> None:
    """Three lines each: in columns of a screen, names of classes would be folded to a few letters."""
    if not errors:
        return
    # What contradicts all others of its class may have been given to it by mistake.
    labels = "; look at their labels" if result.folds is not None else ""
    shown = f"{len(errors)} of the " if len(errors) < result.wrong else ""
    print(f"{shown}{result.wrong} wrong answer{'s' * (result.wrong > 1)}, the clearest first{labels}:")
    for error in errors:
        example = printable(error.example)
        short = example if len(example) <= _LONGEST else example[: _LONGEST - 1] + "…"
        nearest = ", ".join(f"{printable(one['label'])} #{one['number']}" for one in error.nearest)
        print(f"  {short}")
        print(f"    is {printable(error.truth)}, answered {printable(error.answer)} ({error.probability:.2f})")
        print(f"    nearest taught: {nearest}")
