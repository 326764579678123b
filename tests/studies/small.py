"""Studies that take a second: few steps on sinusoids, and trials that are not trained at all."""

from dataclasses import replace
from typing import Any

from innerloop.runs import Options, defaults
from innerloop.studies.settings import StudyOptions


def options(**train: Any) -> Options:
    usual = defaults("maml", "sinusoid")
    few: dict[str, Any] = {"steps": 4, "meta_batch_size": 2, "validation_episodes": 8, "validate_every": 1}
    return replace(usual, train=replace(usual.train, **few | {"plan": "loop", "unchecked": True} | train))


def settings(**changes: Any) -> StudyOptions:
    return StudyOptions(**{"trials": 3, "seeds": 0, "pruner": "none"} | changes)
