"""Digits as on the signs of a street, 500 of each, 32 x 32 in colour, drawn on this machine from free fonts.

The fonts are those that matplotlib ships and those of the extra `fonts`; how they are drawn is in `tasks.street`. They
stand in for SVHN where its files are not to be had, and are no real pictures: what holds on them need not hold there.
Of the ten digits training has 0 to 4, validation 5 and 6, test 7, 8 and 9; `innerloop transfer` takes all ten.
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import cache, draws, street
from innerloop.tasks.pool import Splits
from innerloop.tasks.progress import track
from innerloop.tasks.ten_classes import ten_classes

VERSION = 1
"""Version of the drawings; in the name of the cache file."""
COUNT = 500
_SEED = 0x57EE7
_SHIPPED = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral"),
    *("STIXGeneralBol", "cmb10", "cmr10", "cmss10", "cmtt10"),
)
"""Upright fonts with digits of `matplotlib/mpl-data/fonts/ttf`."""
_PACKAGES = {
    "fontpkg_abril_fatface": ("AbrilFatface-Regular",),
    "fontpkg_alfa_slab_one": ("AlfaSlabOne-Regular",),
    "fontpkg_anton": ("Anton-Regular",),
    "fontpkg_arvo": ("Arvo-Regular", "Arvo-Bold"),
    "fontpkg_bebas_neue": ("BebasNeue-Regular",),
    "fontpkg_bitter": ("Bitter[wght]",),
    "fontpkg_cabin": ("Cabin[wdth,wght]",),
    "fontpkg_comfortaa": ("Comfortaa[wght]",),
    "fontpkg_dosis": ("Dosis[wght]",),
    "fontpkg_josefin_sans": ("JosefinSans[wght]",),
    "fontpkg_oswald": ("Oswald[wght]",),
    "fontpkg_roboto_slab": ("RobotoSlab[wght]",),
}
"""Fonts of the extra `fonts`, under the SIL Open Font Licence or Apache-2.0."""


def street_digits(root: Root = None) -> Splits:
    """The drawings, made once and kept in the user's cache folder.

    Args:
        root: Its cache folder keeps the drawings.

    Raises:
        InputError: A font or Pillow is missing.
    """
    files = fonts()
    content = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    name = f"street-digits-v{VERSION}-{COUNT}-{content}"
    rows = cache.cached(root, name, lambda: {"rows": _draw(files)}, ("rows",))["rows"]
    return ten_classes(from_numpy(rows), np.repeat(np.arange(10), COUNT).tolist(), "street-digits")


def fonts() -> list[Path]:
    """The files that digits are drawn from.

    Raises:
        InputError: One is missing: with fewer of them the pictures would be others.
    """
    wanted = {"matplotlib": _SHIPPED} | _PACKAGES
    files = []
    for package, names in wanted.items():
        inside = Path("mpl-data", "fonts", "ttf") if package == "matplotlib" else Path("files")
        spec = importlib.util.find_spec(package)
        places = [Path(place) / inside for place in (spec.submodule_search_locations or [])] if spec else []
        for name in names:
            file = next((place / f"{name}.ttf" for place in places if (place / f"{name}.ttf").exists()), None)
            if file is None:
                raise InputError(f"street digits need the font {name} of {package}: pip install 'innerloop[fonts]'")
            files.append(file)
    if importlib.util.find_spec("PIL") is None:
        raise InputError("drawing digits needs Pillow: pip install 'innerloop[fonts]'")
    return files


def _draw(files: list[Path]) -> np.ndarray:
    keys = draws.keys(_SEED, 0, 10 * COUNT)
    shown = track(range(10 * COUNT), "drawing street digits", 10 * COUNT)
    return np.stack([street.picture(i // COUNT, keys[i : i + 1], files) for i in shown])
