"""What a meta-step does to the parameters: the gradient and an optimizer, unless `meta_train` gets another update.

An update is written as `begin` and `step`, both pure. What it carries from step to step is a tree of tensors (see
`core.tree`), held and checkpointed by the engine, so that a resumed run equals an unbroken one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim.adam import adam

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.ranges import Checked, Positive
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.config import TrainConfig
from innerloop.engine.plan import Plan
from innerloop.engine.step import meta_gradient
from innerloop.engine.train_step import BETAS, EPS, Moments, WholeStep, flat, pieces
from innerloop.engine.unroll_gradients import Estimator

State = Any
"""A tree of tensors, or None."""
Mean = Callable[[Params, Metrics], tuple[Params, Metrics]]
"""From gradient and metrics of one process's tasks to those of all tasks."""

OF_THE_DEFAULT = (
    *("optimizer", "clip", "plan", "chunk", "threads", "layout", "precision", "recompute", "retime"),
    *("estimator", "unroll_length", "pes_sigma"),
)
"""Fields of `TrainConfig` that no other update reads."""


@runtime_checkable
class Update(Protocol):
    """How a meta-step moves the parameters. A dataclass, whose fields are its settings."""

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> State:
        """The state before the first step; the same tree of tensors, though not the same numbers, as `step` returns.

        Args:
            learner: The algorithm.
            params: Meta-parameters before the first step, or where a stopped run goes on.
            episodes: The tasks of that step, stacked along a leading axis.
        """
        ...

    def step(
        self, learner: Learner, params: Params, state: State, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, State, Metrics]:
        """The next parameters and state, and scalars to log; what comes in is left as it was.

        Args:
            learner: The algorithm, as it is at this step where it is annealed.
            params: Meta-parameters.
            state: From `begin`, or the last step.
            episodes: The meta-batch, stacked along a leading axis.
            number: How many steps were taken before.
            rate: The meta-rate, as `TrainConfig` schedules it.
        """
        ...


class NotFiniteError(FailedError):
    """A step has no result that may be taken.

    Args:
        what: What is not finite.
        metrics: Of the step.
    """

    def __init__(self, what: str, metrics: Metrics):
        super().__init__(f"{what} is not finite")
        self.what, self.metrics = what, metrics


class Descending(NamedTuple):
    """The state of `Descent`."""

    moments: Moments | None
    """Adam's; None for SGD, and where there are no parameters."""
    held: Any
    """The estimator's, in mid-unroll."""


