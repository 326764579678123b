"""Pools of pictures brought to one size and number of channels, so that what was learned on one sees another."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from innerloop.core.errors import InputError
from innerloop.tasks.log_mel import of_sounds
from innerloop.tasks.pool import Pool

_LUMA = (0.299, 0.587, 0.114)


def resized(pool: Pool, size: int, channels: int, ink: Literal["as it is", "light"] = "as it is") -> Pool:
    """The same pictures at another size, grey or in three equal channels where they were grey.

    Args:
        pool: Of uint8 pictures.
        size: Height and width, by bilinear interpolation, which averages where pictures shrink.
        channels: 1 or 3.
        ink: light: grey pictures whose border is brighter than the rest are turned, one by one.

    Raises:
        InputError: The examples are no such pictures.
    """
    how = pool.preprocessing
    if len(pool.shape) != 3 or pool.data.dtype != torch.uint8 or pool.shape[0] not in (1, 3) or of_sounds(how):
        raise InputError(
            f"{pool.dataset}: only pictures in grey or colour can be brought to one size; examples are "
            f"{'sounds' if of_sounds(how) else list(pool.shape)}"
        )
    data = torch.stack([_rows(rows, size, channels, ink == "light") for rows in pool.data])  # a class at a time
    preprocessing: dict[str, Any] = {"size": size, "channels": channels, "ink": "auto"}
    return replace(pool, data=data, preprocessing=preprocessing)


def _rows(x: Tensor, size: int, channels: int, light: bool) -> Tensor:
    """[n, channels, size, size] uint8."""
    values = x.float()
    if x.shape[1] == 3 and channels == 1:
        values = (values * values.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    if values.shape[-2:] != (size, size):
        values = interpolate(values, (size, size), mode="bilinear", align_corners=False, antialias=True)
    if light:
        border = torch.cat([values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1]], -1)
        dark = border.mean((1, 2)) > values.mean((1, 2, 3))
        values = torch.where(dark[:, None, None, None], 255 - values, values)
    rows = values.round().clamp(0, 255).to(torch.uint8)
    return rows.expand(-1, channels, -1, -1).contiguous() if rows.shape[1] < channels else rows
