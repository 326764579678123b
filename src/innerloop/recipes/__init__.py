"""A run is a function that returns a `Run`: which learner, on which tasks, trained how."""

from innerloop.recipes.build import build
from innerloop.recipes.defaults import defaults
from innerloop.recipes.options import NetworkOptions, Options, TaskOptions
from innerloop.recipes.run import Run

__all__ = ["NetworkOptions", "Options", "Run", "TaskOptions", "build", "defaults"]
