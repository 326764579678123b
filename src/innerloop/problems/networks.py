"""Default networks for the shape of some data."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.nn.context import BiLSTM, LSTMCell
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP, Linear
from innerloop.nn.relation import ConvMaps, Relation
from innerloop.nn.resnet12 import ResNet12

_WIDTHS = (1.0, 2.5, 5.0, 10.0)
"""Blocks of ResNet-12 relative to the first: 64, 160, 320, 640."""
_SMALLEST = 16
"""Side of a picture that survives being halved four times."""


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What training begins with."""

    start: str | None = None
    """Run folder whose parameters are begun with, where names and shapes fit: transfer, or with --steps 0 one
    pre-training for several learners. None: random parameters."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(StartOptions):
    """The network inside the learner."""

    network: Literal["auto", "conv4", "resnet12", "mlp", "none"] = "auto"
    """auto: conv4 for pictures from 16 x 16, mlp for anything else. none: raw inputs, where a learner can."""
    width: int = 64
    """Channels of conv4, units of the hidden layers of mlp, channels of the first block of resnet12."""
    pool: Literal["auto", "max", "stride"] = "auto"
    """Of conv4. max: 2x2 max-pooling, flattened; stride: strided convolutions, averaged over space; auto: max
    for encoders, stride for networks that are adapted whole."""


def network(shape: tuple[int, ...], outputs: int | None, options: NetworkOptions) -> Model:
    """A network for examples of this shape.

    Args:
        shape: Of one example: [channels, size, size] for pictures.
        outputs: How many, or None for an encoder.
        options: Which, and how wide.

    Raises:
        InputError: The network does not fit the shape.
    """
    picture = len(shape) == 3 and shape[1] == shape[2]
    kind = options.network
    if kind == "auto":
        kind = "conv4" if picture and shape[1] >= _SMALLEST else "mlp"
    if kind in ("conv4", "resnet12") and not picture:
        raise InputError(f"{kind} takes square pictures; these examples have shape {list(shape)}: use --network mlp")
    if options.width < 1:
        raise InputError(f"width must be at least 1, got {options.width}")
    if kind == "conv4":
        pool = options.pool
        if pool == "auto":
            pool = "max" if outputs is None and shape[1] >= _SMALLEST else "stride"
        return Conv4(channels=shape[0], size=shape[1], outputs=outputs, width=options.width, pool=pool)
    if kind == "resnet12":
        a, b, c, d = (round(options.width * w) for w in _WIDTHS)
        return ResNet12(channels=shape[0], size=shape[1], outputs=outputs, widths=(a, b, c, d))
    if kind == "mlp":
        inputs = 1
        for n in shape:
            inputs *= n
        return MLP(inputs=inputs, hidden=(options.width,) * 2, outputs=options.width if outputs is None else outputs)
    raise InputError("this learner needs a network: choose conv4, resnet12 or mlp")


def features(encoder: Model) -> int:
    """Length of an encoder's feature vector."""
    if isinstance(encoder, MLP):
        return encoder.outputs
    if isinstance(encoder, Conv4 | ResNet12):
        return encoder.features
    raise InputError(f"the feature length of {type(encoder).__name__} is not known here: build the learner in Python")


def compared(encoder: Model) -> tuple[Model, Model]:
    """The encoder of a relation network, with feature maps where they can be kept, and what compares its features."""
    if isinstance(encoder, Conv4) and encoder.pool == "max":
        maps = ConvMaps(channels=encoder.channels, size=encoder.size, width=encoder.width)
        return maps, Relation(channels=encoder.width, size=encoder.size // 4)
    d = features(encoder)
    return encoder, MLP(inputs=2 * d, hidden=(d, 8), outputs=1)


def make(
    cls: type[Learner], values: Mapping[str, Any], shape: tuple[int, ...], outputs: int, options: NetworkOptions
) -> Learner:
    """The learner with default networks in the fields that hold one."""
    has = {f.name for f in fields(cls)}
    values = dict(values)
    if "model" in has:
        values["model"] = network(shape, outputs, options)
    if "encoder" in has and options.network != "none":
        values["encoder"] = network(shape, None, options)
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if "encoder" in needed and "encoder" not in values:
        raise InputError(f"{cls.__name__} needs a network: choose conv4, resnet12 or mlp")
    if "head" in has:
        values["head"] = Linear(inputs=features(values["encoder"]), outputs=outputs)
    if "relation" in has:
        values["encoder"], values["relation"] = compared(values["encoder"])
    if "projection" in has:
        d = features(values["encoder"])
        values["projection"] = MLP(inputs=d, hidden=(d,), outputs=d)
    if "comparison" in has and values.get("distance") == "weighted_l1":
        values["comparison"] = Linear(inputs=features(values["encoder"]), outputs=1)
    if values.get("variant") == "masked":
        values["gate"] = MLP(inputs=5, hidden=(20,), outputs=2, activation="tanh")
    if values.get("fce_steps"):
        d = features(values["encoder"])
        values |= {"support_context": BiLSTM(features=d), "query_context": LSTMCell(inputs=2 * d, units=d)}
    try:
        return cls(**values)
    except TypeError as error:
        raise InputError(f"{cls.__name__} cannot be made from these options: {error}") from error
