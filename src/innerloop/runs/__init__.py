"""A run is a function that returns a `Run`: which learner, on which tasks, trained how."""

from innerloop.runs.build import build
from innerloop.runs.defaults import defaults
from innerloop.runs.options import Options
from innerloop.runs.run import Run

__all__ = ["Options", "Run", "build", "defaults"]
