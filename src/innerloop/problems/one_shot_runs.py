"""The 20 fixed episodes of Omniglot's one-shot classification test (Lake et al. 2015), for testing only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.sensible import Stream
from innerloop.core.types import Sampler
from innerloop.problems.base import Problem, Split
from innerloop.problems.classes import Classes, trained_on
from innerloop.tasks.datasets.omniglot import OneShotRuns

_DATA = "omniglot-runs"


@dataclass(frozen=True, kw_only=True)
class OneShotTest(Classes):
    """What a task is: as it is."""

    usual_for = ()
    in_test = {}  # noqa: RUF012

    data: str = _DATA
    ways: int = 20
    shots: int = 1
    queries: int = 1

    @classmethod
    def claims(cls, data: str) -> bool:
        return data == _DATA

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {}  # nothing can be trained on them

    @classmethod
    def after(cls, trained: Problem, data: str) -> Self:
        return cls()

    def check(self) -> None:
        usual = vars(type(self)())
        wrong = next((name for name, value in vars(self).items() if value != usual[name]), None)
        if wrong is not None:
            raise InputError(
                f"the one-shot test is of 20 ways, 1 shot and 1 query, as it is: leave out --{wrong.replace('_', '-')}"
            )

    def stream(self, learner: type[Learner], name: str) -> Stream:
        raise InputError(f"{_DATA} are for testing only: train with --data omniglot --split-scheme lake")

    def unseen(self, record: Mapping[str, Any], context: Context, split: Split, seed: int) -> Sampler:
        """The runs, unless the learner has seen their characters, which are of the evaluation set."""
        if any(entry["data"] == "omniglot" and entry["split_scheme"] != "lake" for entry in trained_on(record)):
            raise InputError(
                "the characters of the one-shot test are of Omniglot's evaluation set, and the run was trained on some "
                "of them: train it with --split-scheme lake"
            )
        return OneShotRuns(context)
