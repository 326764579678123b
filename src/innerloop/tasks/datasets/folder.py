"""A folder of someone's own pictures, a sub-folder for each class, cut into splits by class."""

from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.tasks.images import Ink, image_folder
from innerloop.tasks.pool import Splits, default_sizes, split_classes


def folder(
    root: Path | str | None = None,
    *,
    size: int | None = None,
    channels: int | None = None,
    ink: Ink = "auto",
    seed: int = 0,
) -> Splits:
    """Read a folder and cut its classes 60/20/20 by a seeded shuffle.

    Args:
        root: The folder; see `innerloop.tasks.image_folder`, as for the following three.
        size: Height and width, in pixels.
        channels: 1 or 3.
        ink: What strokes look like.
        seed: Of the shuffle.

    Raises:
        InputError: As `image_folder`, or there are fewer than three classes.
    """
    if root is None:
        raise InputError("a folder needs its path: one sub-folder of pictures for each class")
    pool = image_folder(root, size=size, channels=channels, ink=ink)
    return split_classes(pool, default_sizes(len(pool)), seed)
