"""The page of tagged entities: tables, what goes wrong, and mistakes in their sentences."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.report.report import environment


class Piece(NamedTuple):
    """Words of a sentence that are marked alike."""

    text: str
    gold: bool
    predicted: bool


def write_entities(file: str | Path, content: Mapping[str, Any], *, title: str, command: str | None = None) -> Path:
    """Write one page that needs nothing else; what is there is replaced.

    Args:
        file: To write.
        content: What `Report.to_json` of `apps.ner.report` gives.
        title: What was measured.
        command: What to type to do this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    page = environment().get_template("entities.html")
    shown = [(one, list(_pieces(one))) for one in content["shown"]]
    path = files.expanded(file)
    files.write(path, page.render(title=title, report=content, shown=shown, command=command))
    return path


def _pieces(mistake: Mapping[str, Any]) -> Iterator[Piece]:
    """The sentence, cut where an entity begins or ends."""
    words: Sequence[str] = mistake["words"]
    spans = [mistake[name] for name in ("gold", "predicted")]
    ends = {0, len(words), *(span[key] for span in spans if span for key in ("start", "end"))}
    cuts = sorted(ends)
    for start, end in pairwise(cuts):
        gold, predicted = (span is not None and span["start"] <= start < span["end"] for span in spans)
        yield Piece(" ".join(words[start:end]), gold, predicted)
