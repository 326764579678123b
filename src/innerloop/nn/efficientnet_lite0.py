"""EfficientNet-Lite0: Tan and Le, ICML 2019, https://arxiv.org/abs/1905.11946, as TensorFlow's authors made it small.

Lite0 is the paper's B0 without squeeze-and-excitation and with ReLU6 instead of swish
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): 4.7 million weights, 75.1% top-1 on
ImageNet.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from innerloop.core.errors import InputError

SIZE = 224
"""Height and width of the pictures it was trained on."""
FEATURES = 1280
CLASSES = 1000
_STEM = 32
_EPS = 1e-3  # of TensorFlow's batch norms; the running statistics assume it


@dataclass(frozen=True)
class _Stage:
    """A row of the paper's table 1."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Pictures [n, 3, h, w], bytes scaled as (value - 127) / 128, to features [n, 1280]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Layer(3, _STEM, 3, 2)
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage in _STAGES:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(_Block(channels, stage.channels, stage.kernel, stride, stage.expand))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.top = _Layer(channels, FEATURES, 1)
        self.head = nn.Linear(FEATURES, CLASSES)
        """Logits of ImageNet's classes; `forward` ends before it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.blocks(self.stem(x))).mean((2, 3))

    def classify(self, x: Tensor) -> Tensor:
        """[n, 1000] logits of ImageNet's classes."""
        return self.head(self(x))


class _Layer(nn.Module):
    """Convolution, batch norm and, unless it is `linear`, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False):
        super().__init__()
        # TensorFlow pads a stride of 2 by one pixel more at the end, which `padding` cannot say.
        padding = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=_EPS)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if stride == 2:
            height, width = (_padding(side, kernel) for side in x.shape[2:])
            x = F.pad(x, (*width, *height))
        x = self.norm(self.conv(x))
        return x if self.linear else F.relu6(x)


class _Block(nn.Module):
    """Inverted residual: widen, convolve every channel on its own, narrow without activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int):
        super().__init__()
        wide = inputs * expand
        self.expand = _Layer(inputs, wide, 1) if expand > 1 else nn.Identity()
        self.depthwise = _Layer(wide, wide, kernel, stride, groups=wide)
        self.project = _Layer(wide, outputs, 1, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def _padding(side: int, kernel: int) -> tuple[int, int]:
    """What TensorFlow's "same" adds before and after a side for a stride of 2."""
    added = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
    return added // 2, added - added // 2


def load(path: Path | str) -> EfficientNetLite0:
    """The network with the weights of a file in the layout of `efficientnet_lite_pytorch`, frozen and in eval mode.

    Raises:
        InputError: The file cannot be read, or holds another network.
    """
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        network = EfficientNetLite0()
        network.load_state_dict({_renamed(name): value for name, value in theirs.items()}, strict=True)
    except Exception as error:  # whatever torch makes of a damaged file
        raise InputError(
            f"{path} does not hold the weights of EfficientNet-Lite0 ({error}): install it again"
        ) from error
    return network.eval().requires_grad_(False)


def fold(network: EfficientNetLite0) -> EfficientNetLite0:
    """Put every batch norm, with its running statistics, into the convolution before it; in place.

    The answers stay the same to rounding, and a fifth of the time goes.
    """
    for layer in [m for m in network.modules() if isinstance(m, _Layer)]:
        if isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv = nn.utils.fuse_conv_bn_eval(layer.conv, layer.norm)
            layer.norm = nn.Identity()
    return network.requires_grad_(False)


_NAMES = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "top.conv", "_bn1": "top.norm", "_fc": "head"}
_NAMES_IN_BLOCKS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def _renamed(name: str) -> str:
    """Our name of a tensor of theirs."""
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(("blocks", parts[1], _NAMES_IN_BLOCKS[parts[2]], *parts[3:]))
    return ".".join((_NAMES[parts[0]], *parts[1:]))
