"""Rotations of classes: what learn2learn calls `learn2learn.vision.transforms`."""

import random
from collections.abc import Sequence
from typing import Any

from innerloop.compat.learn2learn.absent import absent, own_arguments
from innerloop.compat.learn2learn.data.sets import MetaDataset
from innerloop.compat.learn2learn.data.transforms import Description, TaskTransform
from innerloop.core.errors import InputError

__all__ = ["RandomClassRotation"]


def __getattr__(name: str) -> Any:
    raise absent("vision.transforms", name, __all__)


class RandomClassRotation(TaskTransform):
    """Turns all pictures [..., h, w] of a class by the same angle, counter-clockwise.

    learn2learn 0.2.0 turns every class by the angle that it drew last; here each has its own, as the name says.

    Args:
        dataset: The data set.
        degrees: Angles to draw from, multiples of 90.

    Raises:
        InputError: Another angle, which would make other pictures of every pixel.
    """

    @own_arguments
    def __init__(self, dataset: MetaDataset, degrees: Sequence[float]):
        super().__init__(dataset)
        wrong = [angle for angle in degrees if angle % 90]
        if wrong or not degrees:
            got = f"got {wrong[0]}" if wrong else "got none"
            raise InputError(f"classes are rotated by multiples of 90 degrees, {got}")
        self.degrees = degrees

    def change(self, task: Description) -> Description:
        quarters: dict[Any, int] = {}
        for one in task:
            label = self.label(one)
            if label not in quarters:
                quarters[label] = round(random.choice(self.degrees) / 90) % 4
            one.transforms.append(_Turn(quarters[label]))
        return task


class _Turn:
    def __init__(self, quarters: int):
        self.quarters = quarters

    def __call__(self, item: Any) -> list[Any]:
        example, *rest = item
        return [example.rot90(self.quarters, dims=(-2, -1)), *rest]
