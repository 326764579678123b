"""The small networks of learn2learn, with its names of parameters and, by the same seeds, its initial weights."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from innerloop.compat.learn2learn.absent import absent, own_arguments
from innerloop.compat.learn2learn.nn import Flatten

__all__ = [
    "CNN4",
    "CNN4Backbone",
    "ConvBase",
    "ConvBlock",
    "LinearBlock",
    "MiniImagenetCNN",
    "OmniglotCNN",
    "OmniglotFC",
    "fc_init_",
    "maml_init_",
]
M = TypeVar("M", bound=nn.Module)
_STD, _CUT = 0.01, 2.0
"""Standard deviation of the weights of fully connected layers, and how many of them away a weight may be."""


def __getattr__(name: str) -> Any:
    raise absent("vision.models", name, __all__)


def fc_init_(module: M) -> M:
    """The module with weights from a normal of 0.01 that is cut at 0.02, drawn by NumPy, and biases of 0."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if weight is not None:
        below = 0.5 * math.erfc(_CUT / math.sqrt(2))
        share = torch.tensor(below + (1 - 2 * below) * np.random.uniform(size=tuple(weight.shape)))
        with torch.no_grad():
            weight.copy_(_STD * torch.special.ndtri(share))
    if bias is not None:
        nn.init.zeros_(bias)
    return module


def maml_init_(module: M) -> M:
    """The module with weights from Glorot and Bengio's uniform distribution and biases of 0."""
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    nn.init.xavier_uniform_(weight)
    nn.init.zeros_(bias)
    return module


class LinearBlock(nn.Module):
    """[n, input_size] -> [n, output_size]: linear, batch norm by the rows, ReLU."""

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.relu = nn.ReLU()
        self.normalize = nn.BatchNorm1d(output_size, eps=1e-3, momentum=0.999, track_running_stats=False)
        self.linear = fc_init_(nn.Linear(input_size, output_size))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.normalize(self.linear(x)))


class ConvBlock(nn.Module):
    """[n, in_channels, h, w] -> [n, out_channels, h', w']: convolution, batch norm, ReLU, max-pooling or strides.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        kernel_size: Of the convolution.
        max_pool: Whether to pool; without, the convolution has the strides.
        max_pool_factor: Halves of height and width are taken so many times.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        max_pool: bool = True,
        max_pool_factor: float = 1.0,
    ):
        super().__init__()
        stride = int(2 * max_pool_factor)
        self.max_pool = nn.MaxPool2d(stride, stride) if max_pool else nn.Identity()
        self.normalize = nn.BatchNorm2d(out_channels)
        nn.init.uniform_(self.normalize.weight)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=1 if max_pool else stride, padding=1)
        maml_init_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.max_pool(self.relu(self.normalize(self.conv(x))))


class ConvBase(nn.Sequential):
    """Several `ConvBlock`, one after another.

    Args:
        hidden: Channels of each.
        channels: Of the pictures.
        max_pool: See `ConvBlock`.
        layers: How many.
        max_pool_factor: See `ConvBlock`.
    """

    def __init__(
        self,
        hidden: int = 64,
        channels: int = 1,
        max_pool: bool = False,
        layers: int = 4,
        max_pool_factor: float = 1.0,
    ):
        inputs = [channels, *[hidden] * (layers - 1)]
        super().__init__(*(ConvBlock(n, hidden, (3, 3), max_pool, max_pool_factor) for n in inputs))


class OmniglotFC(nn.Module):
    """The fully connected network for Omniglot, of Santoro et al., ICML 2016: [n, ...] -> [n, output_size].

    Args:
        input_size: Numbers of an example.
        output_size: Ways.
        sizes: Of hidden layers; None: 256, 128, 64 and 64.
    """

    @own_arguments
    def __init__(self, input_size: int, output_size: int, sizes: Sequence[int] | None = None):
        super().__init__()
        widths = [input_size, *((256, 128, 64, 64) if sizes is None else sizes)]
        layers = nn.Sequential(*(LinearBlock(a, b) for a, b in pairwise(widths)))
        self.features = nn.Sequential(Flatten(), layers)
        self.classifier = fc_init_(nn.Linear(widths[-1], output_size))
        self.input_size = input_size

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class OmniglotCNN(nn.Module):
    """The convolutional network for Omniglot, of Finn et al., ICML 2017: [n, 1, 28, 28] -> [n, output_size].

    Args:
        output_size: Ways.
        hidden_size: Channels.
        layers: How many convolutions.
    """

    @own_arguments
    def __init__(self, output_size: int = 5, hidden_size: int = 64, layers: int = 4):
        super().__init__()
        self.hidden_size = hidden_size
        self.base = ConvBase(hidden_size, channels=1, max_pool=False, layers=layers)
        self.features = nn.Sequential(_Pictures(), self.base, _SpatialMean(), Flatten())
        self.classifier = nn.Linear(hidden_size, output_size)
        nn.init.normal_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class CNN4Backbone(ConvBase):
    """[n, channels, h, w] -> [n, features]: `ConvBase`, flattened.

    Args:
        hidden_size: Channels of each block.
        layers: How many.
        channels: Of the pictures.
        max_pool: See `ConvBlock`.
        max_pool_factor: See `ConvBlock`; None: 4 by the number of layers.
    """

    @own_arguments
    def __init__(
        self,
        hidden_size: int = 64,
        layers: int = 4,
        channels: int = 3,
        max_pool: bool = True,
        max_pool_factor: float | None = None,
    ):
        factor = 4 // layers if max_pool_factor is None else max_pool_factor
        super().__init__(hidden_size, channels, max_pool, layers, factor)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).flatten(1)


class CNN4(nn.Module):
    """The convolutional network for mini-ImageNet, of Ravi and Larochelle, ICLR 2017: [n, 3, 84, 84] -> [n, ways].

    Args:
        output_size: Ways.
        hidden_size: Channels of each block.
        layers: How many.
        channels: Of the pictures.
        max_pool: See `ConvBlock`.
        embedding_size: Numbers that the last layer sees; None: 25 times `hidden_size`.
    """

    @own_arguments
    def __init__(
        self,
        output_size: int,
        hidden_size: int = 64,
        layers: int = 4,
        channels: int = 3,
        max_pool: bool = True,
        embedding_size: int | None = None,
    ):
        super().__init__()
        self.features = CNN4Backbone(hidden_size, layers, channels, max_pool)
        features = 25 * hidden_size if embedding_size is None else embedding_size
        self.classifier = maml_init_(nn.Linear(features, output_size))
        self.hidden_size = hidden_size

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


MiniImagenetCNN = CNN4


class _Pictures(nn.Module):
    """[n, ...] -> [n, 1, 28, 28]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 1, 28, 28)


class _SpatialMean(nn.Module):
    """[n, channels, h, w] -> [n, channels]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=[2, 3])
