"""Functions to be minimised, for learned optimizers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.scores import Value
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Params
from innerloop.evaluate.optimizer_curves import OptimizerCurves, descend
from innerloop.problems.base import Problem, Split, first_line
from innerloop.problems.networks import StartOptions
from innerloop.tasks import functions

_STREAMS: Mapping[Split, int] = {"train": 0, "validation": 1, "test": 2}
_USUAL = Sensible(
    train={
        "meta_batch_size": 128,
        "meta_lr": 1e-2,
        "clip": 1.0,
        "schedule": "cosine",
        "estimator": "truncated",
        "validate_every": 100,
    }
)


@dataclass(frozen=True, kw_only=True)
class Minimisation(Problem[None]):
    """What a task is."""

    score = Value()
    streams = ("functions",)
    usual_for = ("functions",)
    usual_data = "functions"
    closing = 128

    data: str = usual_data
    """functions: drawn from a family."""
    family: Literal["quadratics", "mlp", "conv"] = "quadratics"
    """Family of the functions that a learned optimizer is trained to minimise."""
    rescale: float = 1.0
    """The most that weights count for in meta-training, in parts drawn for each tensor of each function; 1: all count
    alike. An optimizer that is used on other functions has to cope with it."""

    @classmethod
    def claims(cls, data: str) -> bool:
        return data == cls.usual_data

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {cls.usual_data: first_line(functions.__doc__)}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return _USUAL

    def load(self, context: Context) -> None:
        return None

    def train(self, material: None, stream: Stream, seed: int) -> functions.Functions:
        return functions.Functions(family=self.family, seed=3 * seed + _STREAMS["train"], rescale=self.rescale)

    def validation(self, material: None, seed: int) -> functions.Functions:
        return self.episodes(material, "validation", seed)

    def episodes(self, material: None, split: Split, seed: int) -> functions.Functions:
        return functions.Functions(family=self.family, seed=3 * seed + _STREAMS[split])

    def learner(self, cls: type[Learner], values: dict[str, Any], network: StartOptions, material: None) -> Learner:
        if "value" not in {f.name for f in fields(cls)}:
            raise InputError(f"{cls.__name__} has no field `value`, so it cannot minimise {self.family}: take l2o")
        return cls(**{**values, **self.prescribed()})

    def outputs(self, material: None) -> int:
        return 1

    def prescribed(self) -> dict[str, Any]:
        return {"value": functions.FAMILIES[self.family][1]}

    def measure(
        self, learner: Learner, params: Params, split: Split, count: int, seed: int, trained: int
    ) -> OptimizerCurves:
        """The value after every step, beside hand-made optimizers that are tuned on validation functions."""
        if not isinstance(learner, Unrolled) or learner.inner_steps < 1:
            raise InputError(
                f"steps must be at least 1, got {getattr(learner, 'inner_steps', 0)}: there is no curve without a step"
            )
        tasks, validation = self.episodes(None, split, seed), self.episodes(None, "validation", trained)
        curves = descend(learner, params, tasks, validation, functions=count, split=split)
        typed = {"seed": seed, "steps": learner.inner_steps, "episodes": count}
        return replace(curves, options=typed if split == "test" else {**typed, "split": split})
