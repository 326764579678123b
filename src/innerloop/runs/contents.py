"""What there is, with the first sentence of its documentation."""

import sys

from innerloop import problems
from innerloop.fewshot import sources as serving
from innerloop.learners import catalogue
from innerloop.problems.base import first_line


def contents() -> dict[str, dict[str, str]]:
    """Learners, data sets, and sources of `adapt`, by their names."""
    return {"learners": learners(), "data": data_sets(), "sources": sources()}


def learners() -> dict[str, str]:
    """Names of learners, and what they are."""
    return {name: first_line(sys.modules[cls.__module__].__doc__) for name, cls in catalogue().items()}


def data_sets() -> dict[str, str]:
    """Names of data sets, and what they are."""
    return problems.data_sets()


def sources() -> dict[str, str]:
    """What can be adapted by name, shipped runs and frozen encoders, and what they are."""
    theirs = "texts or pictures: a model of sentence-transformers or transformers"
    return serving.names() | {"hf:NAME_OR_FOLDER": theirs}
