"""An episode as one picture, for places that show no pages: the support by class, and answers to queries."""

import base64
import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.image import imread

from innerloop.report.canvas import STYLE, png
from innerloop.report.gallery import Picture, Shown

_RIGHT, _WRONG = "#2e7d32", "#b3261e"


def episode_sheet(shown: Shown) -> bytes | None:
    """A PNG file: a row for every class, and below the queries with what was answered; None of what has no pictures."""
    if not shown.support:
        return None
    rows = [(name, list(pictures)) for name, pictures in shown.support]
    wide = max(len(shown.queries), *(len(pictures) for _, pictures in rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.4 + 0.9 * wide, 0.9 + 0.95 * (len(rows) + 1)), layout="constrained")
        cells = figure.subplots(len(rows) + 1, wide, squeeze=False)
        for cell in cells.flat:
            cell.axis("off")
        for line, (name, pictures) in zip(cells, rows, strict=False):
            for cell, picture in zip(line, pictures, strict=False):
                cell.imshow(_pixels(picture))
            # A font need not have the characters of a name, and the letter before it says which class is meant.
            line[0].set_title(name if name.isascii() else name.partition(" ")[0], fontsize=8, loc="left")
        for cell, picture in zip(cells[-1], shown.queries, strict=False):
            cell.imshow(_pixels(picture))
            words = picture.answer if picture.right else f"{picture.answer} ({picture.truth})"
            cell.set_title(words, fontsize=8, color=_RIGHT if picture.right else _WRONG)
        figure.suptitle(f"{shown.title}; of a wrong answer the truth stands behind it", fontsize=9)
        return png(figure)


def _pixels(picture: Picture) -> Any:
    return imread(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])), format="png")
