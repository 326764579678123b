"""Tiny ImageNet, packed: 200 classes of 100 JPEG pictures, 64 x 64, in one `.npz`. ImageNet's terms: research only.

The file holds `jpeg` (all files end to end), `offsets` [20,001], `labels` [20,000], `wnids` and `names` [200].
Classes are cut 120/30/50 by a seeded shuffle; the cut is this package's own, so results compare to no paper's.
"""

import hashlib
from pathlib import Path

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import cache, images, npz
from innerloop.tasks.pool import Splits, from_rows, split_classes
from innerloop.tasks.progress import track

_FILE = "tiny_imagenet_200x100.npz"
_KEYS = ("jpeg", "offsets", "labels", "wnids", "names")
_SIZES = {"train": 120, "validation": 30, "test": 50}
_VERSION = 1


def tiny_imagenet(root: Root = None, size: int = 64, seed: int = 0) -> Splits:
    """Read the packed file; decoded once and kept in the user's cache folder.

    Args:
        root: The data root, holding the file or a folder `tiny_imagenet` with it; None: the environment's
            `INNERLOOP_DATA`.
        size: Height and width, in pixels.
        seed: Of the cut into splits.

    Raises:
        InputError: The file is not there or is another.
    """
    path = _locate(root)
    packed = _load(path)
    digest = hashlib.sha256(packed["jpeg"].tobytes()).hexdigest()[:16]
    name = f"tiny-imagenet-v{_VERSION}-{size}-{digest}"
    rows = cache.cached(root, name, lambda: _decode(packed, size, path), ("rows",))["rows"]
    titles = zip(packed["wnids"].tolist(), packed["names"].tolist(), strict=True)
    whole = from_rows(
        from_numpy(rows),
        packed["labels"].tolist(),
        [f"{wnid} {name.split(',')[0]}" for wnid, name in titles],
        dataset="tiny-imagenet",
        preprocessing={"size": size, "channels": 3, "ink": "light"},
    )
    return split_classes(whole, _SIZES, seed)


def _locate(root: Root) -> Path:
    base = cache.data_folder(root)
    choices = [base / _FILE, base / "tiny_imagenet" / _FILE]
    path = next((path for path in choices if path.exists()), None)
    if path is None:
        where = " or ".join(str(path.parent) for path in choices)
        raise InputError(f"there is no {_FILE} in {where}; put it there, or give --data-root")
    return path


def _load(path: Path) -> cache.Arrays:
    try:
        arrays = npz.load(path, _KEYS)
        return {key: arrays[key] for key in _KEYS}
    except (InputError, KeyError) as error:
        raise InputError(
            f"{path} is not the packed Tiny ImageNet with {', '.join(_KEYS)} ({error}): get it anew"
        ) from error


def _decode(packed: cache.Arrays, size: int, path: Path) -> cache.Arrays:
    content, offsets = packed["jpeg"].tobytes(), packed["offsets"].tolist()
    count = len(packed["labels"])
    rows = np.empty((count, 3, size, size), dtype=np.uint8)
    for i in track(range(count), "decoding Tiny ImageNet", count):
        part = content[offsets[i] : offsets[i + 1]]
        rows[i] = images.read_image(part, size, 3, "light", name=f"picture {i} of {path}").numpy()
    return {"rows": rows}
