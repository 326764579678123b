"""Makes the bank of foreign rows of `efficientnet-lite0`. `python -m benchmarks.photographs WALLPAPERS`.

WALLPAPERS is the folder of Debian's package lomiri-wallpapers-16.04; the other pictures are in the packages
scikit-image, scikit-learn and matplotlib. `fewshot/bank/README.md` names them with their licences.
"""

import argparse
import importlib.util
import io
import random
from pathlib import Path

import torch

from innerloop.fewshot.foreign import BANK, unit
from innerloop.fewshot.sources import source

_SKIMAGE = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png"),
    *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg"),
    "text.png",
)
_WALLPAPERS = ("aitzgorri", "friends", "life", "picosdeeuropa", "sunset")
_CROPS, _SIDE = 4, 512
_PARTS = (0.25, 0.35, 0.5, 0.7)
_SIZES = (224, 64)
"""Sharp ones, and small ones as thumbnails and old data sets have them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wallpapers", type=Path)
    folder = parser.parse_args().wallpapers
    files = [_package("skimage") / "data" / name for name in _SKIMAGE]
    files += [_package("sklearn") / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
    files += [_package("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"]
    files += [folder / f"{name}_by_Aitzol_Berasategi.jpg" for name in _WALLPAPERS]
    encoder = source("efficientnet-lite0").encoder
    assert encoder is not None
    parts = []
    for size in _SIZES:
        rows = unit(encoder.encode([picture for file in files for picture in _crops(file, size)]))
        parts.append(rows - rows.mean(0))
    from safetensors.torch import save_file

    save_file({"rows": torch.cat(parts).half()}, BANK / "efficientnet-lite0.safetensors")


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _crops(file: Path, size: int) -> list[bytes]:
    """The whole picture's middle and some of its parts, as files."""
    from PIL import Image

    rng = random.Random(file.name)
    picture = Image.open(file).convert("RGB")
    scale = _SIDE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    contents = []
    for i in range(_CROPS):
        side = _SIDE if i == 0 else int(_SIDE * rng.choice(_PARTS))
        left, top = rng.randint(0, picture.width - side), rng.randint(0, picture.height - side)
        crop = picture.crop((left, top, left + side, top + side))
        out = io.BytesIO()
        crop.resize((size, size), Image.Resampling.LANCZOS).save(out, "JPEG", quality=90)
        contents.append(out.getvalue())
    return contents


if __name__ == "__main__":
    main()
