"""Meta-gradients of long unrolls: truncated, or by persistent evolution strategies, behind one interface.

An estimator takes a piece of every problem's unroll at a meta-step. What it carries to the next piece is tensors with a
leading problem axis, held and checkpointed by the engine; a problem that has ended gives its row to the fresh task of
the same number.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.gradients import vmapped
from innerloop.engine.plan import Plan
from innerloop.engine.trace import Recorded

PLANS = ("vmap", "replay", "compile")
"""That pieces of an unroll can run by: all problems at once."""

State = Any
"""A tree of tensors with a leading problem axis, or None."""


class Estimator(Protocol):
    """How the meta-gradient of a stack of problems is found."""

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> State:
        """The state before the first meta-step."""
        ...

    def gradient(
        self, learner: Learner, params: Params, state: State, episodes: Episode, step: int
    ) -> tuple[Params, State, Metrics]:
        """The mean over problems of the meta-gradient, the next state, and what to log.

        Args:
            learner: The algorithm.
            params: Meta-parameters.
            state: From `begin`, or the last call.
            episodes: Fresh tasks, for the rows whose problem has ended.
            step: Number of the meta-step, from which randomness comes.
        """
        ...


class Held(NamedTuple):
    """The problems of `TruncatedBPTT`, in mid-unroll."""

    episodes: Episode
    carry: Any


class _Pieces:
    """What the estimators that cut an unroll share: pieces of `length` steps, recorded where the plan asks for it."""

    def __init__(self, *, length: int = 20, plan: str | Plan = "vmap"):
        if length < 1:
            raise InputError(f"the length of a piece must be at least 1, got {length}")
        self.length, self.plan = length, plan if isinstance(plan, Plan) else Plan(plan)
        if self.plan.name not in PLANS:
            raise InputError(f"pieces of an unroll run all problems at once: use vmap, replay or compile, not {plan}")
        self._recorded: tuple[Learner, Recorded] | None = None

    def _run(self, learner: Any, *trees: Any) -> Any:
        """`_step` on these trees, from the recording if there is one."""
        if not self.plan.traced:
            return vmapped(lambda: self._step(learner, *trees))
        # An annealed learner is another one from some step on, and what was recorded holds for the one before.
        if self._recorded is None or self._recorded[0] != learner:
            self._recorded = learner, Recorded(lambda *values: self._step(learner, *values), trees, self.plan)
        return self._recorded[1](*trees)

    _step: Callable[..., Any]
    """`(learner, *trees) -> tree`, pure."""

    def _unroll(self, learner: Any, params: Params, carry: Any, support: Any) -> tuple[Tensor, Any]:
        """One problem's loss over a piece, and the state after it."""
        losses = []
        # Where pieces do not divide the unroll, the last one is shorter: steps past the horizon do not count.
        cut = learner.inner_steps % self.length != 0
        for _ in range(self.length):
            after, loss = learner.advance(params, carry, support)
            if cut:
                over = learner.ended(carry, support)
                after = tree.map(lambda new, old, over=over: torch.where(over, old, new), after, carry)
                loss = torch.where(over, torch.zeros_like(loss), loss)
            carry = after
            losses.append(loss)
        return torch.stack(losses).sum(), carry


class TruncatedBPTT(_Pieces):
    """Back-propagation through `length` steps at a time; the state goes on to the next piece without its graph.

    Biased: what a step does to values further ahead than its piece is not seen.

    Args:
        length: Steps of a piece.
        plan: vmap, replay or compile.
    """

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Held:
        return Held(episodes, _start(learner, params, episodes))

    def gradient(
        self, learner: Learner, params: Params, state: Held, episodes: Episode, step: int
    ) -> tuple[Params, Held, Metrics]:
        _check(learner)
        _check_shapes(state.episodes, episodes)
        return self._run(learner, _detached(params), state, episodes)

    def _step(self, learner: Any, params: Params, state: Held, fresh: Episode) -> tuple[Params, Held, Metrics]:
        episodes, carry, _ = _renewed(learner, params, state.episodes, (state.carry,), fresh)
        axes = (None, tree.axes(carry[0]), tree.axes(episodes.support))

        def total(params: Params) -> tuple[Tensor, tuple[Tensor, Any]]:
            losses, after = torch.vmap(lambda p, c, s: self._unroll(learner, p, c, s), axes)(
                params, carry[0], episodes.support
            )
            return losses.mean(), (losses, after)

        gradient, (losses, after) = torch.func.grad(total, has_aux=True)(params)
        # Detached: the next piece starts from numbers. That is the truncation, and what it costs is the bias.
        return gradient, Held(episodes, _detached(after)), {"loss": losses.detach().mean() / self.length}


class Perturbed(NamedTuple):
    """The problems of `PES`, each unrolled twice, with opposite noise on the parameters."""

    episodes: Episode
    up: Any
    down: Any
    noise: Params  # summed over the pieces of the unroll so far


