"""Wrong values for every field of every model: one message, or a network that works."""

import importlib
import math
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

import innerloop.nn
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.nn.adversarial import PictureCritic, PicturePainter
from innerloop.nn.context import BiLSTM, LSTMCell
from innerloop.nn.conv4 import Conv4
from innerloop.nn.decoder import JoinedMLP, PictureDecoder
from innerloop.nn.gru import GRU
from innerloop.nn.labelled import LabelledPictures
from innerloop.nn.mlp import MLP, Linear
from innerloop.nn.policy import Gaussian
from innerloop.nn.ratings import RatingEncoder, RatingNetwork, SkipHead
from innerloop.nn.relation import ConvMaps, Relation
from innerloop.nn.residual import Residual
from innerloop.nn.resnet12 import ResNet12
from innerloop.nn.set_encoder import CodeStatistics, LatentStatistics, PictureFeatures
from innerloop.nn.warp import Warp

WRONG = ("gelu", "", -1, 0, -0.5, 2.5, math.nan, math.inf, True, None, (), (0,), (-1, 2), [3], [], {}, object(), "1")


def rated(of: RatingEncoder) -> dict[str, torch.Tensor]:
    """Two pairs of a user and an item, with all that the network takes."""
    whole = {"categories": (2, of.columns), "several": (2, of.sets, 3)} if of.categories and of.values else {}
    x = {name: torch.zeros(shape, dtype=torch.int64) for name, shape in whole.items()}
    return {
        "item": torch.zeros(2, dtype=torch.int64),
        "mean": torch.zeros(2),
        "numbers": torch.zeros(2, of.numbers),
    } | x


def pictures(channels: int, size: int) -> torch.Tensor:
    return torch.zeros(2, channels, size, size)


