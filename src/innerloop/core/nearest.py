"""What someone who mistyped a name may have meant."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from innerloop.core.names import printable

RENAMED_LEARNERS = {"hypergradient": "learned_rates"}
"""What people type as well, and what files of earlier releases say."""


def nearest(name: str, among: Iterable[str]) -> str:
    """The end of a sentence such as "there is no learner 'protonett'": did you mean this one, or all there are."""
    names = list(among)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f". There are {', '.join(names)}"


def beside(path: Path) -> str:
    """The end of a sentence such as "there is no file photo": did you mean the one beside it, or nothing."""
    try:
        names = [one.name for one in path.parent.iterdir()]
    except (OSError, ValueError):  # no folder there, none that may be read, a name that no folder can have
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"; did you mean '{printable(str(path.parent / close[0]))}'?" if close else ""
