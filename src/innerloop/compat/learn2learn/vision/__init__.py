"""Networks, tasks and rotations of pictures: what learn2learn calls `learn2learn.vision`."""

from typing import Any

from innerloop.compat.learn2learn.absent import absent
from innerloop.compat.learn2learn.vision import benchmarks, models, transforms

__all__ = ["benchmarks", "models", "transforms"]


def __getattr__(name: str) -> Any:
    raise absent("vision", name, __all__)
