"""Default networks for the shape of some data and the roles that a learner declares."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from innerloop.core import importing
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.nearest import nearest
from innerloop.core.networks import (
    Cell,
    ClassCode,
    Critic,
    Decoder,
    Encoder,
    Features,
    Inputs,
    Labelled,
    Latent,
    Length,
    Painter,
    Pairs,
    Role,
    Rows,
    Whole,
)
from innerloop.core.networks import Sequence as SequenceOf
from innerloop.core.ranges import Count
from innerloop.core.searched import among
from innerloop.nn.as_is import AsIs
from innerloop.nn.context import BiLSTM, LSTMCell
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP, Linear
from innerloop.nn.relation import ConvMaps, Relation
from innerloop.nn.residual import Residual
from innerloop.nn.resnet12 import ResNet12
from innerloop.problems.generative_networks import adversarial, features_of, generative, labelled
from innerloop.problems.own_networks import own_network

_KINDS = ("auto", "conv4", "resnet12", "mlp", "residual", "linear", "none")
_WIDTHS = (1.0, 2.5, 5.0, 10.0)
"""Blocks of ResNet-12 relative to the first: 64, 160, 320, 640."""
_SMALLEST = 16
"""Side of a picture that survives being halved four times."""


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What training begins with."""

    start: str | None = None
    """Run folder, or a shipped run, whose parameters are begun with, where names and shapes fit: transfer, or with
    --steps 0 one pre-training for several learners. None: random parameters."""

    def check(self, allow: Sequence[str]) -> None:
        """Refuse a network that there is not, or that is somebody's code which may not run.

        Args:
            allow: Packages besides innerloop whose code may run.

        Raises:
            InputError: With what to do about it.
        """


@dataclass(frozen=True, kw_only=True)
class LayerOptions(StartOptions):
    """The network inside the learner."""

    hidden_units: tuple[Count, ...] | None = None
    """Units of each hidden layer; None: those of the family's usual network."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(StartOptions):
    """The network inside the learner."""

    network: str = "auto"
    """auto: conv4 for pictures from 16 x 16, mlp for anything else, residual for texts where a learner says so. conv4,
    resnet12, mlp. residual: for rows of a frozen encoder, whose directions it begins with; networks that make such rows
    are an mlp. linear: a linear head, and no encoder before it. none: raw inputs, where a learner can.
    package.module:attribute: a class or function of yours that makes an nn.Module; parameters that it calls outputs (or
    ways), inputs, channels, size, shape, features or width are given. It needs --allow package."""
    width: int = field(default=64, metadata=among(32, 64, 128))
    """Channels of conv4, units of the hidden layers of mlp, channels of the first block of resnet12."""
    map_rank: Count | None = None
    """Rank of what residual adds to the rows: fewer weights, and a smaller file; None: any."""
    pool: Literal["auto", "max", "stride"] = "auto"
    """Pooling of conv4. max: 2x2 max-pooling, flattened; stride: strided convolutions, averaged over space; auto: max
    for encoders, stride for networks that are adapted whole."""

    def check(self, allow: Sequence[str]) -> None:
        if importing.is_import_path(self.network):
            importing.trusted(self.network, ("innerloop", *allow))
        elif self.network not in _KINDS:
            raise InputError(
                f"there is no network '{self.network}': choose {', '.join(_KINDS)}, or name one of yours as "
                f"package.module:attribute{nearest(self.network, _KINDS)}"
            )


def network(shape: tuple[int, ...], outputs: int | None, options: NetworkOptions, alone: bool = False) -> Model:
    """A network for examples of this shape.

    Args:
        shape: Of one example: [channels, size, size] for pictures.
        outputs: How many, or None for an encoder.
        options: Which, and how wide.
        alone: Whether every example is seen by itself, without batch norms.

    Raises:
        InputError: The network does not fit the shape, or has batch norms where none may be.
    """
    kind = _kind(shape, options)
    if importing.is_import_path(kind):
        return own_network(kind, shape, outputs, options.width)
    if kind == "conv4":
        pool = options.pool
        if pool == "auto":
            pool = "max" if outputs is None and shape[1] >= _SMALLEST else "stride"
        return Conv4(channels=shape[0], size=shape[1], outputs=outputs, width=options.width, pool=pool, norm=not alone)
    if kind == "resnet12" and alone:
        raise InputError("resnet12 has batch norms, and this learner sees every example by itself: choose conv4 or mlp")
    if kind == "resnet12":
        a, b, c, d = (round(options.width * w) for w in _WIDTHS)
        return ResNet12(channels=shape[0], size=shape[1], outputs=outputs, widths=(a, b, c, d))
    if kind == "linear" and outputs is None:
        return AsIs()
    if kind == "residual":
        return Residual(inputs=math.prod(shape), outputs=outputs, rank=options.map_rank)
    if kind in ("mlp", "linear"):
        hidden = (options.width,) * 2 if kind == "mlp" else ()
        return MLP(inputs=math.prod(shape), hidden=hidden, outputs=options.width if outputs is None else outputs)
    raise InputError("this learner needs a network: choose conv4, resnet12 or mlp")


def _kind(shape: tuple[int, ...], options: NetworkOptions) -> str:
    """Which network takes examples of this shape."""
    picture, kind = len(shape) == 3 and shape[1] == shape[2], options.network
    if kind == "auto":
        kind = "conv4" if picture and shape[1] >= _SMALLEST else "mlp"
    if kind in ("conv4", "resnet12") and not picture:
        raise InputError(f"{kind} takes square pictures; these examples have shape {list(shape)}: use --network mlp")
    if options.width < 1:
        raise InputError(f"width must be at least 1, got {options.width}")
    return kind


def _beside(shape: tuple[int, ...], options: NetworkOptions) -> str:
    """Which network has another role than to read examples: what turns rows a little makes none."""
    kind = _kind(shape, options)
    return "mlp" if kind == "residual" else kind


def features(encoder: Model, shape: tuple[int, ...]) -> int:
    """Length of a network's feature vector for examples of this shape."""
    if isinstance(encoder, MLP | Linear):
        return encoder.outputs
    if isinstance(encoder, Conv4 | ResNet12 | BiLSTM):
        return encoder.features
    with torch.no_grad():
        return encoder.apply(encoder.init(0), torch.zeros(2, *shape)).shape[1]


