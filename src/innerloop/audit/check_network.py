"""Checks of a learner's networks: that what was wrapped is the network that was given, in the mode that it was in."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from innerloop.audit.check import Check
from innerloop.core import faithful, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.networks import Encoder, Whole, roles
from innerloop.core.types import Episode, Params

_ROUNDED = 1e-3
"""For a network that runs in its own dtype only."""


def wrapped_networks(learner: Learner, episodes: Episode) -> Iterator[Check]:
    """One check for every network that takes a task's examples: the others were compared on the first rows they saw.

    Args:
        learner: With its real networks.
        episodes: The rows of the first task are used.
    """
    task = tree.slice(episodes, 0)
    for name, model in _networks(learner):
        yield _network(name, model, task.support.x)


def _network(field: str, model: Model, x: Any) -> Check:
    name = f"network {field}"
    try:
        with torch.random.fork_rng(devices=[]):
            module = model.build()
        learned = replace(model).init(0)
        weights = {k for k, p in module.named_parameters() if p.requires_grad}
        if learned.keys() != weights:
            strange = ", ".join(sorted(learned.keys() ^ weights)[:3])
            return Check(name, False, None, f"its parameters are not those of its module that are trained: {strange}")
        if stale := _unseen(module):
            message = (
                f"'{stale}' is a norm in eval mode whose running statistics never saw data: it does not normalise. "
                "Load trained statistics, or call .train() on it"
            )
            return Check(name, False, None, message)
        apart, tolerance = _gap(model, learned, x)
    except InputError as error:
        return Check(name, False, None, str(error))
    if apart is None:
        return Check(name, None, None, "its module cannot run on these rows by itself")
    kind = type(module).__name__
    if apart > tolerance:
        message = (
            f"on the same rows it is {apart:.1e} away from {kind} as it is built: wrap the module in "
            "core.model.Module, and leave apply and init as they are"
        )
        return Check(name, False, apart, message)
    return Check(name, True, apart, f"on the same rows it is {kind} as it is built ({apart:.1e} apart)")


def _gap(model: Model, params: Params, x: Any) -> tuple[float | None, float]:
    """How far a network as built is from its module, with parameters that were moved, and what it may be."""
    generator = torch.Generator().manual_seed(0)
    moved = {k: v * (1 + 0.1 * torch.rand(v.shape, generator=generator).to(v)) + 0.01 for k, v in params.items()}
    for dtype, tolerance in ((torch.float64, faithful.TOLERANCE), (None, _ROUNDED)):
        weights, rows, fresh = _cast(moved, dtype), _cast(x, dtype), replace(model)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module = model.build() if dtype is None else model.build().to(dtype)
            try:
                positional, named = ((), rows) if isinstance(rows, dict) else ((rows,), None)
                # What is drawn and not learned is drawn once more in every module that is built.
                own = {k for k, _ in [*module.named_parameters(), *module.named_buffers()]}
                kept = {k: v for k, v in _cast(fresh.buffers(), dtype).items() if k in own}
                expected = functional_call(module, weights | kept, positional, named)
            except Exception:  # whatever a stranger's network raises
                continue
            outputs = fresh.apply(weights, rows)  # as built: what a run loaded is in no factory
        size = expected.abs().max().clamp_min(1e-12)
        gap = float("inf") if outputs.shape != expected.shape else ((outputs - expected).abs().max() / size).item()
        return (gap if gap == gap else float("inf")), tolerance
    return None, 0.0


def _networks(learner: Learner) -> Iterator[tuple[str, Model]]:
    try:
        declared = roles(type(learner))
    except InputError:
        declared = {}
    for name, role in declared.items():
        model = getattr(learner, name)
        if isinstance(model, Model) and isinstance(role, Whole | Encoder):
            yield name, model
    for value in vars(learner).values():
        if isinstance(value, Learner):
            yield from _networks(value)


def _unseen(module: nn.Module) -> str | None:
    """The first norm that would use running statistics that are still as they were made."""
    for name, m in module.named_modules():
        if isinstance(m, nn.modules.batchnorm._NormBase) and not m.training and m.running_mean is not None:
            seen = m.num_batches_tracked is None or int(m.num_batches_tracked) > 0
            assert m.running_var is not None
            if not seen and not m.running_mean.any() and bool((m.running_var == 1).all()):
                return name or type(m).__name__
    return None


def _cast(value: Any, dtype: torch.dtype | None) -> Any:
    def cast(leaf: Tensor) -> Tensor:
        return leaf.to(dtype) if dtype is not None and leaf.is_floating_point() else leaf

    return tree.map(cast, value)
