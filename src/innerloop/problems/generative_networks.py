"""Default networks of learners that generate: convolutions for pictures, multilayer perceptrons for anything else."""

from math import prod
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.networks import ClassCode, Critic, Decoder, Labelled, Latent, Painter
from innerloop.nn.adversarial import PictureCritic, PicturePainter
from innerloop.nn.decoder import JoinedMLP, PictureDecoder
from innerloop.nn.labelled import LabelledPictures
from innerloop.nn.mlp import MLP
from innerloop.nn.set_encoder import CodeStatistics, LatentStatistics, PictureFeatures
from innerloop.nn.warp import Warp

_EXAMPLE = 24
"""Hidden units of what sees an example of numbers with its target."""


def features_of(shape: tuple[int, ...], kind: str, width: int) -> Model:
    """What sees one example by itself.

    Args:
        shape: Of one example.
        kind: Name of the network.
        width: Channels, or units.

    Raises:
        InputError: There is no such network for this.
    """
    if kind == "conv4":
        return PictureFeatures(channels=shape[0], size=shape[1], width=width)
    if kind == "mlp":
        return MLP(inputs=prod(shape), hidden=(width,), outputs=width, activation="elu")
    raise _only_reads(kind)


def labelled(role: Labelled, shape: tuple[int, ...], outputs: int, kind: str) -> Model:
    """What sees one example with its target.

    Args:
        role: Without settings.
        shape: Of one example.
        outputs: Length of a target.
        kind: Name of the network that takes the examples; any of pictures is the same here.
    """
    sizes: Any = vars(role)  # settled: numbers alone
    if kind in ("conv4", "resnet12"):
        return LabelledPictures(channels=shape[0], size=shape[1], outputs=outputs, code=sizes["length"])
    return JoinedMLP(inputs=prod(shape) + outputs, hidden=(_EXAMPLE,), shape=(sizes["length"],))


def generative(role: ClassCode | Latent | Decoder, shape: tuple[int, ...], encoder: Model, features: int) -> Model:
    """A network beside the one that sees the examples.

    Args:
        role: Without settings.
        shape: Of one example.
        encoder: Whose features it is given.
        features: Their length, or how many channels their maps have.
    """
    sizes: Any = vars(role)  # settled: numbers alone
    if isinstance(encoder, PictureFeatures):
        return _of_picture(role, sizes, encoder)
    anchored = sizes.get("anchored", False)
    match role:
        case ClassCode():
            return MLP(inputs=features, hidden=(features,), outputs=2 * sizes["length"], activation="elu")
        case Latent():
            inputs = features * (1 + anchored) + sizes["code"]
            return JoinedMLP(inputs=inputs, hidden=(features,), shape=(2 * sizes["length"],))
        case Decoder():
            inputs = sizes["code"] + sizes["latent"] + anchored * (features + prod(shape))
            return JoinedMLP(
                inputs=inputs, hidden=(features, features), shape=shape, plus="example" if anchored else None
            )


def adversarial(role: Painter | Critic, shape: tuple[int, ...], kind: str, width: int) -> Model:
    """A network that makes examples from noise, or one that tells them from real ones.

    Args:
        role: Without settings.
        shape: Of one example.
        kind: Name of the network.
        width: Channels, or units.

    Raises:
        InputError: There is no such network for this.
    """
    sizes: Any = vars(role)
    if kind not in ("conv4", "mlp"):
        raise _only_reads(kind)
    picture = kind == "conv4"
    match role:
        case Painter() if picture:
            return PicturePainter(channels=shape[0], size=shape[1], width=width, latent=sizes["latent"])
        case Painter():
            return JoinedMLP(inputs=sizes["latent"], hidden=(width, width), shape=shape)
        case Critic() if picture:
            return PictureCritic(channels=shape[0], size=shape[1], width=width)
        case Critic():
            return MLP(inputs=prod(shape), hidden=(width, width), outputs=1, activation="elu")


def _only_reads(kind: str) -> InputError:
    return InputError(
        f"a learner that generates writes examples as well as it reads them, and {kind} only reads: use --network "
        "auto, conv4 (its convolutions are made for generating) or mlp"
    )


def _of_picture(role: ClassCode | Latent | Decoder, sizes: Any, encoder: PictureFeatures) -> Model:
    c, size, w, side = encoder.channels, encoder.size, encoder.width, encoder.side
    match role:
        case ClassCode():
            return CodeStatistics(width=w, side=side, code=sizes["length"], map=sizes["map"])
        case Latent():
            return LatentStatistics(
                width=w, side=side, code=sizes["code"], latent=sizes["length"], anchored=sizes["anchored"]
            )
        case Decoder():
            common: Any = {"channels": c, "size": size, "width": w}
            common |= {"code": sizes["code"], "map": sizes["map"], "latent": sizes["latent"]}
            if sizes["anchored"]:
                return Warp(**common, logits=sizes["likelihood"] == "bernoulli")
            return PictureDecoder(**common)
