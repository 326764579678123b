"""FTML, follow the meta leader: Finn, Rajeswaran, Kakade and Levine, ICML 2019, https://arxiv.org/abs/1902.08438.

Adaptation is gradient descent on all rows of the current round, from weights that were meta-learned, between the rounds
before, on the tasks that they left behind.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import objectives, random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.gradient import grad
from innerloop.core.inner import descend
from innerloop.core.model import Model
from innerloop.core.networks import Whole, role
from innerloop.core.online import OnlineLearner, among_seen, counted, no_counts
from innerloop.core.ranges import Count, Natural, Rate
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Metrics, Params

_SLOT, _TASK, _SPLIT = 1, 2, 3
_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


class Leader(NamedTuple):
    """Where tasks are adapted from, and what is kept of them: the slot of the current round is one of the buffer's."""

    weights: Params
    mean: Params
    """Adam's first moments."""
    square: Params
    """And its second."""
    steps: Tensor  # [] int64 meta-steps done
    x: Any  # [slots, rows, ...] inputs
    y: Tensor  # [slots, rows, ...]
    filled: Tensor  # [slots] int64 rows that ever came into a slot
    slot: Tensor  # [] int64 of the current round
    rounds: Tensor  # [] int64 that have ended
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    key: Tensor  # [] int64


