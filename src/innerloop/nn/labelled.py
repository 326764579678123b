"""A network that sees a picture together with its target, as codes of whole tasks are made from (Yao et al. 2019)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from innerloop.core.model import Model
from innerloop.core.ranges import Count
from innerloop.nn.set_encoder import PictureFeatures


@dataclass(frozen=True)
class LabelledPictures(Model):
    """`{"x": [n, channels, size, size], "y": [n, outputs]}` -> [n, code], every picture by itself."""

    channels: Count = 1
    size: Count = 28
    outputs: Count = 5
    width: Count = 16
    code: Count = 16

    def build(self) -> nn.Module:
        return _LabelledPictures(self)


class _LabelledPictures(nn.Module):
    def __init__(self, sizes: LabelledPictures):
        super().__init__()
        w = sizes.width
        self.maps = PictureFeatures(channels=sizes.channels, size=sizes.size, width=w).build()
        self.mixed, self.coded = nn.Linear(w + sizes.outputs, 2 * w), nn.Linear(2 * w, sizes.code)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.maps(x).mean((2, 3))  # [n, width]
        return self.coded(F.elu(self.mixed(torch.cat([features, y], 1))))