class PES(_Pieces):
    """Persistent evolution strategies: Vicol, Metz, Sohl-Dickstein, ICML 2021, https://arxiv.org/abs/2112.13835.

    Unbiased up to smoothing: a piece's loss is weighed by all the noise since its unroll began. No back-propagation.

    Args:
        length: Steps of a piece.
        sigma: Deviation of the noise.
        seed: Of the noise.
        plan: vmap, replay or compile.
    """

    def __init__(self, *, length: int = 20, sigma: float = 0.01, seed: int = 0, plan: str | Plan = "vmap"):
        super().__init__(length=length, plan=plan)
        if not sigma > 0:
            raise InputError(f"sigma must be more than 0, got {sigma}")
        self.sigma, self.seed = sigma, seed

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Perturbed:
        carry, count = _start(learner, params, episodes), tree.length(episodes)
        noise = tree.map(lambda v: v.new_zeros(count, *v.shape), _detached(params))
        return Perturbed(episodes, carry, tree.map(torch.clone, carry), noise)

    def gradient(
        self, learner: Learner, params: Params, state: Perturbed, episodes: Episode, step: int
    ) -> tuple[Params, Perturbed, Metrics]:
        _check(learner)
        _check_shapes(state.episodes, episodes)
        return self._run(learner, _detached(params), state, episodes, random.mix(self.seed, step))

    def _step(
        self, learner: Any, params: Params, state: Perturbed, fresh: Episode, key: Tensor
    ) -> tuple[Params, Perturbed, Metrics]:
        pair = (state.up, state.down)
        episodes, pair, ended = _renewed(learner, params, state.episodes, pair, fresh)
        count = tree.length(episodes)
        draw = {
            k: self.sigma * random.normal(random.fold(key, i), (count, *v.shape), v.dtype)
            for i, (k, v) in enumerate(params.items())
        }
        # A new unroll forgets the noise of the one before it, which its losses do not depend on.
        noise = tree.map(lambda sofar, now: _where(ended, now, sofar + now), state.noise, draw)
        axes = (tree.axes(params), tree.axes(pair[0]), tree.axes(episodes.support))
        run = torch.vmap(lambda p, c, s: self._unroll(learner, p, c, s), axes)
        (up, above), (down, below) = (
            run(tree.map(lambda v, e, sign=sign: v + sign * e, params, draw), carry, episodes.support)
            # Both signs with the same noise: what they have in common drops out of the difference.
            for sign, carry in zip((1, -1), pair, strict=True)
        )
        slope = (up - down) / (2 * self.sigma**2)  # [problems]
        gradient = tree.map(lambda e: torch.tensordot(slope, e, 1) / count, noise)
        after = Perturbed(episodes, _detached(above), _detached(below), noise)
        return _detached(gradient), after, {"loss": (up + down).detach().mean() / (2 * self.length)}


def _start(learner: Any, params: Params, episodes: Episode) -> Any:
    """Every problem's state before its first step."""
    _check(learner)
    start = torch.vmap(learner.start, in_dims=(None, tree.axes(episodes.support)))
    return tree.map(lambda leaf: leaf.detach().contiguous(), start(_detached(params), episodes.support))


def _renewed(
    learner: Any, params: Params, held: Episode, carries: tuple[Any, ...], fresh: Episode
) -> tuple[Episode, tuple[Any, ...], Tensor]:
    """Fresh tasks and states in the rows whose problem has ended or not begun, and which these are."""
    axes = tree.axes(carries[0]), tree.axes(held.support)
    ended = torch.vmap(learner.ended, axes)(carries[0], held.support)
    # Begun for every row and then selected: shapes must not depend on how many have ended.
    begun = _start(learner, params, fresh)
    episodes = tree.map(lambda new, old: _where(ended, new, old), fresh, held)
    carries = tuple(tree.map(lambda new, old: _where(ended, new, old), begun, carry) for carry in carries)
    return episodes, carries, ended


def _check_shapes(held: Episode, fresh: Episode) -> None:
    """Refuse tasks that cannot take the place of those in mid-unroll.

    Raises:
        InputError: They have other shapes.
    """
    before, now = ({k: leaf.shape for k, leaf in tree.items(episodes)} for episodes in (held, fresh))
    if before == now:
        return
    name = next(k for k in (*before, *now) if before.get(k) != now.get(k))
    old, new = (list(shapes[name]) if name in shapes else "nothing" for shapes in (before, now))
    raise InputError(
        f"the shapes of tasks change: '{name}' was {old} and is {new}. An estimator goes on with the problems of the "
        "step before, and fresh ones take the rows of those that have ended: give all tasks one shape (pad, with a "
        "mask), or use estimator='exact'"
    )


def _where(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (new.ndim - 1)), new, old)


def _detached(values: Any) -> Any:
    return tree.map(Tensor.detach, values)


def _check(learner: Learner) -> None:
    if not isinstance(learner, Unrolled) or not learner.additive:
        raise InputError(
            f"{type(learner).__name__} has no meta-loss that is a sum over steps, which a gradient estimator could cut "
            "into pieces: use estimator='exact', or l2o on functions to be minimised"
        )
