"""A learned optimizer in an ordinary `torch` loop: Andrychowicz et al., NeurIPS 2016, https://arxiv.org/abs/1606.04474.

The two-layer LSTM that `innerloop train l2o` made reads every gradient entry and writes its step. It is good at what it
was trained on: `innerloop test` says how far, and the card of the one that comes with the package.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.fits import check_params
from innerloop.core.ranges import Rate
from innerloop.core.types import Params
from innerloop.engine import load
from innerloop.learners.optimizers.l2o import L2O
from innerloop.optim.base import ClosureOptimizer

SHIPPED = Path(__file__).parent / "shipped"


class LearnedOptimizer(ClosureOptimizer):
    """Steps written by an LSTM, the same for every entry of every parameter, each with a state of its own.

    ```python
    optimizer = LearnedOptimizer.load("l2o-mlp")(model.parameters())
    ```

    `lr` multiplies the steps, 1 being what it was trained with. A state takes 4 times `hidden` numbers an entry, 80
    times the parameter's memory, and is kept in float32 for parameters of lower precision. Moments take 8 more.
    """

    options = {"lr": Rate}  # noqa: RUF012

    def __init__(self, params: ParamsT, *, learner: L2O, weights: Params, lr: float = 1.0):
        """Use `load` for one that is kept in a run folder.

        Args:
            params: Parameters, or groups of them, whose `lr` may differ.
            learner: As trained.
            weights: Its meta-parameters.
            lr: Factor of its steps.

        Raises:
            InputError: Another learner, weights of another one, or a factor below 0.
        """
        if not isinstance(learner, L2O) or learner.model is not None:
            raise InputError(
                "a learned optimizer is an L2O that was trained on functions, without a model of its own: "
                "take one by LearnedOptimizer.load"
            )
        check_params(learner, weights)
        super().__init__(params, {"lr": lr})
        self.learner = learner
        self.weights = {k: v.detach() for k, v in weights.items()}

    @classmethod
    def load(cls, run: str | Path, allow: Sequence[str] = ()) -> Callable[..., "LearnedOptimizer"]:
        """What makes the optimizer that a run folder holds: call it with `model.parameters()`.

        Args:
            run: One of `shipped()`, or a run folder of `l2o`, trained on functions; a `Path` is always a folder.
            allow: Module prefixes besides `innerloop.` that the run may name.

        Raises:
            InputError: Not a run, or one of another learner, or one that also learned where networks start.
        """
        learner, weights = load(SHIPPED / run if run in shipped() else run, allow)
        if not isinstance(learner, L2O):
            raise InputError(f"{run} holds {type(learner).__name__}: a learned optimizer is trained by `train l2o`")
        if learner.model is not None:
            raise InputError(
                f"{run} learned to train its own network from a start of its own: train l2o on a family of functions"
            )

        def make(params: ParamsT, lr: float = 1.0) -> LearnedOptimizer:
            return cls(params, learner=learner, weights=weights, lr=lr)

        return make

    def _step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                slope = self._slope(parameter)
                if slope is not None:
                    self._move(parameter, slope, group["lr"])

    def _move(self, parameter: Tensor, slope: Tensor, lr: float) -> None:
        reads = torch.promote_types(parameter.dtype, torch.float32)
        weights = {k: v.to(parameter.device, reads) for k, v in self.weights.items()}
        state = self.state[parameter]
        if not state:
            state["lstm"] = self.learner.blank(weights["output.bias"], parameter.numel())
        lstm = tree.map(lambda t: t.to(reads), state["lstm"])  # load_state_dict gives them the parameter's dtype
        step, state["lstm"] = self.learner.write(weights, slope.reshape(-1).to(reads), lstm)
        parameter.add_(step.view(parameter.shape).to(parameter.dtype), alpha=lr)


def shipped() -> list[str]:
    """Names of the learned optimizers that come with the package; each has a `card.md`."""
    return sorted(place.parent.name for place in SHIPPED.glob("*/config.json"))
