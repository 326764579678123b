"""`report.html` of an evaluation: how good a taught task is, on one page that needs nothing else."""

from pathlib import Path

from markupsafe import Markup

from innerloop.core import files
from innerloop.evaluate.evaluation import Evaluation
from innerloop.report import figures
from innerloop.report.report import Plot, environment

_READABLE = 12
"""Classes whose confusion matrix is a table; more are a picture."""
_CONFUSED = 20
"""Pairs of classes that are listed."""


def write_evaluation(folder: str | Path, result: Evaluation, command: str | None = None) -> Path:
    """Write `report.html` into a folder; what is there is replaced.

    Args:
        folder: It is made where it is missing.
        result: To show.
        command: What to type to do all this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    columns = [*result.classes, "none of these"] if result.reject is not None else list(result.classes)
    pairs = [(count, name, other) for name in result.classes for other, count in result.confusions(name)]
    # What is refused is in the recall of every class already.
    pairs = sorted((pair for pair in pairs if pair[2] in result.classes), key=lambda pair: -pair[0])
    html = (
        environment()
        .get_template("evaluation.html")
        .render(
            title=f"How good is {Path(result.task).name}?",
            result=result,
            columns=columns,
            readable=len(result.classes) <= _READABLE,
            matrix=_matrix(result),
            pairs=pairs[:_CONFUSED],
            plots=[_curve(result), _reliability(result)],
            command=command,
        )
    )
    path = Path(folder) / "report.html"
    files.write(path, html)
    return path


def _matrix(result: Evaluation) -> Plot:
    shares = result.confusion / result.confusion.sum(1, keepdim=True).clamp_min(1)
    columns = shares if result.reject is not None else shares[:, :-1]
    svg = figures.confusion("confusion", columns.tolist())
    last = ', then "none of these"' if result.reject is not None else ""
    words = f"{len(result.classes)} classes by name{last}; {result.accuracy} are named rightly"
    return Plot(Markup(svg), f"confusion matrix: {words}", f"Share of each class that is answered so: {words}.")


def _curve(result: Evaluation) -> Plot:
    half = min(result.points, key=lambda point: abs(point[0] - 0.5))
    words = f"{100 * half[1]:.1f}% wrong at {100 * half[0]:.0f}% answered, {100 * result.points[-1][1]:.1f}% at all"
    caption = (
        f"Risk against coverage: {words}; area {100 * result.curve.area:.2f}%. The most confident are answered first."
    )
    return Plot(Markup(figures.risk_coverage("risk", result.points)), f"risk-coverage curve: {words}", caption)


def _reliability(result: Evaluation) -> Plot:
    words = f"calibration error {100 * result.ece:.1f}%, negative log-likelihood {result.nll:.3f}"
    caption = f"Reliability: {words}. Above the dotted line it is right more often than it says, below less often."
    return Plot(Markup(figures.reliability("reliability", result.bins)), f"reliability diagram: {words}", caption)
