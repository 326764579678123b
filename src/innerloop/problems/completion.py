"""Completion: pictures as functions of the pixel's place, from a few pixels of each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.scores import MeanSquaredError
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Params, Sampler
from innerloop.nn.mlp import MLP
from innerloop.problems.base import Problem, Split
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions, StartOptions
from innerloop.tasks import Splits, datasets
from innerloop.tasks.completion import Completion
from innerloop.tasks.sealed import sealed

_ENDING = "-pixels"
_PIXELS = 200


@dataclass(frozen=True, kw_only=True)
class Pixels(Problem[Splits]):
    """What a task is."""

    score = MeanSquaredError()
    streams = ("episodes",)
    in_test = {"fewest_shots": None}  # noqa: RUF012

    data: str = f"omniglot{_ENDING}"
    """A data set of pictures, with -pixels after its name."""
    shots: int | None = None
    """Pixels of the support; None: 200, or a quarter of a smaller picture."""
    queries: int | None = None
    """Pixels that a task is scored on; None: 200, or half of a smaller picture."""
    fewest_shots: int | None = 10
    """Ragged tasks in meta-training: from so many pixels to `shots`; None: always `shots`, as in tests."""

    @classmethod
    def claims(cls, data: str) -> bool:
        return data in cls.data_sets()

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {
            f"{name}{_ENDING}": f"Pictures of {name} as functions of the pixel's place, completed from a few pixels."
            for name in datasets.of_pictures()
        }

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return Sensible(fields={"inner_lr": 0.01}, train={"meta_batch_size": 16, "clip": 10.0})

    def check(self) -> None:
        for name in ("shots", "queries"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")

    def load(self, context: Context) -> Splits:
        return datasets.load(self.data.removesuffix(_ENDING), context)

    def sealed(self, material: Splits) -> Splits:
        return sealed(material)

    def train(self, material: Splits, stream: Stream, seed: int) -> Sampler:
        return self.episodes(material, "train", seed)

    def validation(self, material: Splits, seed: int) -> Sampler:
        return self.episodes(material, "validation", seed)

    def episodes(self, material: Splits, split: Split, seed: int) -> Completion:
        pool = material.pools()[split]
        pixels = pool.shape[-1] * pool.shape[-2]
        return Completion(
            pool=pool,
            shots=max(1, min(_PIXELS, pixels // 4)) if self.shots is None else self.shots,
            queries=max(1, min(_PIXELS, pixels // 2)) if self.queries is None else self.queries,
            fewest_shots=self.fewest_shots,
            seed=seed,
        )

    def learner(self, cls: type[Learner], values: dict[str, Any], network: StartOptions, material: Splits) -> Learner:
        if "values" not in cls.targets:
            raise InputError(
                f"{cls.__name__} tells classes apart; pixels of {self.data} are values: try neural_process or maml"
            )
        outputs, own = self.outputs(material), {f.name for f in fields(cls)}
        given: dict[str, Any] = {"model": MLP(inputs=2, hidden=(128, 128, 128), outputs=outputs), **self.prescribed()}
        given = {k: v for k, v in given.items() if k in own}
        return make_learner(cls, {**values, **given}, (2,), outputs, NetworkOptions())

    def outputs(self, material: Splits) -> int:
        return material.train.shape[0]

    def prescribed(self) -> dict[str, Any]:
        return {"objective": regression}

    def record(self, material: Splits) -> dict[str, Any]:
        pool = material.train
        return {"dataset": pool.dataset, "train_class_hash": pool.class_hash, "shape": list(pool.shape)}

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        """Pictures completed from 10, 50 and 200 pixels, whatever the test has."""
        from innerloop.report.completions import completions  # its packages may be missing, as in the base

        assert isinstance(sampler, Completion)
        return completions(learner, params, sampler, count)
