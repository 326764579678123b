"""What an algorithm is: `init`, `adapt`, `predict`, `loss`, written for one task and pure."""

import abc
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from innerloop.core import objectives, recompute, scores, unlabelled
from innerloop.core.predictive import Predictive
from innerloop.core.ranges import Checked
from innerloop.core.sensible import Sensible, Stream, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

Adapted = TypeVar("Adapted")
Carry = TypeVar("Carry")
Target = Literal["classes", "values", "returns"]


@dataclass(frozen=True, kw_only=True)
class Learner(Checked, abc.ABC, Generic[Adapted]):
    """Learning to learn, for ONE task; the engine vectorises it. Fields are hyper-parameters.

    Subclasses are frozen, keyword-only dataclasses. Every method is pure and can be traced by `vmap`: fixed iteration
    counts, no `.item()`, nothing constructed inside `adapt`, no draw from torch's generator.
    """

    trains_on: ClassVar[tuple[Stream, ...]]
    """What meta-training gives it; the first is usual, others come where the data are so. A learner of the catalogue
    says it itself: there is no default, and nothing is inherited."""
    usual_data: ClassVar[str | None] = None
    """Name of the data it takes unless others are named; None: those that are usual for what it trains on."""
    sensible: ClassVar[Mapping[str, Sensible]] = by_kind()
    """What to start from, by kind of problem."""
    targets: ClassVar[tuple[Target, ...]] = ("classes",)
    """What `y` of its tasks may be: classes [n], or values [n, d] with a fitting `objective`; returns of agents, which
    read no `y`."""
    exact_gradient: ClassVar[bool] = True
    """Whether the gradient of `loss` is its exact derivative. False where a part is held constant by `core.stopped`
    (first-order learners): then it is the derivative with that part held."""
    incremental: ClassVar[bool] = False
    """Whether `update` exists. It equals `adapt` on both batches together, except that batch-norm statistics stay those
    of the first."""
    weighs: ClassVar[bool] = False
    """Whether `adapt` reads `support.weight`: a row that weighs 2 is learned from as if it were there twice."""
    probabilistic: ClassVar[bool] = False
    """Whether `predictive` exists, and `predict` is its mean."""
    gives_probabilities: ClassVar[bool] = True
    """Whether a softmax makes probabilities of the logits of `predict`, at some temperature. False of scores that only
    say which class is likelier, such as a critic's: nothing is calibrated, and no calibration error told."""
    stochastic: ClassVar[bool] = False
    """Whether `adapt` reads `support.key`. Noise is drawn for a task, a class or a latent, never for the position of a
    row, unless the learner is `ordered`; padding draws nothing."""
    ordered: ClassVar[bool] = False
    """Whether `adapt` reads the support as a sequence, so that the order of its rows matters."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether it learns from rows of the support that have no label (-1). Other learners never see them: not even their
    batch norms do, see `core.unlabelled`."""
    queries_apart: ClassVar[bool] = True
    """Whether `loss` is the mean over the query's rows of what each gives alone. False where it is trained on something
    else than being asked, such as pairs, or the way that adaptation takes."""
    low_precision: ClassVar[bool] = False
    """Whether bfloat16 is accurate enough for it; second-order gradients lose a fifth of themselves there."""

    wanted = "a Learner, such as MAML(model=...)"

    transductive: bool = False
    """Whether predictions may use the query batch's statistics; tables say which."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unlabelled.guard(cls)

    @abc.abstractmethod
    def init(self, seed: int) -> Params:
        """Meta-parameters, a function of `seed` alone."""

    @abc.abstractmethod
    def adapt(self, params: Params, support: Batch) -> Adapted:
        """What is known after seeing the support. The query set is no argument: it cannot leak."""

    @abc.abstractmethod
    def predict(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[n, ways] logits, or [n, d] means, for [n, ...] inputs."""

    @abc.abstractmethod
    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """A scalar whose gradient with respect to `params` is the meta-gradient, and what to log."""

    def reference_gradient(self, params: Params, episode: Episode) -> Params | None:
        """The gradient of `loss` as the paper states it, for learners that hold a part of it constant.

        It is written apart from `loss`, so that `audit` can hold one against the other; None: nothing is declared.
        """
        return None

    def complete(self, params: Params, tasks: Iterable[Episode]) -> Params:
        """`params` with what is computed from meta-training tasks once it is trained, where a learner has such things.

        Args:
            params: As trained; what is computed here is not trained on from.
            tasks: A few of them, always the same.
        """
        return params

    def annealed(self, progress: float) -> Self:
        """The learner that meta-training uses once this share of it, from 0 to 1, is done: what is annealed.

        Only `loss` may differ between them, and few of them: a recorded or compiled plan is made anew for each.
        """
        return self

    def update(self, params: Params, adapted: Adapted, more: Batch) -> Adapted:
        """What is known after seeing `more` as well, for learners with `incremental = True`; see there."""
        raise TypeError(f"{type(self).__name__} is not incremental: adapt again on all examples")

    def predictive(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Predictive:
        """All members of what is known of [n, ...] inputs, for learners with `probabilistic = True`.

        `predict` is the mean of the mixture: `core.predictive.mean_logits` of its outputs for classes, logits whose
        softmax is the members' mean softmax, and `mean_outputs` for targets.
        """
        raise TypeError(f"{type(self).__name__} has no predictive: it knows one answer only")


@dataclass(frozen=True, kw_only=True)
class EpisodicClassifier(Learner[Adapted]):
    """A learner trained by its own use: adapt to the support, be scored on the query (Vinyals et al. 2016).

    With `objective=regression` the same holds for float targets.
    """

    objective: objectives.Objective = field(default=objectives.classification)
    """`(outputs, y, mask) -> scalar` of the query set, and of the support for learners that descend on it."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        return self.query_loss(params, self.adapt(params, episode.support), episode.query)

    def query_loss(self, params: Params, adapted: Adapted, query: Batch) -> tuple[Tensor, Metrics]:
        """The second half of `loss`; where that is not overridden, the engine may run the halves differently."""
        outputs = self.predict(params, adapted, query.x)
        return self.objective(outputs, query.y, query.mask), self.logged(outputs, query)

    def logged(self, outputs: Tensor, query: Batch) -> Metrics:
        """What training logs of a task beside its loss: the `score` that goes with the objective, where one does."""
        return scores.logged(self.objective, outputs, query)


class Unrolled(Learner[Adapted], Generic[Adapted, Carry]):
    """A learner whose adaptation is a fold, so that anyone can look in between its steps.

    `adapt` is `finish` of `steps_at_test` times `advance` from `start`.
    """

    additive: ClassVar[bool] = False
    """Whether `loss` is the sum of what `advance` returns, so that a gradient estimator may cut it into pieces."""

    step_name: ClassVar[str] = "inner step"
    """What tables call a step."""

    by_step: ClassVar[tuple[str, ...]] = ()
    """Prefixes of parameters that have a row for each inner step: a test may take another number of steps, and those
    past the last row take the last one."""

    inner_steps: int
    """Steps in training and, unless replaced, in testing."""

    @property
    def steps_at_test(self) -> int:
        """Steps of `adapt`, where training takes another number of them."""
        return self.inner_steps

    @abc.abstractmethod
    def start(self, params: Params, support: Batch) -> Carry:
        """The state before the first step."""

    @abc.abstractmethod
    def advance(self, params: Params, carry: Carry, support: Batch) -> tuple[Carry, Tensor]:
        """One inner step, and the support loss it stepped down from (which costs nothing)."""

    @abc.abstractmethod
    def finish(self, params: Params, carry: Carry, support: Batch) -> Adapted:
        """What a state predicts with."""

    def ended(self, carry: Carry, support: Batch) -> Tensor:
        """[] bool, whether training is done with this task at this state; for learners that are `additive`."""
        raise TypeError(f"{type(self).__name__} is not additive: its loss cannot be cut into pieces")

    def trajectory(self, params: Params, support: Batch, steps: int | None = None) -> Iterator[Carry]:
        """The state before the first inner step, and after every one; `inner_steps` unless told otherwise."""
        carry = self.start(params, support)
        yield carry
        count = self.inner_steps if steps is None else steps
        for advance in recompute.each(lambda p, c: self.advance(p, c, support), count, len(support.y)):
            carry, _ = advance(params, carry)
            yield carry

    def unroll(self, params: Params, support: Batch, steps: int | None = None) -> Carry:
        """The state after all inner steps, or after so many."""
        return functools.reduce(lambda _, carry: carry, self.trajectory(params, support, steps))

    def adapt(self, params: Params, support: Batch) -> Adapted:
        return self.finish(params, self.unroll(params, support, self.steps_at_test), support)


@runtime_checkable
class Generative(Protocol):
    """A learner that makes further examples of the classes of a task it has adapted to."""

    def generate(self, params: Params, adapted: Any, key: Tensor, count: int) -> Tensor:
        """[ways, count, ...] new inputs of every class; of a class without examples, anything finite.

        Args:
            params: Meta-parameters.
            adapted: From `adapt`.
            key: [] int64, see `core.random`: the only source of randomness.
            count: Examples of each class.
        """
        ...


@runtime_checkable
class Mixing(Generative, Protocol):
    """A generative learner that also knows what lies between the classes of a task."""

    def mix(self, params: Params, adapted: Any, other: Tensor, weight: Tensor) -> Any:
        """What is known of as many new classes, to be given to `generate`: class r lies between r and `other[r]`.

        Args:
            params: Meta-parameters.
            adapted: From `adapt`.
            other: [ways] int64, labels.
            weight: [ways] how much of class r itself, from 0 to 1; with 1 it is the class, to the bit.
        """
        ...


def mask_absent(logits: Tensor, classes: Tensor | None) -> Tensor:
    """[n, ways] logits with those of labels the task lacks at `objectives.ABSENT`, lower where others are low."""
    if classes is None:
        return logits
    # Distances grow without bound: a fixed value would be the largest logit where all others are below it.
    lowest = logits.detach().masked_fill(~classes, 0).amin(-1, keepdim=True)
    below = (2 * lowest).clamp(torch.finfo(logits.dtype).min, objectives.ABSENT)
    return torch.where(classes, logits, below)