@dataclass(frozen=True, kw_only=True)
class FTML(OnlineLearner[Leader]):
    """Memory is bounded: a slot keeps the last `slot_rows` rows of a task; once all are taken, one drawn makes room.

    Trained on episodes it is MAML, whose parameters it begins a stream with. `joint` is the paper's baseline that is
    trained on everything and then fine-tuned; with `meta_steps=0` every round is learned from the same start.
    """

    trains_on = ("episodes",)
    targets = ("classes", "values")
    controls = {"on everything": {"joint": True}, "from scratch": {"meta_steps": 0}}  # noqa: RUF012

    model: Model = field(metadata=role(Whole(alone=True)))
    """x -> outputs."""
    inner_lr: float = field(default=0.01, metadata=INNER_LR)
    """Step size of adaptation."""
    inner_steps: Natural = 1
    """Gradient steps of adaptation."""
    slots: Count = 100
    """Tasks that are kept, the current one among them."""
    slot_rows: Count = 20
    """Rows that are kept of each."""
    meta_steps: Natural = 100
    """Steps of Adam at the end of a round."""
    tasks_per_step: Count = 5
    """Past tasks, drawn with replacement, of each of these steps; half of a task's rows are its support."""
    adam_lr: Rate = 1e-3
    """Rate of these steps."""
    joint: bool = False
    """Take these steps on the loss before adaptation: on everything, instead of on learning from it."""

    @property
    def needs_boundaries(self) -> bool:
        return True

    def init(self, seed: int) -> Params:
        return self.model.init(seed)

    def begin(self, params: Params, like: Batch) -> Leader:
        device, zeros = like.y.device, tree.map(torch.zeros_like, params)

        def room(leaf: Tensor) -> Tensor:
            return leaf.new_zeros(self.slots, self.slot_rows, *leaf.shape[1:])

        zero = torch.zeros((), dtype=torch.int64, device=device)
        filled, counts = zero.expand(self.slots), no_counts(self.model, params, like)
        x, y = tree.map(room, like.x), room(like.y)
        return Leader(params, zeros, zeros, zero, x, y, filled, zero, zero, counts, key_of(like))

    def step(self, params: Params, state: Leader, batch: Batch) -> Leader:
        if len(batch.y) > self.slot_rows:
            raise InputError(
                f"a batch of {len(batch.y)} rows needs a slot of as many: set slot_rows, which is {self.slot_rows}"
            )
        real = objectives.weights(batch.y, batch.mask)
        before = state.filled.index_select(0, state.slot[None])  # [1]
        place = (before + real.cumsum(0) - 1) % self.slot_rows  # the oldest row makes room
        goes = (place[:, None] == torch.arange(self.slot_rows, device=place.device)) & real[:, None]  # [n, rows]
        comes, source = goes.any(0), goes.to(torch.int64).argmax(0)
        mine = torch.arange(self.slots, device=place.device) == state.slot

        def written(kept: Tensor, new: Tensor) -> Tensor:
            taken = (mine[:, None] & comes).view(self.slots, self.slot_rows, *[1] * (new.ndim - 1))
            return torch.where(taken, new.index_select(0, source)[None], kept)

        x, y = tree.map(written, state.x, batch.x), written(state.y, batch.y)
        filled = state.filled + mine * real.sum()
        return state._replace(x=x, y=y, filled=filled, counts=counted(state.counts, batch))

    def boundary(self, params: Params, state: Leader) -> Leader:
        state = state._replace(rounds=state.rounds + 1)
        for _ in range(self.meta_steps):
            state = self._meta_step(state)
        drawn = random.bits(random.fold(random.fold(state.key, _SLOT), state.rounds), ()) % self.slots
        slot = torch.where(state.rounds < self.slots, state.rounds, drawn)
        emptied = torch.arange(self.slots, device=slot.device) == slot
        return state._replace(slot=slot, filled=state.filled.masked_fill(emptied, 0))

    def predict(self, params: Params, adapted: Leader, x: Tensor | dict[str, Tensor]) -> Tensor:
        task = self._task(adapted, adapted.slot)
        assert task.mask is not None
        return among_seen(self.model.apply(self._adapted(adapted.weights, task, task.mask), x), adapted.counts)

    def _task(self, state: Leader, slot: Tensor) -> Batch:
        """What is kept of one."""
        x, y, filled = tree.map(lambda v: v.index_select(0, slot[None])[0], (state.x, state.y, state.filled))
        return Batch(x, y, torch.arange(self.slot_rows, device=filled.device) < filled)

    def _adapted(self, weights: Params, task: Batch, rows: Tensor) -> Params:
        """Weights after the steps of adaptation on some rows of a task."""

        def loss(moving: Params) -> tuple[Tensor, Metrics]:
            return self.objective(self.model.apply(moving, task.x), task.y, rows), {}

        for _ in range(self.inner_steps):
            weights, _ = descend(weights, loss, self.inner_lr)
        return weights

    def _meta_step(self, state: Leader) -> Leader:
        keys = random.fold(random.fold(state.key, state.steps + 1), torch.arange(self.tasks_per_step))
        past = state.rounds.clamp(max=self.slots)
        slots = random.bits(random.fold(keys, _TASK), ()) % past  # [tasks_per_step]

        def loss(weights: Params) -> Tensor:
            def of_one(slot: Tensor, key: Tensor) -> Tensor:
                task = self._task(state, slot)
                assert task.mask is not None
                if self.joint:
                    return self.objective(self.model.apply(weights, task.x), task.y, task.mask)
                support = task.mask & (_rank(task.mask, random.fold(key, _SPLIT)) * 2 < task.mask.sum())
                adapted = self._adapted(weights, task, support)
                return self.objective(self.model.apply(adapted, task.x), task.y, task.mask & ~support)

            return torch.vmap(of_one)(slots, keys).mean()

        steps = state.steps + 1
        gradient = grad(loss, state.weights, create_graph=False)
        mean = tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, state.mean, gradient)
        square = tree.map(lambda s, g: _BETA2 * s + (1 - _BETA2) * g.square(), state.square, gradient)
        unbias1, unbias2 = 1 - _BETA1 ** steps.double(), 1 - _BETA2 ** steps.double()

        def moved(w: Tensor, m: Tensor, s: Tensor) -> Tensor:
            return w - self.adam_lr * (m / unbias1.to(m.dtype)) / ((s / unbias2.to(s.dtype)).sqrt() + _EPS)

        weights = tree.map(moved, state.weights, mean, square)
        return state._replace(weights=weights, mean=mean, square=square, steps=steps)


def _rank(real: Tensor, key: Tensor) -> Tensor:
    """[n] int64 places of the real rows in a random order of them; of others, behind all."""
    order = torch.where(real, random.uniform(key, (len(real),), torch.float64), 2.0).argsort()
    return order.argsort()
