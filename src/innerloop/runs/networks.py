"""Default networks for the shape of some data."""

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.nn.relation import ConvMaps, Relation
from innerloop.nn.resnet12 import ResNet12
from innerloop.runs.options import NetworkOptions

_WIDTHS = (1.0, 2.5, 5.0, 10.0)
"""Blocks of ResNet-12 relative to the first: 64, 160, 320, 640."""
_SMALLEST = 16
"""Side of a picture that survives being halved four times."""


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