def code(of: Any) -> torch.Tensor:
    """One of each example, with a place where it keeps one."""
    side = of.side if isinstance(of, LatentStatistics) else -(-of.size // 4)
    return torch.zeros(2, of.code, *[side, side] * (isinstance(of, LatentStatistics) or of.map))


def maps(of: Any) -> torch.Tensor:
    return torch.zeros(2, of.width, of.side, of.side)


def latent(of: Any) -> torch.Tensor:
    return torch.zeros(2, of.latent)


SMALL: list[tuple[Model, Any]] = [
    (MLP(inputs=3, hidden=(4,)), lambda m: torch.zeros(2, m.inputs)),
    (Linear(inputs=3), lambda m: torch.zeros(2, m.inputs)),
    (Residual(inputs=3), lambda m: torch.zeros(2, m.inputs)),
    (Conv4(width=2), lambda m: pictures(m.channels, m.size)),
    (Conv4(width=2, pool="stride"), lambda m: pictures(m.channels, m.size)),
    (ConvMaps(width=2, size=16), lambda m: pictures(m.channels, m.size)),
    (Relation(channels=2), lambda m: pictures(2 * m.channels, m.size)),
    (ResNet12(widths=(2, 2, 2, 2), size=16), lambda m: pictures(m.channels, m.size)),
    (RatingEncoder(items=3, length=2, features=2), rated),
    (SkipHead(inputs=3), lambda m: torch.zeros(2, m.inputs)),
    (RatingNetwork(RatingEncoder(features=2), SkipHead(inputs=3)), lambda m: rated(m.encoder)),
    (BiLSTM(features=3), lambda m: {"x": torch.zeros(2, m.features), "rows": torch.ones(2, dtype=torch.bool)}),
    (
        LSTMCell(inputs=3, units=2),
        lambda m: {"x": torch.zeros(2, m.inputs), "h": torch.zeros(2, m.units), "c": torch.zeros(2, m.units)},
    ),
    (Gaussian(inputs=3, hidden=(4,)), lambda m: torch.zeros(2, m.inputs)),
    (GRU(inputs=3, units=2), lambda m: {"x": torch.zeros(2, m.inputs), "h": torch.zeros(2, m.units)}),
    (JoinedMLP(inputs=3, hidden=(4,), shape=(2,)), lambda m: {"x": torch.zeros(2, m.inputs)}),
    (PictureFeatures(width=2), lambda m: pictures(m.channels, m.size)),
    (CodeStatistics(width=2, side=2), maps),
    (
        LatentStatistics(width=2, side=2),
        lambda m: {"features": maps(m), "code": code(m)} | ({"anchor": maps(m)} if m.anchored else {}),
    ),
    (
        LabelledPictures(width=2, code=3),
        lambda m: {"x": pictures(m.channels, m.size), "y": torch.zeros(2, m.outputs)},
    ),
    (PicturePainter(width=2), lambda m: {"latent": latent(m)}),
    (PictureCritic(width=2), lambda m: pictures(m.channels, m.size)),
    (PictureDecoder(width=2), lambda m: {"code": code(m), "latent": latent(m)}),
    (
        Warp(width=2),
        lambda m: {
            "code": code(m),
            "latent": latent(m),
            "example": pictures(m.channels, m.size),
            "features": torch.zeros(2, m.width, *code(m).shape[2:] if m.map else [-(-m.size // 4)] * 2),
        },
    ),
]


def changed(model: Any, name: str, value: Any) -> Any:
    return type(model)(**{f.name: getattr(model, f.name) for f in fields(model)} | {name: value})


def test_every_model_is_walked():
    names = [info.name for info in pkgutil.walk_packages(innerloop.nn.__path__, "innerloop.nn.")]
    members = [m for name in names for m in vars(importlib.import_module(name)).values() if isinstance(m, type)]
    models = {m for m in members if issubclass(m, Model) and is_dataclass(m) and fields(m)}
    assert models - {Model} == {type(model) for model, _ in SMALL}


@pytest.mark.parametrize(("model", "rows"), SMALL, ids=lambda v: type(v).__name__)
def test_a_wrong_value_of_any_field_is_refused_or_works(model, rows):
    for field in fields(model):
        for value in WRONG:
            try:
                other = changed(model, field.name, value)
                other.apply(other.init(0), rows(other))
            except InputError as error:
                message = str(error)
            except Exception as error:
                message = f"{type(error).__name__}: {error}"
            else:
                continue
            assert f": {field.name} must" in message or "there is no" in message or "at least 16" in message, value


@pytest.mark.parametrize(("model", "rows"), SMALL, ids=lambda v: type(v).__name__)
def test_every_size_from_1_up_is_refused_or_works(model, rows):
    for field in fields(model):
        if field.name in ("size", "channels", "features", "hidden", "units", "width"):
            for value in (1, 2, 3, 4, 5, 7, 15, 17):
                try:
                    other = changed(model, field.name, (value,) if isinstance(model, MLP) else value)
                    other.apply(other.init(0), rows(other))
                except InputError:
                    continue


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: changed(MLP(), "activation", "gelu"), "^MLP: there is no activation 'gelu': use relu, tanh, elu$"),
        (lambda: MLP(hidden=(40, -1)), r"^MLP: hidden must be a tuple, each part .* at least 1, got \(40, -1\)"),
        (lambda: Conv4(width=True), r"^Conv4: width must be a whole number of at least 1, got True \(bool\)$"),
        (lambda: Conv4(outputs=0), "^Conv4: outputs must be a whole number of at least 1, or None, got 0"),
        (lambda: changed(ResNet12(), "widths", (1, 2)), "^ResNet12: widths must be a tuple of 4 "),
    ],
)
def test_the_message_names_class_field_value_and_what_is_allowed(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numpys_numbers_and_lists_are_taken():
    assert changed(MLP(), "hidden", [np.int64(4), np.int32(5)]) == MLP(hidden=(4, 5))
    assert changed(Linear(), "zero", np.bool_(True)) == Linear(zero=True)
