"""Constants in the middle of a loss: what a learner holds fixed on purpose, and how that is proven.

A first-order learner differentiates its loss as if parts of it did not depend on the parameters. Those parts go through
`stop`, so that a test can hold them: then the derivative of what is left is what the engine must return.
"""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.types import Params

_LOCAL = threading.local()


def stop(values: Any) -> Any:
    """`values`, a tensor or a tree of them, as constants of the loss.

    It is `detach`, which `held` sees. What does not change a derivative (the shift of a softmax, a metric) may be
    detached without it.
    """
    if torch.compiler.is_compiling():
        return tree.map(Tensor.detach, values)
    tape: _Tape | None = getattr(_LOCAL, "tape", None)
    return tree.map(Tensor.detach if tape is None else tape.stop, values)


def held(f: Callable[[Params], Tensor], params: Params) -> Callable[[Params], Tensor]:
    """`f` with all that it stops held at the values it has for `params`.

    The exact derivative of the result is the gradient of `f` as declared: finite differences of it prove the gradient
    of any learner, of first order or not. `f` runs in a plain loop and stops the same things in the same order
    wherever it is evaluated, as learners do.

    Args:
        f: Scalar function of the parameters, without a transform of `torch.func`.
        params: Where the gradient is taken.
    """
    tape = _Tape()
    _on(tape, f, params)

    def constant(at: Params) -> Tensor:
        value = _on(replay := tape.again(), f, at)
        if replay.position != len(tape.values):
            raise RuntimeError(
                f"{len(tape.values)} values were stopped, and now {replay.position}: they must be the same"
            )
        return value

    return constant


class _Tape:
    """What was stopped, in order; played again from the start, it is handed out instead."""

    def __init__(self, values: list[Tensor] | None = None) -> None:
        self.values: list[Tensor] = values if values is not None else []
        self.recording, self.position = values is None, 0

    def again(self) -> "_Tape":
        return _Tape(self.values)

    def stop(self, value: Tensor) -> Tensor:
        if self.recording:
            self.values.append(value.detach().clone())
            return self.values[-1]
        if self.position == len(self.values) or self.values[self.position].shape != value.shape:
            raise RuntimeError(f"stopped value {self.position} is not the one that was stopped before")
        self.position += 1
        return self.values[self.position - 1]


def _on(tape: _Tape, f: Callable[[Params], Tensor], params: Params) -> Tensor:
    before = getattr(_LOCAL, "tape", None)
    _LOCAL.tape = tape
    try:
        return f(params)
    finally:
        _LOCAL.tape = before
