"""What all plots of a report share: style, size, and how a drawing becomes part of a page."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour
COLOURS = ("#2f7fc1", "#d9822b", "#5a9e4b", "#b0559b", "#8a7a5c", "#4aa3a2")  # legible on white and on black
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_KEPT: ContextVar[dict[str, bytes] | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def photographed() -> Iterator[dict[str, bytes]]:
    """Everything that becomes part of a page meanwhile, as PNG files by their names."""
    pictures: dict[str, bytes] = {}
    token = _KEPT.set(pictures)
    try:
        yield pictures
    finally:
        _KEPT.reset(token)


def png(figure: Figure) -> bytes:
    """The drawing on white, as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def axes(height: float = 2.9) -> tuple[Figure, Axes]:
    """An empty drawing, so many inches high."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure, name: str) -> str:
    """The drawing without XML prologue and fixed size; its ids begin with `name`, so that several fit on a page."""
    if (pictures := _KEPT.get()) is not None:
        pictures[name] = png(figure)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Letters stay letters in the page, in the fonts of whoever reads it: ours need not have them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return text.replace("<svg", '<svg aria-hidden="true"', 1).replace(INK, "currentColor")
