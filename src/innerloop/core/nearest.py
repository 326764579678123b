"""What someone who mistyped a name may have meant."""

import difflib
from collections.abc import Iterable

RENAMED_LEARNERS = {"hypergradient": "learned_rates"}
"""What people type as well, and what files of earlier releases say."""


def nearest(name: str, among: Iterable[str]) -> str:
    """The end of a sentence such as "there is no learner 'protonett'": did you mean this one, or all there are."""
    names = list(among)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f". There are {', '.join(names)}"