@dataclass(kw_only=True)
class Descent(Checked):
    """The default update: the mean gradient over the tasks, clipped, then Adam or SGD.

    Where the plan records a step and one chunk holds all tasks, the optimizer is recorded with them.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    """With the default options of `torch.optim`."""
    clip: Positive | None = None
    """Largest norm of the meta-gradient; None: not clipped."""
    plan: str | Plan = "auto"
    """How tasks are run."""
    estimator: Estimator | None = None
    """Estimator of the meta-gradient, for pieces of an unroll; None: exact."""
    mean: Mean | None = field(default=None, compare=False)
    """Over the processes of a job; None: this one is alone."""
    _whole: WholeStep | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.plan, str) and self.plan != "auto":
            self.plan = Plan(self.plan)

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Descending:
        moments = None
        if params and self.optimizer == "adam":
            zeros = torch.zeros_like(flat(params))
            moments = Moments(zeros, zeros.clone(), torch.zeros((), device=zeros.device))
        held = None if self.estimator is None else self.estimator.begin(learner, params, episodes)
        return Descending(moments, held)

    def step(
        self, learner: Learner, params: Params, state: Descending, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, Descending, Metrics]:
        moments, held = state
        if self.estimator is not None:
            gradient, held, metrics = self.estimator.gradient(learner, params, held, episodes, number)
        elif self._records(params, episodes):
            # By identity, which is cheap: training keeps one object for as long as nothing is annealed.
            if self._whole is None or self._whole.learner is not learner:  # what is recorded holds for one learner
                assert isinstance(self.plan, Plan)
                self._whole = WholeStep(learner, params, self.plan, self.clip)
            params, moments, metrics, finite = self._whole(params, moments, episodes, rate)
            if not finite:
                raise NotFiniteError("the loss or its gradient", metrics)
            return params, Descending(moments, None), metrics
        else:
            gradient, metrics = meta_gradient(learner, params, episodes, self.plan, unchecked=True)
            if self.mean is not None:
                gradient, metrics = self.mean(gradient, metrics)
        # Looked at before the optimizer: its moments would keep a NaN for ever.
        if not metrics["loss"].isfinite() or not all(bool(g.isfinite().all()) for g in gradient.values()):
            raise NotFiniteError("the loss or its gradient", metrics)
        params, moments = self.descend(params, moments, gradient, rate)
        return params, Descending(moments, held), metrics

    def _records(self, params: Params, episodes: Episode) -> bool:
        plan = self.plan
        whole = isinstance(plan, Plan) and WholeStep.possible(plan, len(episodes.query.y))
        return whole and self.mean is None and bool(params)

    @torch.no_grad()
    def descend(
        self, params: Params, moments: Moments | None, gradient: Params, rate: float
    ) -> tuple[Params, Moments | None]:
        """Parameters and moments after one step down a gradient, at a rate; what comes in is left as it was."""
        slopes = [gradient[k] for k in params]
        if self.clip is not None and slopes:  # as torch.nn.utils.clip_grad_norm_
            factor = (self.clip / (torch.nn.utils.get_total_norm(slopes) + 1e-6)).clamp(max=1.0)
            slopes = [slope * factor for slope in slopes]
        if moments is None:
            values = [torch.add(v, slope, alpha=-rate) for v, slope in zip(params.values(), slopes, strict=True)]
            return dict(zip(params, values, strict=True)), None
        # Copies: torch's Adam works in place, and what came in must stay as it was (`Update.step` is pure).
        values = [v.detach().clone() for v in params.values()]
        first, second = (
            # The moments are one vector of a common type, and Adam wants those of each parameter.
            [v.to(leaf.dtype, copy=True) for v, leaf in zip(pieces(vector, params).values(), values, strict=True)]
            for vector in moments[:2]
        )
        steps = [moments.step.to("cpu", copy=True) for _ in values]
        adam(
            *(values, slopes, first, second, [], steps),
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )
        first, second = (torch.cat([v.reshape(-1) for v in leaves]) for leaves in (first, second))
        return dict(zip(params, values, strict=True)), Moments(first, second, moments.step + 1)


class Own:
    """An update that `meta_train` was given, whose results are looked at before they are taken.

    Args:
        update: The update.

    Raises:
        InputError: It is none.
    """

    def __init__(self, update: Update):
        self.name = update.__name__ if isinstance(update, type) else type(update).__name__
        if isinstance(update, type) or not isinstance(update, Update):
            raise InputError(
                f"update={self.name} is no update: give an object with the methods begin(learner, params, episodes) "
                "and step(learner, params, state, episodes, number, rate), such as a dataclass of its settings"
            )
        self.update = update
        self._paths: list[str] | None = None

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> State:
        state = self.update.begin(learner, params, episodes)
        # What can never be saved is refused before the first step, not at the first checkpoint.
        self._check(state, "begin")
        self._paths = [path for path, _ in tree.items(state)]
        return state

    def step(
        self, learner: Learner, params: Params, state: State, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, State, Metrics]:
        result = self.update.step(learner, params, state, episodes, number, rate)
        if not isinstance(result, tuple) or len(result) != 3 or not all(isinstance(result[i], dict) for i in (0, 2)):
            raise InputError(
                f"step of {self.name} returned {_kind(result)}: it must return (params, state, metrics), where params "
                "and metrics are dicts of tensors"
            )
        after, state, metrics = result
        self._check(state, "step")
        for name, value in metrics.items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise InputError(f"metric '{name}' of {self.name} is {_kind(value)}: metrics are tensors of one number")
        return self._params(params, after, metrics), tree.map(Tensor.detach, state), metrics

    def _params(self, before: Params, after: Params, metrics: Metrics) -> Params:
        """The parameters in their order, without a graph."""
        if after.keys() != before.keys():
            lost, more = (", ".join(sorted(a.keys() - b.keys())) for a, b in ((before, after), (after, before)))
            raise InputError(
                f"step of {self.name} returned other parameters than it got, {f'without {lost}' if lost else ''}"
                f"{' and ' if lost and more else ''}{f'with {more}' if more else ''}: it must return all of them and "
                "no others, also those that it does not move"
            )
        for name, old in before.items():
            new = after[name]
            if not isinstance(new, Tensor) or (new.shape, new.dtype, new.device) != (old.shape, old.dtype, old.device):
                raise InputError(f"step of {self.name} returned {_kind(new)} for '{name}', which is {_kind(old)}")
        # Here and not after the next loss: parameters that are broken would be saved by then.
        broken = [name for name in before if not bool(after[name].isfinite().all())]
        if broken:
            raise NotFiniteError(f"the parameter '{broken[0]}' that {self.name} returned", metrics)
        if "loss" in metrics and not bool(metrics["loss"].isfinite()):
            raise NotFiniteError(f"the loss that {self.name} returned", metrics)
        return {name: after[name].detach() for name in before}

    def _check(self, state: State, method: str) -> None:
        leaves = list(tree.items(state))
        for path, leaf in leaves:
            if not isinstance(leaf, Tensor):
                where = f"'{path}' in the state" if path else "the state"
                raise InputError(
                    f"{where} that {method} of {self.name} returned is {_kind(leaf)}: a state is made of tensors, in "
                    "dicts, tuples and NamedTuples, so that it can be saved with the run. Use torch.tensor(...), or "
                    "make what never changes a field of the update"
                )
        paths = [path for path, _ in leaves]
        if self._paths is not None and method == "step" and paths != self._paths:
            raise InputError(
                f"step of {self.name} returned a state of {', '.join(paths) or 'nothing'}, where begin returned "
                f"{', '.join(self._paths) or 'nothing'}: both must have the same tensors in the same order"
            )
        if len(set(paths)) < len(paths):
            raise InputError(f"two tensors in the state of {self.name} have the same path: name them without dots")


def refuse_settings(update: Update, config: TrainConfig) -> None:
    """Refuse what only the default update reads.

    Raises:
        InputError: Such a field was set.
    """
    unused = [f.name for f in fields(config) if f.name in OF_THE_DEFAULT and getattr(config, f.name) != f.default]
    if unused:
        raise InputError(
            f"{', '.join(unused)} {'is' if len(unused) == 1 else 'are'} read by the default update alone, and not by "
            f"{type(update).__name__}: leave {'it' if len(unused) == 1 else 'them'} out, or make it a field of yours"
        )


def restored(state: State, leaves: dict[str, Tensor]) -> State:
    """The state that a checkpoint has the leaves of.

    Args:
        state: From `begin`: its structure.
        leaves: By path, see `core.tree.items`.

    Raises:
        InputError: They are of another structure.
    """
    paths = {path for path, _ in tree.items(state)}
    if paths != leaves.keys():
        raise InputError(
            f"the checkpoint has a state of {', '.join(leaves) or 'nothing'}, and the update begins with "
            f"{', '.join(paths) or 'nothing'}: it is another one. Choose another folder to start again"
        )
    return tree.rebuild(state, leaves)


def leaves_of(checkpoint: dict[str, Any]) -> dict[str, Tensor] | None:
    """The leaves of the update's state in a checkpoint; None before the first step."""
    # At step 0 there is no state yet: the update begins when there are tasks.
    if "update" in checkpoint or checkpoint["step"] == 0:
        return checkpoint.get("update")
    # Release 0.1.0 had the state of torch.optim, whose parameters are numbered.
    rows = [row for _, row in sorted((checkpoint["optimizer"] or {"state": {}})["state"].items())]
    leaves = {f"held.{path}": leaf for path, leaf in (checkpoint.get("held") or {}).items()}
    if rows:
        for name, entry in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            leaves[f"moments.{name}"] = torch.cat([row[entry].reshape(-1) for row in rows])
        leaves["moments.step"] = rows[0]["step"]
    return leaves


def _kind(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)} and {str(value.dtype).removeprefix('torch.')}"
    return f"a {type(value).__name__}"
