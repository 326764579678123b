"""Which run folders are of ratings."""

from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.engine.checkpoint import read_config
from innerloop.problems import of_record
from innerloop.problems.ratings import RatingTasks


def of_ratings(run: str | Path) -> bool:
    """Whether a folder is a run on ratings, by its record: no code that it names is loaded."""
    try:
        task = (read_config(expanded(run)).get("record") or {}).get("task")
        return bool(task) and isinstance(of_record(task), RatingTasks)
    except InputError:
        return False
