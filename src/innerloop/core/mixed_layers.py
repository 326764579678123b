"""A network whose rows are mixed with others in front of one of its layers, as MLTI does (Yao et al. 2022)."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.types import Params

Inputs = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class MixedLayers(Model):
    """A network of layers in a row, with the same parameters, whose inputs are pairs of rows.

    Of a dict: `x` and `other`, [n, ...] each, `weight` [n], how much of x, and `at` [n] from 0 to 1, in front of which
    layer; 0 is the input itself. Batch norms see both rows of every pair. Rows alone go through as they are.
    """

    network: Model

    def build(self) -> nn.Module:
        module = self.network.build()
        if type(module) is not nn.Sequential:
            raise InputError(
                f"classes are mixed between layers in a row (nn.Sequential), and {type(self.network).__name__} makes a "
                f"{type(module).__name__}: have them made by the generator"
            )
        return _Mixed(OrderedDict(module.named_children()))

    def apply(self, params: Params, x: Inputs, mask: Tensor | None = None) -> Tensor:
        pairs = _pairs(x)
        return super().apply(params, pairs, _twice(mask))[: len(pairs["x"]) // 2]

    def with_statistics(self, params: Params, x: Inputs, mask: Tensor | None = None) -> Params:
        return super().with_statistics(params, _pairs(x), _twice(mask))

    def observe(self, params: Params, x: Inputs, mask: Tensor | None = None) -> tuple[Tensor, Params]:
        pairs = _pairs(x)
        outputs, observed = super().observe(params, pairs, _twice(mask))
        return outputs[: len(pairs["x"]) // 2], observed


class _Mixed(nn.Sequential):
    """The layers by their own names, so that parameters have theirs."""

    def forward(self, x: Tensor, weight: Tensor, at: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        here = (at * len(self)).long()
        for i, layer in enumerate(self):
            own, other = x.chunk(2)
            share = torch.where(here == i, weight, 1.0).to(own.dtype).view(-1, *[1] * (own.dim() - 1))
            x = layer(torch.cat([share * own + (1 - share) * other, other]))
        return x


def _pairs(x: Inputs) -> dict[str, Tensor]:
    """First all rows, then all that they are mixed with."""
    if isinstance(x, dict):
        return {"x": torch.cat([x["x"], x["other"]]), "weight": x["weight"], "at": x["at"]}
    alone = torch.ones(len(x), dtype=x.dtype, device=x.device)
    return {"x": torch.cat([x, x]), "weight": alone, "at": 0 * alone}


def _twice(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else torch.cat([mask, mask])
