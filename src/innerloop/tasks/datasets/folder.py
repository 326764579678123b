"""A folder of someone's own pictures or sounds, a sub-folder for each class, cut into splits by class."""

from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.tasks.audio import holds_sounds, sound_folder
from innerloop.tasks.images import Ink, image_folder
from innerloop.tasks.log_mel import of_sounds
from innerloop.tasks.pool import Pool, Splits, split_classes
from innerloop.tasks.split_sizes import default_sizes


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
        root: The folder; see `innerloop.tasks.image_folder`, as for the following three, and `sound_folder`.
        size: Height and width of a picture, in pixels, or of the picture of a sound.
        channels: 1 or 3, for pictures.
        ink: What strokes look like, in pictures.
        seed: Of the shuffle.

    Raises:
        InputError: As `image_folder` or `sound_folder`, or there are fewer than three classes.
    """
    if root is None:
        raise InputError("a folder needs its path: one sub-folder of pictures or sounds for each class")
    if holds_sounds(root):
        pool = sound_folder(root, size=size)
    else:
        pool = image_folder(root, size=size, channels=channels, ink=ink)
    return split_classes(pool, default_sizes(len(pool)), seed)


def read_alike(root: Path | str, preprocessing: dict[str, Any] | None) -> Pool:
    """Read all classes of a folder as those of another pool were read.

    Args:
        root: The folder.
        preprocessing: Of the pool; None: it was of neither, and the folder is one of pictures.

    Raises:
        InputError: As `image_folder` or `sound_folder`.
    """
    if of_sounds(preprocessing):
        return sound_folder(root, **(preprocessing or {}))
    return image_folder(root, **(preprocessing or {}))
