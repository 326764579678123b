"""A whole meta-step as one recorded graph: tasks, mean, clipping and the meta-optimizer.

For small networks the optimizer costs as much as the gradient. `torch.optim.Adam` reads its step count in Python, so
its update (Kingma and Ba 2015) is written out here; its state comes from, and goes back to, a `torch.optim` optimizer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine import task_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.trace import Recorded

_BETAS, _EPS = (0.9, 0.999), 1e-8


class State(NamedTuple):
    """What a step changes; vectors over all parameters."""

    params: Tensor  # [parameters]
    first: Tensor  # [parameters], Adam's moments
    second: Tensor  # [parameters]
    step: Tensor  # [] float32, as torch.optim counts


class WholeStep:
    """Steps that keep their state in flat vectors until `store` is called.

    Args:
        learner: The algorithm.
        params: Leaves that `optimizer` holds, in its order.
        optimizer: Adam or SGD, with their default options.
        plan: A traced one, whose chunk holds all tasks.
        clip: Largest norm of the meta-gradient; None: not clipped.
    """

    def __init__(
        self,
        learner: Learner,
        params: Params,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        clip: float | None = None,
    ):
        self.learner, self.params, self.optimizer, self.plan, self.clip = learner, params, optimizer, plan, clip
        self.adam = isinstance(optimizer, torch.optim.Adam)
        leaves = list(params.values())
        found = [optimizer.state.get(leaf, {}) for leaf in leaves]

        def gathered(name: str) -> Tensor:
            pairs = zip(found, leaves, strict=True)
            return _flat([s.get(name, torch.zeros_like(leaf)) for s, leaf in pairs])

        step = found[0].get("step", torch.zeros((), device=leaves[0].device)).clone()
        self.state = State(_flat(leaves), gathered("exp_avg"), gathered("exp_avg_sq"), step)
        self._recorded: Recorded | None = None

    @staticmethod
    def possible(plan: Plan, tasks: int) -> bool:
        """Whether a plan runs all tasks in one recorded piece."""
        return plan.traced and plan.threads == 1 and (plan.chunk == 0 or plan.chunk >= tasks)

    def __call__(self, episodes: Episode, rate: float) -> tuple[Metrics, bool]:
        """One meta-step at a meta-rate: the metrics, and whether it was taken: not where something is not finite."""
        lr = torch.tensor(rate, dtype=self.state.params.dtype, device=self.state.params.device)
        if self._recorded is None:
            self._recorded = Recorded(self._step, (self.state, lr, episodes), self.plan)
        state, metrics, finite = self._recorded(self.state, lr, episodes)
        taken = bool(finite)
        if taken:
            self.state = state
        return metrics, taken

    def store(self) -> None:
        """Bring the state to the parameters and to the optimizer."""
        leaves, sizes = list(self.params.values()), [leaf.numel() for leaf in self.params.values()]
        rows = (part.split(sizes) for part in self.state[:3])
        with torch.no_grad():
            for leaf, value, first, second in zip(leaves, *rows, strict=True):
                leaf.copy_(value.view_as(leaf))
                if self.adam:
                    moments = {"exp_avg": first.view_as(leaf).clone(), "exp_avg_sq": second.view_as(leaf).clone()}
                    self.optimizer.state[leaf] = {"step": self.state.step.clone(), **moments}

    def _step(self, state: State, lr: Tensor, episodes: Episode) -> tuple[State, Metrics, Tensor]:
        sizes = [leaf.numel() for leaf in self.params.values()]
        parts = zip(self.params.items(), state.params.split(sizes), strict=True)
        params = {k: part.view(leaf.shape) for (k, leaf), part in parts}
        tasks = tree.length(episodes)
        grads, metrics = task_gradient.sums(self.learner, params, episodes, self.plan)
        metrics = tree.map(lambda total: total / tasks, metrics)
        gradient = _flat([grads[k] for k in self.params]) / tasks
        finite = torch.isfinite(gradient).all() & torch.isfinite(metrics["loss"])
        if self.clip is not None:  # as torch.nn.utils.clip_grad_norm_
            gradient = gradient * (self.clip / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp(max=1.0)
        return self._descend(state, gradient, lr), metrics, finite

    def _descend(self, state: State, gradient: Tensor, lr: Tensor) -> State:
        if not self.adam:
            return state._replace(params=state.params - lr * gradient)
        step = state.step + 1
        first = torch.lerp(state.first, gradient, 1 - _BETAS[0])
        second = _BETAS[1] * state.second + (1 - _BETAS[1]) * gradient * gradient
        corrections = [(1 - torch.pow(beta, step.double())).to(lr.dtype) for beta in _BETAS]
        denominator = second.sqrt() / corrections[1].sqrt() + _EPS
        return State(state.params - lr / corrections[0] * first / denominator, first, second, step)


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])
