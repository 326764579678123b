"""What is refused before torch is imported, which takes ten times longer than saying so: names of what is not there."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.kept import Kept, installation
from innerloop.core.nearest import RENAMED_LEARNERS, nearest

_OF_RUNS = ("test", "compare", "verify", "play", "follow")
"""Verbs that take run folders first."""


def refuse(verb: str, words: Sequence[str]) -> None:
    """Refuse the names of runs and learners that there are not; what cannot be told yet is left to the verb.

    Args:
        verb: As it was given.
        words: What follows it.

    Raises:
        InputError: There is no such run folder, or no such learner.
    """
    named = list(takewhile(lambda word: not word.startswith("-"), words))
    if verb in _OF_RUNS:
        for run in named:
            if not Path(run).exists():
                raise files.no_run(run)
    elif verb in ("train", "tune") and named and not _has_file(named[0].replace("-", "_")):
        contents = Kept("contents", installation()).read()
        if contents is not None:
            raise InputError(f"there is no learner '{named[0]}'{nearest(named[0], contents['learners'])}")


def _has_file(learner: str) -> bool:
    learner = RENAMED_LEARNERS.get(learner, learner)
    return any((Path(__file__).parents[1] / "learners").glob(f"*/{learner}.py"))