def in_role(
    role: Role, shape: tuple[int, ...], outputs: int, options: NetworkOptions, other: Callable[[str], Model | None]
) -> Model:
    """A network for a role.

    Args:
        role: As the learner declares it.
        shape: Of one example.
        outputs: How many the problem has.
        options: Which network takes the examples, and how wide.
        other: The network in another field of the learner; None: it needs none there.

    Raises:
        InputError: The network does not fit the shape, or a network that it is made from.
    """

    def length(of: Length | tuple[Length, ...]) -> int:
        match of:
            case int():
                return of
            case Inputs():
                return math.prod(shape)
            case tuple():
                return sum(map(length, of))
        if of.network is None:
            return of.times * outputs
        network = other(of.network)
        return 0 if network is None else of.times * features(network, shape)

    match role:
        case Whole():
            return network(shape, outputs, options, role.alone)
        case Encoder():
            encoder = network(shape, None, options, role.alone)
            return _with_maps(encoder) if role.maps else encoder
        case Rows():
            seen: Any = role.inputs  # no setting: those have become numbers
            inputs, units, last = length(seen), tuple(map(length, role.hidden)), length(role.outputs)
            if not units:
                return Linear(inputs=inputs, outputs=last)
            return MLP(inputs=inputs, hidden=units, outputs=last, activation=role.activation)
        case Pairs():
            compared = other(role.encoder)
            if compared is not None:
                return _comparison(compared, shape)
        case Labelled():
            return labelled(role, shape, outputs, _beside(shape, options))
        case SequenceOf():
            return BiLSTM(features=length(role.features))
        case Features():
            return features_of(shape, _beside(shape, options), options.width)
        case ClassCode() | Latent() | Decoder():
            seen = other(role.encoder)
            if seen is not None:
                return generative(role, shape, seen, features(seen, shape))
        case Painter() | Critic():
            return adversarial(role, shape, _beside(shape, options), options.width)
        case Cell():
            return LSTMCell(inputs=length(role.inputs), units=length(role.units))
    raise InputError(f"no network is known here for the role {type(role).__name__}: build the learner in Python")


def _with_maps(encoder: Model) -> Model:
    """The encoder without its last two pools and with feature maps, where it is one that can keep them."""
    if isinstance(encoder, Conv4) and encoder.pool == "max":
        return ConvMaps(channels=encoder.channels, size=encoder.size, width=encoder.width)
    return encoder


def _comparison(encoder: Model, shape: tuple[int, ...]) -> Model:
    """A network that scores two examples by their features."""
    if isinstance(encoder, ConvMaps):
        return Relation(channels=encoder.width, size=encoder.size // 4)
    d = features(encoder, shape)
    return MLP(inputs=2 * d, hidden=(d, 8), outputs=1)
