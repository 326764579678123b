"""What annotations say of a field's values, for classes of anyone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model, Module
from innerloop.core.ranges import Checked, Count, Positive, Rate, Share, Within

if TYPE_CHECKING:
    from collections import OrderedDict


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    count: Count = 1
    rate: Rate = 0.1
    share: Share | None = 0.5
    scale: Positive = 1.0
    gate: Annotated[float, Within(0, 1, above=True, below=True)] = 0.5
    plain: float = math.inf
    kind: Literal["a", "b"] | None = None
    on: bool = False
    name: str = ""
    pair: tuple[int, float] = (1, 1.0)
    names: tuple[str, ...] = ()
    loss: Callable[[int, int], int] | None = None
    net: Model | None = None
    anything: Any = None
    outer_lr: float = 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("count", v) for v in (0, -3, 1.0, True, "1", None, math.nan)),
        *(("rate", v) for v in (-1e-9, math.nan, math.inf, "0.1", None, False, [0.1])),
        *(("share", v) for v in (-0.1, 1.1, math.nan, True)),
        *(("scale", v) for v in (0, 0.0, -1)),
        *(("gate", v) for v in (0, 1, 2)),
        *(("plain", v) for v in (math.nan, -math.inf, "x", True)),
        *(("kind", v) for v in ("c", 1, ("a",))),
        *(("on", v) for v in (1, 0, "yes", None)),
        *(("name", v) for v in (1, None, b"x")),
        *(("pair", v) for v in ((1,), (1, 2, 3), (1.5, 1.0), 3, "ab", (True, 1.0))),
        *(("names", v) for v in ("ab", (1,), [None])),
        *(("loss", v) for v in (3, lambda: 1, lambda a: 1, int, "f")),
        *(("net", v) for v in (nn.Linear(1, 1), "mlp", nn.Linear, 3)),
        *(("outer_lr", v) for v in (-1.0, math.nan)),
    ],
)
def test_wrong_values_are_refused_by_class_field_and_value(name, value):
    with pytest.raises(InputError, match=rf"^Settings: .*\b{name}\b"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", np.int64(3)),
        ("rate", np.float32(0.25)),
        ("rate", 0),
        ("share", 0),
        ("share", None),
        ("plain", math.inf),
        ("kind", "b"),
        ("on", np.bool_(True)),
        ("pair", [np.int64(1), 2]),
        ("names", ["a", "b"]),
        ("loss", lambda a, b, c=0: a),
        ("loss", max),
        ("net", Module(lambda: nn.Linear(1, 1))),
        ("anything", object()),
    ],
)
def test_right_values_are_taken(name, value):
    Settings(**{name: value})


def test_annotations_that_cannot_be_read_check_nothing():
    @dataclass(frozen=True)
    class Loose(Model):
        width: "Nowhere" = 3  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        order: "OrderedDict[str, int] | None" = None

        def build(self) -> nn.Module:
            return nn.Linear(1, 1)

    assert Loose("wide").width == "wide"  # pyright: ignore[reportArgumentType]


def test_ones_own_check_sees_plain_values_and_comes_after():
    seen = []

    @dataclass(frozen=True)
    class Own(Model):
        width: int = 3

        def __post_init__(self) -> None:
            seen.append(type(self.width))

        def build(self) -> nn.Module:
            return nn.Linear(1, self.width)

    Own(np.int64(4))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="Own: width"):
        Own(2.5)  # pyright: ignore[reportArgumentType]
    assert seen == [int]


def test_a_learner_of_anyones_is_checked():
    @dataclass(frozen=True, kw_only=True)
    class Mine(Learner[None]):
        inner_steps: int = 1
        outer_lr: float = 0.1

        def init(self, seed):
            return {}

        def adapt(self, params, support):
            return None

        def predict(self, params, adapted, x):
            return torch.zeros(3)

        def loss(self, params, episode):
            return torch.zeros(()), {}

    wrong: dict[str, Any]
    for wrong in ({"inner_steps": -1}, {"inner_steps": 2.0}, {"outer_lr": math.nan}, {"transductive": "no"}):
        with pytest.raises(InputError, match=r"^Mine: "):
            Mine(**wrong)
