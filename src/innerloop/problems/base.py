"""What a kind of problem is: the tasks of some data, what comes in and out of them, and how they are scored."""

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Target
from innerloop.core.scores import Score
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Batch, Params, Sampler
from innerloop.engine.updates import Update
from innerloop.problems.networks import StartOptions
from innerloop.tasks import EpisodeSampler, Splits

Material = TypeVar("Material")
Split = Literal["train", "validation", "test"]
FOR_VALUES = "gp-curves"
"""What learners of values alone are trained on unless other data are named."""


class Baseline(NamedTuple):
    """An honest number to stand beside a result."""

    label: str
    """Label of its file."""
    learner: Learner
    params: Params
    name: str
    """In tables."""


def first_line(doc: str | None) -> str:
    """What a documented thing is, in a line."""
    return (doc or "").strip().partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class Problem(abc.ABC, Generic[Material]):
    """One kind of problem. Its fields are the options that apply to it, and no others.

    What is loaded goes through the methods as `material`, as parameters do through a learner's.
    """

    score: ClassVar[Score]
    """What its samplers name."""
    streams: ClassVar[tuple[Stream, ...]]
    """What it can give to meta-training."""
    usual_for: ClassVar[tuple[Stream, ...]] = ()
    """Learners that are trained on these are given `usual_data` unless others are named."""
    usual_data: ClassVar[str] = ""
    network_options: ClassVar[type[StartOptions]] = StartOptions
    """What a person may choose about the networks."""
    turns: ClassVar[tuple[str, ...]] = ()
    """Flags that make tasks so different that learners start elsewhere with them."""
    closing: ClassVar[int] = 0
    """Validation tasks that a training ends with being measured on, where the kind measures in its own way."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Names of further scores that a test tells of the same tasks."""
    test_episodes: ClassVar[int] = 600
    """Tasks of a test, unless another number is asked for."""
    by_step: ClassVar[bool] = False
    """Whether a test says what every inner step brought, beside the score after the last."""
    in_test: ClassVar[Mapping[str, Any]] = {}
    """Values that options have in testing unless they are given: some are about training alone."""

    data: str

    @property
    def target(self) -> Target:
        """What `y` of its tasks is."""
        return "classes" if self.score.of_classes else "values"

    @classmethod
    @abc.abstractmethod
    def claims(cls, data: str) -> bool:
        """Whether some data, by name or path, are of this kind."""

    @classmethod
    def knows(cls, data: str) -> bool:
        """Whether some data are of this kind by their name, whatever lies in a folder of that name."""
        return data.replace("_", "-") in cls.data_sets()

    @classmethod
    @abc.abstractmethod
    def data_sets(cls) -> Mapping[str, str]:
        """Names of its data sets, and what they are."""

    @classmethod
    def names(cls, data: str) -> tuple[str, ...]:
        """What learners may call it in their `sensible`, the most special name first."""
        own = (base.__module__.rpartition(".")[2] for base in cls.__mro__ if issubclass(base, Problem))
        return (data.replace("-", "_"), *(name for name in own if name != "base"))

    @classmethod
    def usual(cls, data: str) -> Sensible:
        """Where learners start that say nothing of it."""
        return Sensible()

    @classmethod
    def sensible(cls, learner: type[Learner], data: str) -> Sensible:
        """Where a learner starts: what it says itself, or what is usual; networks begin with what is usual."""
        own, usual = (learner.sensible.get(name) for name in cls.names(data)), cls.usual(data)
        entry = next((entry for entry in own if entry is not None), usual)
        return replace(entry, network={**usual.network, **entry.network})

    @classmethod
    def turned(cls, learner: type[Learner], entry: Sensible, flags: Collection[str]) -> Sensible:
        """Where a learner starts once flags of `turns` are set; `entry`, where it starts without them."""
        return entry

    @property
    def flags(self) -> tuple[str, ...]:
        """Those of `turns` that are set."""
        return tuple(name for name in self.turns if getattr(self, name))

    def check(self) -> None:
        """Refuse options that make no task.

        Raises:
            InputError: A count is below 1.
        """
        for name in ("ways", "shots", "queries", "batch_size"):
            if getattr(self, name, 1) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")

    def stream(self, learner: type[Learner], name: str) -> Stream:
        """What a learner is trained on here.

        Raises:
            InputError: On nothing that this kind has, or it predicts values where there are classes.
        """
        if self.target == "classes" and self.target not in learner.targets and "returns" not in learner.targets:
            raise InputError(
                f"{name} predicts values, and '{self.data}' has classes: take --data {FOR_VALUES}, or another learner"
            )
        streams: list[Stream] = [s for s in learner.trains_on if s in self.streams]
        if not streams:
            wanted = " or ".join(learner.trains_on).replace("_", " ")
            raise InputError(
                f"{name} is trained on {wanted}, which '{self.data}' does not have: leave out --data {self.data}, or "
                "choose another learner"
            )
        return streams[0]

    @abc.abstractmethod
    def load(self, context: Context) -> Material:
        """What the tasks are made from."""

    def suited(self, learner: type[Learner], name: str, material: Material) -> Self:
        """With defaults that data may be too small for made smaller, where nobody asked for others.

        Raises:
            InputError: Options that this learner cannot follow.
        """
        return self

    def sealed(self, material: Material) -> Material:
        """The material without what is tested on, for a study that chooses; all of it where tests are computed."""
        return material

    @abc.abstractmethod
    def train(self, material: Material, stream: Stream, seed: int) -> Sampler:
        """Meta-training tasks."""

    @abc.abstractmethod
    def validation(self, material: Material, seed: int) -> Sampler:
        """Meta-validation tasks, like those of training."""

    @abc.abstractmethod
    def episodes(self, material: Material, split: Split, seed: int) -> Sampler:
        """Tasks of a split, as a test has them; the three splits never meet."""

    @abc.abstractmethod
    def learner(self, cls: type[Learner], values: dict[str, Any], network: Any, material: Material) -> Learner:
        """A learner for these tasks, with networks that take their inputs.

        Args:
            cls: Of the learner.
            values: Its hyper-parameters.
            network: Which networks, as `network_options`.
            material: As of `load`.

        Raises:
            InputError: It cannot learn tasks of this kind, or the options do not fit together.
        """

    @abc.abstractmethod
    def outputs(self, material: Material) -> int:
        """Length of a prediction."""

    def prescribed(self) -> dict[str, Any]:
        """Fields of learners that these tasks decide, such as the objective."""
        return {}

    def splits(self, material: Material) -> Splits | None:
        """The classes behind the tasks, where there are any."""
        return None

    def record(self, material: Material) -> dict[str, Any]:
        """Plain JSON that a run keeps of its data, besides the options."""
        return {}

    def choosing(self, material: Material) -> Sampler | None:
        """Small meta-validation tasks to choose a hyper-parameter on; None: there are none."""
        return None

    def calibrating(self, material: Material) -> Sampler | None:
        """Meta-validation tasks to calibrate probabilities on; None: there are none."""
        return None

    @classmethod
    def after(cls, trained: "Problem", data: str) -> Self:
        """The problem of this kind that a run of another one is tested on: options of the same names are kept."""
        names = {f.name for f in fields(cls)} - {"data"}
        return cls(data=data, **{k: v for k, v in vars(trained).items() if k in names} | dict(cls.in_test))

    def changed(self, options: Mapping[str, Any]) -> Self:
        """The problem with some options changed.

        Raises:
            InputError: One does not apply.
        """
        own = {f.name for f in fields(self)}
        wrong = next((k for k in options if k not in own), None)
        if wrong is not None:
            raise InputError(f"{self.data} has no {wrong.replace('_', ' ')}: leave out --{wrong.replace('_', '-')}")
        problem = replace(self, **options)
        problem.check()
        return problem

    def unseen(self, record: Mapping[str, Any], context: Context, split: Split, seed: int) -> Sampler:
        """The tasks that a run is tested on.

        Args:
            record: Of the run: what it has seen.
            context: Where data sets lie.
            split: Which tasks.
            seed: Of the tasks.

        Raises:
            InputError: The run has seen them.
        """
        return self.episodes(self.load(context), split, seed)

    def pairs(
        self, record: Mapping[str, Any], context: Context, split: Split, seed: int, same_group: float | None
    ) -> EpisodeSampler:
        """Tasks of one shot and one query, whose examples are compared.

        Args:
            record: As of `unseen`, likewise the following three.
            context: Where data sets lie.
            split: Which classes.
            seed: Of the tasks.
            same_group: Share of tasks whose classes are all from one group; None: a half where groups allow, else 0.

        Raises:
            InputError: There are no classes, or the run has seen them.
        """
        raise InputError(f"pairs are taken from data with classes, which {self.data} has not: give others with --data")

    def changing(self, seed: int, length: int, period: int) -> Batch:
        """[length] moments of one stream whose constants change.

        Args:
            seed: Of the stream.
            length: Moments.
            period: Moments between two changes.

        Raises:
            InputError: There is no such stream.
        """
        raise InputError(f"'{self.data}' is no stream: follow a run that was trained with --data mass-spring-damper")

    @property
    def unread(self) -> tuple[str, ...]:
        """Options of training that its updates do not read: they are neither searched nor to be set."""
        return ()

    def updating(self, learner: Learner) -> Update | None:
        """What a meta-step does to the learner's parameters; None: its gradient and the optimizer."""
        return None

    def refuse_unfit(self, learner: Learner, params: Params, record: Mapping[str, Any], sampler: Sampler) -> None:
        """Tasks that the run's network cannot take, said before any work.

        Raises:
            InputError: They are of other shapes or ways.
        """

    def baselines(self, learner: Learner, seed: int, sampler: Sampler) -> Iterator[Baseline]:
        """Honest numbers to stand beside a run: here the same learner, untrained."""
        start = learner.init(seed)
        if start:
            yield Baseline("untrained", learner, start, f"{type(learner).__name__}, untrained")

    def raw(self, shape: Sequence[int], preprocessing: Mapping[str, Any] | None = None) -> str:
        """What tables call examples of this shape, and made from files so, as they are."""
        return "raw inputs"

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        """What a report shows of the first tasks, `report.gallery.Shown` each: pictures of classes, or curves.

        Args:
            learner: As tested.
            params: Its meta-parameters.
            sampler: Of the tasks.
            count: How many.
        """
        from innerloop.report.gallery import gallery  # its packages may be missing, and nothing else needs them

        return gallery(learner, params, sampler, count)

    def measure(self, learner: Learner, params: Params, split: Split, count: int, seed: int, trained: int) -> Any:
        """A measurement in the kind's own way; None: by a meta-test, like most.

        Args:
            learner: As trained.
            params: Its meta-parameters.
            split: Which tasks.
            count: How many.
            seed: Of the tasks.
            trained: The seed of training, whose validation tasks may be tuned on.

        Returns:
            What has `save(run) -> Path` and `to_json()`, and says itself in words.
        """
        return None
