"""What a learner stops is held, and a gradient that is wrong beside it is found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from innerloop.core.inner import FastWeights
from innerloop.core.model import Module
from innerloop.core.stopped import held, stop
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.learners.gradient.imaml import IMAML
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from tests.compared import check_gradient
from tests.problems import NeedlesInNoise, classifier

X = {"x": torch.tensor([3.0], dtype=torch.float64)}


def cube(params: Params) -> Tensor:
    return (params["x"] * stop(params["x"] ** 2)).sum()


def test_it_is_detach_until_it_is_held():
    x = X["x"].clone().requires_grad_()
    assert not stop(x).requires_grad and stop((None, {"a": x}))[1]["a"].equal(x)
    constant = held(cube, X)
    assert constant({"x": torch.tensor([5.0])}) == 5 * 9 and cube({"x": torch.tensor([5.0])}) == 125
    assert constant({"x": torch.tensor([2.0])}) == 2 * 9, "held again from the start"


def test_holding_ends_where_the_function_ends():
    def fails(params: Params) -> Tensor:
        stop(params["x"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        held(fails, X)
    assert cube({"x": torch.tensor([5.0])}) == 125


def test_a_function_that_stops_other_things_elsewhere_is_refused():
    def branching(params: Params) -> Tensor:
        return cube(params) if params["x"] > 2 else params["x"].sum()

    with pytest.raises(RuntimeError, match="1 values were stopped, and now 0"):
        held(branching, X)({"x": torch.tensor([1.0])})
    with pytest.raises(RuntimeError, match="stopped value 0 is not"):
        held(lambda p: p["x"].sum() + (stop(p["x"]).sum() if p["x"] < 2 else 0), X)({"x": torch.tensor([1.0])})
    with pytest.raises(RuntimeError, match="stopped value 0 is not"):
        held(cube, X)({"x": torch.ones(2)})


class Times(torch.autograd.Function):
    """The identity, whose derivative is wrong by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * slopes[0], None


def wrong_by(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda loss: Times.apply(loss, factor)  # pyright: ignore[reportReturnType]


@dataclass(frozen=True, kw_only=True)
class Broken(FastWeights[Params]):
    """A learner around one whose loss does not have the gradient it should."""

    learner: FastWeights
    wrong: Callable[[Tensor], Tensor]
    exact_gradient = False

    def start(self, params: Params, support: Batch) -> Params:
        return self.learner.start(params, support)

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return self.learner.advance(params, carry, support)

    def finish(self, params: Params, carry: Params, support: Batch) -> Params:
        return self.learner.finish(params, carry, support)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        value, metrics = self.learner.loss(params, episode)
        return self.wrong(value), metrics


FIRST_ORDER = {
    "fomaml": MAML(model=Module(classifier), inner_lr=0.3, inner_steps=2, first_order=True),
    "reptile": Reptile(model=Module(classifier), inner_lr=0.1, inner_steps=3),
    "imaml": IMAML(model=Module(classifier), inner_lr=0.5, inner_steps=3, decay=0.5, cg_steps=2),
}


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("factor", [-1.0, 2.0, 1.001])
def test_a_wrong_sign_or_factor_of_a_first_order_gradient_is_found(name, factor):
    inner = FIRST_ORDER[name]
    params = {k: v.double() for k, v in inner.init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 2)
    check_gradient(Broken(model=inner.model, learner=inner, wrong=wrong_by(1.0)), params, episodes)
    with pytest.raises(AssertionError):
        check_gradient(Broken(model=inner.model, learner=inner, wrong=wrong_by(factor)), params, episodes)


@dataclass(frozen=True, kw_only=True)
class Hidden(MAML):
    """MAML of first order whose head, by mistake, is cut off from its initialisation as well."""

    def start(self, params: Params, support: Batch) -> Params:
        return {k: v.detach() if k.startswith("2.") else v for k, v in params.items()}


@dataclass(frozen=True, kw_only=True)
class Forgetful(MAML):
    """Says that it is of first order, and is not."""

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return False


def test_a_detach_that_is_not_declared_is_found_even_in_a_first_order_learner():
    options = {"model": Module(classifier), "inner_lr": 0.3, "inner_steps": 2}
    params = {k: v.double() for k, v in MAML(**options).init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 2)
    check_gradient(MAML(**options, first_order=True), params, episodes)
    with pytest.raises(AssertionError):
        check_gradient(Hidden(**options, first_order=True), params, episodes)
    with pytest.raises(AssertionError, match="exact_gradient = False"):
        check_gradient(Forgetful(**options), params, episodes)


@dataclass(frozen=True, kw_only=True)
class Boastful(MAML):
    """Says that it is exact, and is of first order."""

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True


def test_who_stops_a_part_and_calls_it_exact_is_found():
    params = {k: v.double() for k, v in FIRST_ORDER["fomaml"].init(0).items()}
    boast = Boastful(model=Module(classifier), inner_lr=0.3, inner_steps=2, first_order=True)
    with pytest.raises(AssertionError, match="exact_gradient = True"):
        check_gradient(boast, params, NeedlesInNoise().episodes(0, 2))
